"""What several builds at once look like: rows on a terminal, prefixed lines in a pipe, and the last words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_store import artifact, record, step
from console_screen import Pipe, Terminal, terminal_size
from console_script import ARTIFACTS, Script

from contractor.cli.console.matrix import make_matrix_console, tell_matrix
from contractor.cli.jobs import sum_up
from contractor.cli.matrix_words import labels_of
from contractor.core.errors import Outcome
from contractor.core.events import AnyEvent
from contractor.store.layout import Store

MATRICES = [{"FROM": "4.0", "TO": "5"}, {"FROM": "4.1", "TO": "5"}, {"FROM": "4.1.1", "TO": "5"}]


@pytest.fixture(autouse=True)
def _terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", terminal_size)


def console(stream: Terminal | Pipe, mode: str = "live", *, ci: str = "", verbose: bool = False, matrices=MATRICES):
    columns = stream.screen.columns if isinstance(stream, Terminal) else 0
    more = {"colour": False, "ci": ci, "width": lambda: columns, "verbose": verbose, "history": None}
    return make_matrix_console(stream, matrices, mode=mode, **more)


def script(number: int) -> Script:
    made = Script(build=f"20250304-10150{number}-iuk-000{number}")
    made.at = 1000.0
    return made


def test_a_label_has_only_what_tells_builds_apart() -> None:
    assert labels_of(MATRICES) == ["4.0", "4.1", "4.1.1"]
    assert labels_of([{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]) == ["1 x", "2 y"]
    assert labels_of([{"a": "1", "b": "x"}]) == ["1 x"]


def test_a_row_a_build() -> None:
    terminal = Terminal(80, 24)
    shown = console(terminal)
    one, two = script(1), script(2)
    for event in (one.start(matrix=MATRICES[0]), two.start(matrix=MATRICES[1]), one.begin(0), two.begin(3)):
        shown(event)
    shown.tick(1003.0)
    lines = terminal.lines()
    assert "3 builds" in lines[0]
    assert " 4.0 " in lines[1] and "1/" in lines[1] and "3.0 s" in lines[1]
    assert " 4.1 " in lines[2] and "4/" in lines[2]
    assert lines[3] == "· 4.1.1  waits for its turn"
    shown(two.end(seconds=4.0))
    shown.tick(1004.0)
    assert terminal.lines()[2].startswith("✓ 4.1 ") and terminal.lines()[2].endswith("4.0 s")
    shown.close()
    assert not terminal.cursor_hidden


def test_a_wait_is_shown_until_something_happens() -> None:
    terminal = Terminal(80, 24)
    shown = console(terminal)
    one = script(1)
    for event in (one.start(matrix=MATRICES[0]), one.begin(0), one.notice("waiting for mksquashfs", "wait")):
        shown(event)
    shown.tick(1001.0)
    assert "waiting for mksquashfs" in terminal.lines()[1]
    shown(one.says(0, b"on we go\n"))
    shown.tick(1002.0)
    assert "waiting" not in "\n".join(terminal.lines())


def test_warnings_and_failures_stay_above_the_rows() -> None:
    terminal = Terminal(80, 24)
    shown = console(terminal)
    one = script(1)
    events: list[AnyEvent] = [
        one.start(matrix=MATRICES[0]),
        one.begin(0),
        one.notice("memory is only watched", "warning"),
        one.says(0, b"cc: error\n"),
        one.done(0, 1.0, Outcome.FAILED),
        one.end(Outcome.FAILED, step=0, message="the step failed with exit code 1"),
    ]
    for event in events:
        shown(event)
    text = "\n".join(terminal.lines())
    assert "! 4.0: memory is only watched" in text
    assert "│ cc: error" in text and "the step failed with exit code 1" in text
    assert text.index("exit code 1") < text.index("✗ 4.0 ") < text.index("· 4.1 ")


def test_more_builds_than_rows() -> None:
    terminal = Terminal(60, 8)
    matrices = [{"N": str(number)} for number in range(30)]
    shown = console(terminal, matrices=matrices)
    for number in range(10):
        one = script(number)
        shown(one.start(matrix=matrices[number]))
        shown(one.begin(0))
        if number < 8:
            shown(one.end())
    shown.tick(1001.0)
    lines = terminal.lines()
    assert len(lines) <= 8
    assert any(line.split()[1] == "8" for line in lines) and any(line.split()[1] == "9" for line in lines)
    assert "more to come" in lines[-1] and "done" in lines[-1]


def test_hostile_names_stay_in_their_row() -> None:
    terminal = Terminal(60, 10)
    matrices = [{"N": "a\x1b[2Jb\n"}, {"N": "日本" * 40}]
    shown = console(terminal, matrices=matrices)
    one = script(1)
    shown(one.start(matrix=matrices[0]))
    shown(one.begin(0))
    shown.tick(1001.0)
    assert len(terminal.lines()) == 3
    assert "\x1b[2J" not in terminal.raw


def test_plain_lines_say_whose_they_are() -> None:
    pipe = Pipe()
    shown = console(pipe, "plain")
    one, two = script(1), script(2)

    def events() -> Iterator[AnyEvent]:
        yield one.start(matrix=MATRICES[0])
        yield two.start(matrix=MATRICES[1])
        yield one.begin(0)
        yield two.begin(0)
        yield one.says(0, b"half a ")
        yield two.says(0, b"of two\n")
        yield one.says(0, b"line\n")
        yield two.done(0, 1.0, Outcome.FAILED)
        yield two.end(Outcome.FAILED, step=0, message="no")
        yield one.done(0, 1.0)
        yield one.end(artifacts=ARTIFACTS)

    for event in events():
        shown(event)
    shown.close()
    lines = pipe.getvalue().splitlines()
    assert all(line.startswith(("4.0   |", "4.1   |")) for line in lines), lines
    assert "4.0   | half a line" in lines and "4.1   | of two" in lines
    assert "4.1   |   │ of two" in lines, "the end of the output again: what stands above is of several builds"


def test_no_command_of_a_runner_gets_through() -> None:
    pipe = Pipe()
    shown = console(pipe, "plain", ci="github")
    one = script(1)
    for event in (one.start(matrix=MATRICES[0]), one.begin(0), one.says(0, b"::set-env::x\n  ##[error]y\n")):
        shown(event)
    shown.close()
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in pipe.getvalue().splitlines())


def told(records: list, *, width: int = 0, mode: str = "plain", matrices=MATRICES) -> list[str]:
    stream = Terminal(width, 50) if width else Pipe()
    tell_matrix(
        stream, matrices, records, mode=mode, colour=False, width=lambda: width, seconds=12.0, jobs=2
    )  # fmt: skip
    return stream.lines() if isinstance(stream, Terminal) else stream.getvalue().splitlines()


def three() -> list:
    good = record("20250304-101500-iuk-0001", seconds=3.6, artifacts=ARTIFACTS[:1], steps=(
        step("base", "cached"), step("unpack release-4.0", seconds=1.0), step("Compress", seconds=2.5),
    ))  # fmt: skip
    bad = record("20250304-101500-iuk-0002", "failed", seconds=12.0, message="exit code 3", hint="look\nthere", steps=(
        step("base", "cached"), step("unpack release-4.1", seconds=1.2), step("Compress", "failed", seconds=1.0),
    ))  # fmt: skip
    return [good, bad, None]


def test_the_last_words_have_the_times_and_every_failure_with_its_hint() -> None:
    lines = told(three())
    text = "\n".join(lines)
    assert lines[1] == "✗ 3 builds: 1 succeeded, 1 failed, 1 not begun in 12 s, 2 at a time"
    assert "unpack release-4.…" in text and "base" not in text, "what was cached everywhere took no time"
    compress = next(line for line in lines if line.strip().startswith("Compress"))
    assert compress.split() == ["Compress", "2.5", "s", "1.0", "s", "failed", "-"]
    waiting = next(line for line in lines if line.strip().startswith("waiting for each other"))
    assert waiting.split()[4:] == ["-", "9.8", "s", "-"]
    assert "✗ 4.1 failed in step 3 of 3, Compress" in lines
    after = lines[lines.index("✗ 4.1 failed in step 3 of 3, Compress") :]
    assert after[1:4] == ["  exit code 3", "  hint: look", "        there"]
    assert any(ARTIFACTS[0].digest in line and line.startswith("  4.0") for line in lines)
    assert lines[-1].startswith("hint: run the same command again")


def test_in_a_narrow_terminal_each_build_has_a_line() -> None:
    matrices = [{"N": f"version-{number}"} for number in range(12)]
    records = [record("20250304-101500-iuk-0001", steps=(step("Compress", seconds=2.0),)) for _ in matrices]
    lines = told(records, width=70, matrices=matrices)
    assert lines[1].startswith("✓ 12 builds: 12 succeeded")
    assert any(line.split()[:2] == ["version-3", "succeeded"] and "Compress 2.0 s" in line for line in lines)
    assert max(map(len, lines)) < 70


def test_a_quiet_console_has_last_words_only_for_failures() -> None:
    assert told(three()[:1], mode="quiet", matrices=MATRICES[:1]) == []
    assert "✗ 4.1 failed in step 3 of 3, Compress" in told(three(), mode="quiet")


def test_one_file_of_sums_over_all_builds(tmp_path: Path) -> None:
    from contractor.build.export.exporting import export_artifacts, target_folder

    store = Store(str(tmp_path / "store"))
    records = []
    for number, matrix in enumerate(MATRICES):
        tree = tmp_path / f"tree-{number}"
        (tree / "sub").mkdir(parents=True)
        (tree / "sub" / "a file").write_text(f"{number}\n")
        made = artifact(store, tree, "kit", "directory")
        folder = target_folder(str(tmp_path / "out"), matrix, True)
        copied = export_artifacts([made], store, folder, 1)
        records.append(record(f"20250304-101500-iuk-000{number}", matrix=matrix, artifacts=copied))
    sums = tmp_path / "out" / "SHA256SUMS"
    sum_up(str(tmp_path / "out"), records)
    lines = sums.read_text().splitlines()
    assert [line.split("  ")[1] for line in lines[:3]] == [
        "FROM-4.0,TO-5/kit/sub/a file", "FROM-4.1,TO-5/kit/sub/a file", "FROM-4.1.1,TO-5/kit/sub/a file",
    ]  # fmt: skip
    assert sum(line.startswith("# sha256 of the uncompressed archive of FROM-4.1,TO-5/kit: ") for line in lines) == 1
    from contractor.build.verify.sums import compare_outputs, read_sums

    assert compare_outputs(read_sums(str(sums)), read_sums(str(sums))).equal
    sum_up(str(tmp_path / "out"), [records[0], None, records[2]])
    assert not sums.exists(), "what an earlier run left is not of this one"
