"""contractor log: every byte, by step; a cached step's from the build that ran it."""

from __future__ import annotations

import os

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from fake_build import FakeBuild
from hypothesis import given
from hypothesis import strategies as st

from contractor.cli.commands import log
from contractor.cli.logs import parts
from contractor.cli.logs.sinks import Clean
from contractor.cli.main import main
from contractor.core.errors import Rejected
from contractor.store.layout import Store
from contractor.store.records import Records


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def out(capfdbinary, *argv: str) -> bytes:
    assert main(["log", *argv]) == 0
    return capfdbinary.readouterr().out


def test_all_of_a_build_byte_for_byte(store, capfdbinary):
    with open(f"{Records(store).folder(OLD)}/log", "rb") as file:
        assert out(capfdbinary, OLD) == file.read()


def test_a_cached_steps_log_comes_from_the_build_that_ran_it(store, capfdbinary):
    expected = b"compiling\nwarning: \x1b[31mred\nlinked"
    assert out(capfdbinary, NEW, "--step", "1") == expected[:33]
    assert out(capfdbinary, NEW, "--step", "Compile") == expected[:33]
    assert out(capfdbinary, NEW) == expected[:33] + b"not ok 1"


def test_tail_counts_lines_and_the_last_needs_no_end(store, capfdbinary):
    assert out(capfdbinary, OLD, "--tail", "2") == b"ok 1\nok 2\n"
    assert out(capfdbinary, NEW, "--tail", "1") == b"not ok 1"
    assert out(capfdbinary, OLD, "--tail", "0") == b""


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\x01", b"\n")), st.integers(1, 6))
def test_tail_is_the_last_lines(tmp_path_factory, data, number):
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(data)
    found = parts.tail([parts.Part(str(path), 0, len(data), "")], number)
    text = b"".join(b"".join(parts.pieces(part)) for part in found)
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    assert text == (b"\n".join(lines[-number:]) + (b"\n" if data.endswith(b"\n") else b"") if lines else b"")
    assert all(part.first == max(1, len(lines) - number + 1) for part in found)


def test_a_terminal_gets_clean_lines_only(store, capsys):
    sink = Clean(headings=True, redraw=False)
    part = parts.part_of(Records(store).read(OLD), 0, store)
    sink.begin(part)
    for data in parts.pieces(part):
        sink.feed(data)
    sink.end()
    assert capsys.readouterr().out == "==> 1. Compile\ncompiling\nwarning: red\nlinke\n"


def test_unknown_steps_are_answered_with_the_steps(store):
    made = Records(store).read(NEW)
    with pytest.raises(Rejected) as caught:
        parts.position(made, "Compele")
    assert "Compile" in caught.value.hint
    assert "2. Test" in caught.value.details
    for text in ("0", "4", "-1", ""):
        with pytest.raises(Rejected):
            parts.position(made, text)
    with pytest.raises(Rejected, match="not reached"):
        parts.part_of(made, 2, store)


def test_a_log_that_went_with_its_record_is_said_and_the_rest_is_shown(store, capfdbinary):
    os.unlink(f"{Records(store).folder(OLD)}/log")
    assert out(capfdbinary, NEW) == b"not ok 1"
    with pytest.raises(Rejected, match="is gone"):
        log.run([NEW, "--step", "1"])


def test_a_cached_step_says_whose_log_it_is(store, capfdbinary):
    assert main(["log", NEW, "--step", "1"]) == 0
    assert f"was cached here; this is what it wrote in {OLD}".encode() in capfdbinary.readouterr().err


def test_a_step_without_output_says_so_and_names_the_bases_log(store, capfdbinary):
    build = "20250306-101500-hello-cccc"
    add(store, record(build, steps=(step("create-systree"),), bases={"debian-12": "20250306-101501-debian-12-dddd"}))
    assert main(["log", build, "--step", "1"]) == 0
    said = capfdbinary.readouterr()
    assert said.out == b""
    assert b"wrote nothing; `contractor log 20250306-101501-debian-12-dddd`" in said.err


def test_of_a_running_build_there_is_all_so_far_and_each_step(store, capfdbinary):
    with FakeBuild(store, "Compile", "Test", "Pack") as build:
        build.writes(b"before any step")
        assert out(capfdbinary, build.id) == b"before any step"
        build.cached(0, OLD)
        build.begins(1)
        build.writes(b"testing\nstill")
        assert out(capfdbinary, build.id, "--step", "1") == b"compiling\nwarning: \x1b[31mred\nlinke"
        assert out(capfdbinary, build.id, "--step", "Test") == b"testing\nstill"
        with pytest.raises(Rejected, match="not reached") as caught:
            log.run([build.id, "--step", "3"])
        assert "--follow" in caught.value.hint


def test_a_build_that_died_keeps_its_parts(store, capfdbinary):
    with FakeBuild(store, "One", "Two") as build:
        build.begins(0)
        build.writes(b"first\n")
        build.ends_step(0)
        build.begins(1)
        build.writes(b"second")
    assert out(capfdbinary, build.id, "--step", "1") == b"first\n"
    assert out(capfdbinary, build.id, "--step", "Two") == b"second"


def test_attempts_are_every_build_that_ran_the_same_action(store, capfdbinary):
    third = "20250307-101500-hello-cccc"
    failed = step("Test", "failed", log_start=2, log_end=6, seconds=3.0, started=1741083300.0)
    add(store, record(third, "failed", steps=(failed,)), b"--ok 9\n")
    head, _rest, first, second, third_line, fourth = out(capfdbinary, OLD, "--step", "2", "--attempts").split(b"\n")
    assert head.startswith(b"==> attempt 1 of 2: " + OLD.encode()) and head.endswith(b"succeeded after 1.0 s")
    assert (first, second) == (b"ok 1", b"ok 2")
    assert third_line.startswith(b"==> attempt 2 of 2: " + third.encode()) and third_line.endswith(
        b"failed after 3.0 s"
    )
    assert fourth == b"ok 9"
    last = out(capfdbinary, OLD, "--step", "2", "--attempts", "--tail", "1")
    assert b"ok 1" not in last and b"ok 2" in last and b"ok 9" in last
    assert b"ok 9" in out(capfdbinary, third, "--attempts")  # of the step that failed


def test_attempts_without_a_failed_step_or_with_none_left_are_refused(store):
    with pytest.raises(Rejected, match="no step of this build failed"):
        log.run([OLD, "--attempts"])
    with pytest.raises(Rejected, match="no attempt"):
        log.run([NEW, "--attempts", "--step", "Pack"])


@pytest.mark.parametrize(
    "wrong", [["--tail", "-1"], ["-i"], ["-C", "1"], ["--json"], ["--attempts", "-f"], ["--grep", "x", "-C", "-1"]]
)
def test_options_that_make_no_sense_are_refused(store, wrong):
    with pytest.raises(Rejected):
        log.run([OLD, *wrong])
