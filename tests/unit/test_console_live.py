"""What a person sees on a terminal, drawn by pyte from what the console writes."""

from __future__ import annotations

import threading
import time

import pyte
import pytest
from console_screen import Terminal, live, terminal_size
from console_script import ARTIFACTS, DIGEST, Script, base, cached, compiling, failure, play, success

from contractor.core.errors import Outcome


@pytest.fixture(autouse=True)
def _sizes(monkeypatch):
    monkeypatch.setattr("os.get_terminal_size", terminal_size)


def begun(terminal: Terminal, **options):
    """A console in step 8, Compile, with nothing else above it than the header."""
    console, script = live(terminal, **options), Script()
    play(console, iter([script.start(), script.begin(7)]))
    return console, script


def test_the_running_step_and_its_last_lines():
    terminal = Terminal()
    console, script = begun(terminal)
    for number in range(8):
        console(script.says(7, f"line {number}\n".encode(), took=1.5))
    console(script.says(7, b"unfinished", took=0.3))
    console.tick(script.at)
    head, step, *output = terminal.lines()
    assert head == "hello  amd64 · 10 steps · isolation: id range"
    assert step[2:] == " 8 Compile  shell".ljust(79 - 2 - 4) + "12 s"
    assert output == [f"     │ {text}" for text in ("line 4", "line 5", "line 6", "line 7", "unfinished")]
    assert terminal.cursor_hidden


def test_a_finished_step_is_one_line_and_the_output_goes():
    terminal = Terminal()
    console, script = begun(terminal)
    play(console, compiling(script, 7, 9))
    play(console, iter([script.done(7, 143.0)]))
    assert terminal.lines()[1:] == ["✓  8 Compile  shell".ljust(79 - 10) + "2 min 23 s"]
    console.close()
    assert not terminal.cursor_hidden
    assert terminal.screen.cursor.x == 0


def test_a_whole_build():
    terminal = Terminal(rows=60)
    console = live(terminal)
    play(console, success())
    console.close()
    lines = terminal.lines()
    assert lines[2].startswith("▸  2 create-systree debian-12  building debian-12")
    assert lines[3].startswith("  ✓ 1 debootstrap bookworm") and lines[3].endswith(" 14 s")
    assert lines[6].startswith("✓  2 create-systree debian-12") and lines[6].endswith(" 20 s")
    assert lines[8].startswith("✓ 4-6") and lines[8].endswith("cached")
    assert lines[10] == "! step 8, Compile, may not reach pypi.org: the step declares no network"
    assert lines[14].startswith("✓ 10 create-artifact hello  1.2 MB, 14 files")
    assert lines[16] == "✓ hello built in 3 min 05 s · 7 steps run · 3 cached"
    assert f"    sha256:{DIGEST}" in lines
    assert "    out/hello.tar.zst" in lines
    assert lines[-1] == "! Network access was refused to pypi.org (3 times)"
    assert not any("gcc" in line for line in lines)
    assert len({len(line) for line in lines[1:15] if line[:1] in "✓▸ " and line.endswith(" s")}) == 1


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10), (20, 5), (200, 50), (0, 24)])
@pytest.mark.parametrize("scene", [success, failure, cached])
def test_no_size_leaves_rubbish_or_folded_rows(size, scene):
    terminal = Terminal(size[0] or 80, size[1])
    console = live(terminal)
    play(console, scene())
    console.close()
    text = terminal.everything()
    assert not any(frame in text for frame in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    assert "extracting" not in text
    assert text.count("hello  amd64") == 1


def test_cached_steps_fold_and_few_do_not():
    terminal = Terminal()
    console = live(terminal)
    play(console, cached())
    assert terminal.lines()[1] == "✓ 1-50" + " " * 67 + "cached"
    terminal, script = Terminal(), Script()
    console = live(terminal)
    play(console, iter([script.start(), script.cached(1), script.cached(2), script.begin(3), script.done(3, 1.0)]))
    assert [line.split()[:2] for line in terminal.lines()[1:]] == [["✓", "2"], ["✓", "3"], ["✓", "4"]]
    assert terminal.lines()[1].endswith("cached")
    terminal = Terminal(rows=120)
    console = live(terminal, verbose=True)
    play(console, cached())
    assert sum(line.endswith("  cached") for line in terminal.lines()) == 50


def test_nothing_to_do_writes_little():
    terminal = Terminal()
    console = live(terminal)
    for event in cached():
        console(event)
    console.close()
    assert terminal.writes <= 4


def test_short_steps_get_a_line_and_no_picture():
    terminal, script = Terminal(rows=60), Script([(f"s{n}", "shell") for n in range(50)])
    console = live(terminal)
    console(script.start())
    for step in range(50):
        console(script.begin(step))
        console(script.done(step, 0.01))  # the script's clock moves 10 ms a step
    assert len(terminal.lines()) == 51
    assert terminal.writes < 70


def test_redraws_are_bounded_whatever_is_written():
    terminal = Terminal()
    console, script = begun(terminal)
    before = terminal.writes
    for _ in range(10_000):
        console(script.says(7, b"x\n", took=0.0001))  # one second
        console.tick(script.at)
    assert 8 <= terminal.writes - before <= 14


def test_a_narrower_window_is_followed_at_once():
    terminal = Terminal(100, 24)
    console, script = begun(terminal)
    play(console, compiling(script, 7, 7))
    terminal.screen.resize(columns=50)
    play(console, compiling(script, 7, 2))
    assert all(len(line) <= 49 for line in terminal.lines()[1:])
    assert sum("Compile" in line for line in terminal.lines()) == 1
    play(console, iter([script.done(7, 1.0)]))
    assert len(terminal.lines()) == 2


def test_a_low_window_shows_fewer_lines():
    terminal = Terminal(80, 4)
    console, script = begun(terminal)
    play(console, compiling(script, 7, 9))
    assert len([line for line in terminal.lines() if "gcc" in line]) == 2
    play(console, iter([script.done(7, 1.0)]))
    assert "gcc" not in terminal.everything()


def test_one_line_a_refused_host_and_a_bound_on_hosts():
    terminal = Terminal(100, 80)
    console, script = begun(terminal)
    for number in range(50):
        for _ in range(2):
            play(console, iter([script.fetched(7, f"https://user:secret@host{number}.example:8443/x?y", "refused")]))
    play(console, iter([script.done(7, 1.0), script.end()]))
    text = terminal.everything()
    assert sum("may not reach" in line for line in terminal.lines()) == 20
    assert "host0.example:8443 (2 times)" in text and "60 requests to other" in text.replace("\n ", "")
    assert "secret" not in text


def test_a_failure_ends_with_what_to_type():
    terminal = Terminal(100, 50)
    play(live(terminal), failure())
    lines = terminal.lines()
    assert "The last 20 lines of step 8 of 10, Compile:" in lines
    headline = lines.index("✗ hello failed in step 8 of 10, Compile, after 8.1 s")
    assert lines[headline - 2] == "  │ make: *** [Makefile:988: all] Error 2"  # it had no newline
    assert lines[headline + 1] == "  the command ended with exit code 2"
    assert lines[-1].startswith("hint: contractor log ")
    assert lines[-2].startswith("record: /home/ann/")
    assert not terminal.cursor_hidden


def test_a_failure_inside_a_base_shows_the_output_of_the_base():
    terminal, outer = Terminal(100, 50), Script()
    console = live(terminal)
    play(console, iter([outer.start(), outer.begin(1)]))
    inner = list(base(outer))[:14]  # to the end of debootstrap's output
    play(console, iter(inner))
    script = Script(build=inner[0].build)
    play(console, iter([script.done(0, 3.0, Outcome.BROKEN), script.end(Outcome.BROKEN, step=0)]))
    play(console, iter([outer.done(1, 3.1, Outcome.BROKEN), outer.end(Outcome.BROKEN, step=1, message="no mirror")]))
    text = terminal.everything()
    assert "of step 1 of 3, debootstrap bookworm of debian-12:" in text
    assert "package-11_1.0" in text
    assert "Not the project's fault" in text
    assert text.count("✗ hello broke in step 2 of 10") == 1


def test_digests_are_whole_where_they_fit():
    for columns, digest in ((160, f"sha256:{DIGEST}"), (80, f"sha256:{DIGEST}"), (60, f"sha256:{DIGEST[:16]}…")):
        terminal, script = Terminal(columns, 40), Script()
        play(live(terminal), iter([script.start(), script.end(artifacts=ARTIFACTS)]))
        assert any(digest in line.split() for line in terminal.lines())


def test_colour_is_only_there_when_asked_for():
    for colour in (True, False):
        terminal = Terminal()
        play(live(terminal, colour=colour), success())
        sgr = [part for part in terminal.raw.split("\x1b[")[1:] if part.lstrip("0123456789;")[:1] == "m"]
        assert bool(sgr) is colour


def test_a_terminal_that_knows_only_ascii():
    terminal = Terminal(100, 60)
    terminal.encoding = "ascii"
    play(live(terminal), success())
    assert terminal.raw.isascii()
    assert "+  8 Compile" in terminal.raw


def test_a_clock_that_jumps_back_and_a_stream_that_goes_away():
    terminal = Terminal()
    console, script = begun(terminal)
    console.tick(script.at - 3600)
    assert terminal.lines()[1].endswith(" 0.0 s")
    terminal.write = lambda text: (_ for _ in ()).throw(BrokenPipeError())
    play(console, compiling(script, 7, 20))
    play(console, iter([script.done(7, 1.0), script.end()]))
    console.close()
    console.close()
    console(script.begin(3))


def test_close_in_the_middle_gives_the_terminal_back():
    terminal = Terminal()
    console, script = begun(terminal)
    play(console, compiling(script, 7, 4))
    console.close()
    assert terminal.lines() == ["hello  amd64 · 10 steps · isolation: id range"]
    assert not terminal.cursor_hidden and (terminal.screen.cursor.y, terminal.screen.cursor.x) == (1, 0)
    assert pyte.modes.DECAWM in terminal.screen.mode


def test_events_of_unknown_builds_and_steps_are_no_error():
    terminal, script = Terminal(), Script()
    console = live(terminal)
    play(console, iter([script.begin(0), script.says(0, b"x"), script.done(0, 1.0), script.end()]))
    play(console, iter([script.start(), script.begin(99), script.says(99, b"x\n"), script.done(99, 1.0)]))
    assert terminal.lines()[1].startswith("✓ 100")


def test_threads_may_emit_while_another_ticks():
    terminal = Terminal()
    console, script = begun(terminal)
    stop = time.monotonic() + 0.3

    def ticking() -> None:
        while time.monotonic() < stop:
            console.tick(script.at)

    def talking() -> None:
        while time.monotonic() < stop:
            console(script.says(7, b"x\n", took=0.05))

    threads = [threading.Thread(target=work) for work in (ticking, talking, ticking)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    play(console, iter([script.done(7, 1.0)]))
    assert len(terminal.lines()) == 2
