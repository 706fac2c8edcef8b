"""How long steps are likely to take: the estimate, where it comes from, what is said of it and where."""

from __future__ import annotations

import os
import statistics
import time

import pytest
from cli_store import add, record, step
from console_screen import Pipe, Terminal, terminal_size
from console_script import BASE_STEPS, Script, infos
from fake_build import FakeBuild
from hypothesis import assume, given
from hypothesis import strategies as st

from contractor.cli.console.console import make_console
from contractor.cli.console.eta import history_of, left_text, roughly, running_times, total_text
from contractor.cli.main import main
from contractor.core.errors import Outcome
from contractor.core.events import BuildStarted
from contractor.store.layout import Store
from contractor.store.records import Records
from contractor.store.timings import RUNS, estimate, expected

SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(SECONDS, min_size=1, max_size=20), st.randoms())
def test_the_estimate_is_the_median_of_the_newest_runs(runs, chance):
    found = estimate(runs)
    assert found == statistics.median(runs[:RUNS])
    newest = runs[:RUNS]
    chance.shuffle(newest)
    assert estimate([*newest, *runs[RUNS:]]) == found


@given(st.lists(st.floats(1, 100), min_size=3, max_size=RUNS), st.floats(0, 1e9), st.integers(0, RUNS - 1))
def test_one_odd_run_moves_the_estimate_no_further_than_the_others_reach(runs, odd, at):
    others = [seconds for number, seconds in enumerate(runs) if number != at % len(runs)]
    runs[at % len(runs)] = odd
    assert min(others) <= estimate(runs) <= max(others)


def test_no_run_gives_no_estimate():
    assert estimate([]) is None


@given(SECONDS, SECONDS)
def test_a_longer_time_never_sounds_shorter(one, other):
    assume(one <= other)
    assert read(roughly(one)) <= read(roughly(other))


@given(st.floats(1, 1e6))
def test_what_is_said_is_near_what_is_meant(seconds):
    assert seconds * 0.6 <= read(roughly(seconds)) <= seconds * 1.51


def read(text: str) -> int:
    """ "1 h 05 min" in seconds."""
    words = text.split()
    return sum(
        int(number) * {"s": 1, "min": 60, "h": 3600}[unit] for number, unit in zip(*[iter(words)] * 2, strict=True)
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"), (7.2, "7 s"), (9.6, "10 s"), (58, "1 min"), (95, "1 min 30 s"), (600, "10 min"), (3580, "1 h"),
        (3900, "1 h 05 min"),
    ],
)  # fmt: skip
def test_rough_times(seconds, text):
    assert roughly(seconds) == text


def test_a_running_steps_time_says_when_it_is_unusual():
    assert running_times(12, None) == ["12 s"]
    assert running_times(12, 100)[0] == "12 s of about 1 min 30 s"
    assert running_times(110, 100)[0].startswith("1 min 50 s of about")  # half of all runs take longer than the median
    assert running_times(150, 100) == [
        "2 min 30 s, longer than usual (1 min 30 s)", "2 min 30 s (usually 1 min 30 s)", "2 min 30 s"
    ]  # fmt: skip
    assert running_times(1.5, 0.2) == ["1.5 s"]


@given(st.lists(st.none() | SECONDS, max_size=6), SECONDS)
def test_what_is_left_is_said_only_when_most_is_known(likely, elapsed):
    text = left_text(likely, elapsed)
    known = [seconds for seconds in likely if seconds is not None]
    if not likely or likely[0] is None or len(known) <= len(likely) / 2:
        assert text == ""
    elif text:
        assert text.startswith("about" if len(known) == len(likely) else "at least")
        assert sum(known) >= 1


def test_the_sum_of_a_plan():
    assert total_text([]) == total_text([None, 0.2]) == ""
    assert total_text([60.0, 30.0]) == "about 1 min 30 s in all"
    assert total_text([60.0, None]) == "at least 1 min in all: 1 step never ran before"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def ran(store: Store, number: int, *steps, **more) -> None:
    add(store, record(f"20250304-1015{number:02}-hello-aaaa", steps=steps, **more))


def likely(store: Store, *steps: tuple[str, str], matrix: dict[str, str] | None = None, budget: float = 5.0):
    return expected(Records(store), "hello", matrix or {}, steps, budget)


def test_only_runs_that_succeeded_in_builds_of_this_name_and_matrix_count(store):
    ran(store, 1, step("A", seconds=10.0), step("B", seconds=5.0))
    ran(store, 2, step("A", "failed", seconds=99.0), step("B", "not run"))
    ran(store, 3, step("A", "cached"), step("B", seconds=7.0, action="apt"))
    ran(store, 4, step("A", seconds=1000.0), matrix={"arch": "arm64"})
    add(store, record("20250304-101505-other-aaaa", steps=(step("A", seconds=1.0),)))
    ran(store, 6, step("A", seconds=20.0), outcome="running")
    assert likely(store, ("A", "shell"), ("B", "shell"), ("B", "apt"), ("C", "shell")) == (15.0, 5.0, 7.0, None)
    assert likely(store, ("A", "shell"), matrix={"arch": "arm64"}) == (1000.0,)


def test_steps_of_one_name_are_told_apart_by_their_order(store):
    ran(store, 1, step("A", seconds=1.0), step("A", seconds=9.0))
    assert likely(store, ("A", "shell"), ("A", "shell"), ("A", "shell")) == (1.0, 9.0, None)


def test_the_newest_runs_count_and_reading_stops(store, monkeypatch):
    for number in range(30):
        ran(store, number, step("A", seconds=float(number)), step("B", "succeeded" if number == 0 else "cached"))
    assert likely(store, ("A", "shell")) == (26.0,)  # the median of 23..29
    assert likely(store, ("B", "shell")) == (None,)  # it is older than the builds that are looked at
    assert likely(store, ("A", "shell"), budget=-1.0) == (None,)


def test_records_that_cannot_be_read_are_no_trouble(store, tmp_path):
    ran(store, 1, step("A", seconds=3.0))
    for number, data in ((2, b"{"), (3, b'{"steps": 3}'), (4, b"")):
        os.mkdir(store.path("builds", f"20250304-10150{number}-hello-bbbb"))
        with open(store.path("builds", f"20250304-10150{number}-hello-bbbb", "record.json"), "wb") as file:
            file.write(data)
    os.mkdir(store.path("builds", "20250304-101505-hello-cccc"))
    assert likely(store, ("A", "shell")) == (3.0,)
    os.rename(store.path("builds"), store.path("moved"))
    assert likely(store, ("A", "shell")) == (None,)


class Asked:
    """A history that counts how often it is asked."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.names: list[str] = []

    def __call__(self, started: BuildStarted) -> list[float | None]:
        self.names.append(started.name)
        return [self.seconds.get(info.name) for info in started.steps]


STEPS = [("Unpack", "shell"), ("Compile", "shell"), ("Test", "shell")]


def drawn(monkeypatch, columns: int, history: Asked, elapsed: float, rows: int = 24) -> list[str]:
    """The screen when the second of three steps has run for a while."""
    monkeypatch.setattr("os.get_terminal_size", terminal_size)
    terminal, script = Terminal(columns, rows), Script(STEPS)
    console = make_console(
        terminal, mode="live", colour=False, ci="", width=lambda: columns, verbose=False, history=history
    )
    for event in (script.start(), script.begin(0), script.done(0, 0.1), script.begin(1), script.says(1, b"gcc\n")):
        console(event)
    console.tick(script.at - 0.1 + elapsed)
    return terminal.lines()


def test_a_running_step_shows_what_is_usual_and_what_is_left(monkeypatch):
    *_rest, line, output, left = drawn(monkeypatch, 80, Asked(Compile=120.0, Test=60.0), 72)
    assert line.endswith("1 min 12 s of about 2 min") and "2 Compile  shell" in line
    assert output.endswith("│ gcc")
    assert left == "  about 2 min left"


def test_a_step_that_takes_longer_says_so(monkeypatch):
    lines = drawn(monkeypatch, 80, Asked(Compile=60.0), 120)
    assert lines[-2].endswith("2 min 00 s, longer than usual (1 min)")
    assert "left" not in lines[-1]


def test_the_name_goes_before_the_estimate_where_it_is_narrow(monkeypatch):
    for columns, text in ((40, "1 min 12 s of about 2 min"), (34, "1 min 12 s of ~2 min"), (24, "1 min 12 s")):
        lines = drawn(monkeypatch, columns, Asked(Compile=120.0, Test=60.0), 72)
        assert "2 Compile" in lines[-3] and lines[-3].endswith(f" {text}"), lines
        assert all(len(line) < columns for line in lines)


def test_a_low_window_keeps_the_step(monkeypatch):
    lines = drawn(monkeypatch, 80, Asked(Compile=120.0, Test=60.0), 72, rows=3)
    assert "Compile" in "".join(lines)
    assert lines[-1] == "  about 2 min left"


def test_nobody_asks_before_a_step_has_run_for_a_second(monkeypatch):
    history = Asked(Compile=120.0)
    lines = drawn(monkeypatch, 80, history, 0.9)
    assert history.names == []
    assert lines[-2].endswith(" 0.9 s")
    drawn(monkeypatch, 80, history, 1.1)
    assert history.names == ["hello"]


def test_a_base_inside_a_step_knows_what_follows_it(monkeypatch):
    monkeypatch.setattr("os.get_terminal_size", terminal_size)
    terminal, outer = Terminal(), Script([("create-systree debian-12", "create-systree"), ("Compile", "shell")])
    history = Asked(**{"Compile": 60.0, "debootstrap bookworm": 20.0, "Common packages": 10.0, "create-artifact": 1.0})
    console = make_console(terminal, mode="live", colour=False, ci="", width=lambda: 80, verbose=False, history=history)
    inner = Script(BASE_STEPS, "20250304-101502-debian-12")
    for event in (outer.start(), outer.begin(0), inner.start("debian-12", parent=outer.build), inner.begin(0)):
        console(event)
    console.tick(inner.at + 5)
    assert terminal.lines()[-1] == "  about 1 min 30 s left"
    assert sorted(history.names) == ["debian-12", "hello"]


def test_a_plain_log_says_it_once_where_it_is_long():
    pipe, script, history = Pipe(), Script(STEPS), Asked(Unpack=9.0, Compile=100.0, Test=100.0)
    console = make_console(pipe, mode="plain", colour=False, ci="", width=lambda: 0, verbose=False, history=history)
    console(script.start())
    for number in range(3):
        console(script.begin(number))
        console(script.says(number, b"half a line"))
        for tenths in range(30 if number < 2 else 5):
            console.tick(script.at + tenths / 10)
        script.at += 3
        console(script.done(number, 3.0))
        console.tick(script.at + 5)
    console(script.end(Outcome.SUCCEEDED))
    lines = pipe.getvalue().splitlines()
    assert [line for line in lines if "usually" in line] == ["usually takes 1 min 30 s"]
    assert lines[lines.index("usually takes 1 min 30 s") + 1] == "half a line"
    assert history.names == ["hello"]


def test_the_history_of_a_store(store):
    ran(store, 1, step("Unpack", seconds=4.0))
    started = Script(STEPS).start()
    assert started.steps == infos(STEPS)
    assert history_of(store)(started) == (4.0, None, None)


def test_list_says_where_a_running_build_is(store, capsys):
    ran(store, 1, step("Compile", seconds=100.0), step("Test", seconds=200.0))
    with FakeBuild(store, "Compile", "Test") as build:
        build.begins(0)
        build.ends_step(0)
        build.begins(1)
        build.records.write(record(build.id, "running", steps=build.records.read(build.id).steps, started=time.time()))
        assert main(["list", "--store", store.root]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if build.id in line)
    assert "running 2/2 Test" in row
    assert "s, about 3 min 30 s left" in row
