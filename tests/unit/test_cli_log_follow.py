"""contractor log --follow: live, to the end, of a step, of a base inside; the end, a death, Ctrl-C."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from fake_build import FakeBuild

from contractor.cli.logs import follow as log_follow
from contractor.cli.logs.sinks import Clean
from contractor.cli.main import main
from contractor.core.errors import Outcome
from contractor.store.layout import Store, in_use
from contractor.store.records import Records


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(log_follow, "_PERIOD", 0.005)
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def watch(capfdbinary, *argv: str) -> tuple[int, bytes, str]:
    code = main(["log", "--follow", *argv])
    said = capfdbinary.readouterr()
    return code, said.out, said.err.decode()


def play(build: FakeBuild, outcome: Outcome = Outcome.SUCCEEDED) -> Callable[[], None]:
    def work() -> None:
        with build:
            for index in range(2):
                build.begins(index)
                for number in range(5):
                    build.writes(b"step %d line %d\n" % (index, number))
                    time.sleep(0.01)
                build.ends_step(index, outcome if index else Outcome.SUCCEEDED)
            build.ends(outcome, 1 if outcome is not Outcome.SUCCEEDED else -1)

    return work


EVERYTHING = b"".join(b"step %d line %d\n" % (index, number) for index in range(2) for number in range(5))


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.SUCCEEDED, 0), (Outcome.FAILED, 1), (Outcome.ABORTED, 130)])
def test_every_byte_then_the_end_and_its_exit_code(store, capfdbinary, outcome, code):
    build = FakeBuild(store, "Compile", "Test")
    with in_use(store, "placeholder"):
        thread = beside(play(build, outcome))
        while not os.path.exists(f"{build.records.folder(build.id)}/record.json"):
            time.sleep(0.001)
        found, out, err = watch(capfdbinary)
        thread.join()
    assert (found, out) == (code, EVERYTHING)
    assert {0: "hello built in", 1: "failed in step 2 of 2, Test", 130: "was aborted"}[code] in err


def test_a_build_that_has_only_its_folder_is_waited_for(store, capfdbinary):
    build = FakeBuild(store, "Compile", "Test")
    folder = build.records.folder(build.id)

    def work() -> None:
        time.sleep(0.05)
        play(build)()

    os.mkdir(folder)
    thread = beside(work)
    code, out, _err = watch(capfdbinary, build.id)
    thread.join()
    assert (code, out) == (0, EVERYTHING)


def test_a_build_that_has_ended_is_printed_and_told(store, capfdbinary):
    code, out, err = watch(capfdbinary, NEW)
    assert (code, out) == (1, b"compiling\nwarning: \x1b[31mred\nlinkenot ok 1")
    assert "hello: failed after 12 s" in err
    assert watch(capfdbinary, OLD, "--step", "2", "--tail", "1")[:2] == (0, b"ok 2\n")


def test_one_step_is_waited_for_and_ends_the_watch(store, capfdbinary):
    build = FakeBuild(store, "Compile", "Test")
    go = threading.Event()

    def work() -> None:
        with build:
            build.begins(0)
            build.writes(b"not this\n")
            go.wait()
            time.sleep(0.03)
            build.ends_step(0)
            build.begins(1)
            build.writes(b"this\n")
            build.ends_step(1, Outcome.FAILED)
            time.sleep(0.2)
            build.ends(Outcome.FAILED, 1)

    thread = beside(work)
    while build.size == 0:
        time.sleep(0.001)
    go.set()
    code, out, err = watch(capfdbinary, build.id, "--step", "Test")
    thread.join()
    assert (code, out) == (1, b"this\n")
    assert "waiting for step 2, Test" in err
    assert "step 2, Test: failed after 1.0 s" in err


def test_a_step_that_turns_out_to_be_cached(store, capfdbinary):
    with FakeBuild(store, "Compile", "Test") as build:
        build.cached(0, OLD)
        code, out, err = watch(capfdbinary, build.id, "--step", "1")
    assert (code, out) == (0, b"compiling\nwarning: \x1b[31mred\nlinke")
    assert OLD in err and "step 1, Compile: cached" in err


def test_a_step_that_is_never_reached(store, capfdbinary):
    with FakeBuild(store, "Compile", "Test") as build:
        build.begins(0)
        build.ends(Outcome.FAILED, 0)
        code, out, err = watch(capfdbinary, build.id, "--step", "2")
    assert (code, out) == (1, b"")
    assert "was not reached: the build ended before it (failed)" in err


def test_a_build_that_dies_is_said_to_have(store, capfdbinary):
    def work() -> None:
        with build:
            build.begins(0)
            build.writes(b"last words")
            ready.set()
            time.sleep(0.05)

    build, ready = FakeBuild(store, "Compile", "Test"), threading.Event()
    thread = beside(work)
    ready.wait()
    code, out, err = watch(capfdbinary, build.id)
    thread.join()
    assert (code, out) == (6, b"last words")
    assert "died" in err and "hint: build again" in err


def test_a_base_that_is_built_inside_is_followed(store, capfdbinary):
    inner = "20250306-101501-debian-12-dddd"
    with FakeBuild(store, "create-systree", "Test") as build:
        build.begins(0)
        with FakeBuild(store, "debootstrap", build=inner, outer=build.id) as base:
            base.begins(0)
            base.writes(b"in the base\n")
            base.ends_step(0)
            base.ends()
        build.writes(b"system tree\n")
        build.ends_step(0)
        build.begins(1)
        build.writes(b"test\n")
        build.ends_step(1)
        build.ends()
        code, out, _err = watch(capfdbinary, build.id)
    assert (code, out) == (0, b"system tree\ntest\n")  # it has ended: as `contractor log` prints it

    def work() -> None:
        with FakeBuild(store, "create-systree", build=build.id[:-4] + "eeee") as again:
            again.begins(0)
            with FakeBuild(store, "debootstrap", build=inner[:-4] + "ffff", outer=again.id) as base:
                base.begins(0)
                base.writes(b"in the base\n")
                seen.set()
                time.sleep(0.1)
                base.ends_step(0)
                base.ends()
            again.writes(b"system tree\n")
            again.ends_step(0)
            again.ends()

    seen = threading.Event()
    thread = beside(work)
    seen.wait()
    code, out, _err = watch(capfdbinary)
    thread.join()
    assert (code, out) == (0, b"in the base\nsystem tree\n")


def test_the_newest_that_runs_is_meant_and_a_tail_begins_it(store, capfdbinary):
    newest = "20990101-000000-hello-ffff"
    add(store, record(newest, steps=(step("Test"),)), b"")
    build, ready = FakeBuild(store, "Compile"), threading.Event()

    def work() -> None:
        with build:
            build.begins(0)
            build.writes(b"1\n2\n3\n")
            ready.set()
            time.sleep(0.05)
            build.writes(b"4\n")
            build.ends_step(0)
            build.ends()

    thread = beside(work)
    ready.wait()
    with in_use(store, newest):  # somebody is in a shell of it
        code, out, _err = watch(capfdbinary, "--tail", "1")
    thread.join()
    assert (code, out) == (0, b"3\n4\n")
    assert watch(capfdbinary)[1] == b""  # none runs: the last one


def test_matching_lines_as_they_come(store, capfdbinary):
    build, ready = FakeBuild(store, "Compile", "Test"), threading.Event()

    def work() -> None:
        with build:
            build.begins(0)
            build.writes(b"one\nerr")
            ready.set()
            time.sleep(0.03)
            build.writes(b"or\ntwo\n")
            build.ends_step(0)
            build.ends()

    thread = beside(work)
    ready.wait()
    code, out, _err = watch(capfdbinary, "--grep", "^error$")
    thread.join()
    assert (code, out) == (0, b"1 Compile:2:error\n")


def test_ctrl_c_leaves_the_build_alone_and_says_so(store, capfdbinary, monkeypatch):
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with FakeBuild(store, "Compile") as build:
        build.begins(0)
        build.writes(b"so far\n")
        monkeypatch.setattr(log_follow.time, "sleep", interrupted)
        code, out, err = watch(capfdbinary, build.id)
        monkeypatch.undo()
    assert (code, out) == (130, b"so far\n")
    assert "the build goes on" in err


def test_a_line_without_an_end_is_shown_and_drawn_again(capsys, monkeypatch):
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: os.terminal_size((20, 24)))
    sink = Clean(headings=False, redraw=True)
    for data in (b"10%", b"\r20%", b"\rdone\nnext"):
        sink.feed(data)
        sink.pause()
    sink.end()
    erase = "\r\x1b[K"
    assert capsys.readouterr().out == f"{erase}10%{erase}20%{erase}done\n{erase}next{erase}next\n"


def test_events_of_a_later_version_are_passed_over(store, capfdbinary):
    with FakeBuild(store, "Compile") as build:
        with open(f"{Records(store).folder(build.id)}/events.jsonl", "ab") as file:
            file.write(b'{"v":1,"event":"new-kind","at":1.0,"build":"x"}\nrubbish\n')
        build.begins(0)
        build.writes(b"text")
        build.ends()
        assert watch(capfdbinary, build.id)[:2] == (0, b"text")
