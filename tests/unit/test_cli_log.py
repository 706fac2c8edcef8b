"""contractor log: every byte, by step; a cached step's from the build that ran it."""

from __future__ import annotations

import os

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from hypothesis import given
from hypothesis import strategies as st

from contractor.cli.commands import log
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
    found = b"".join(b"".join(log.pieces(part)) for part in log.tail([log.Part(str(path), 0, len(data), "")], number))
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    assert found == (b"\n".join(lines[-number:]) + (b"\n" if data.endswith(b"\n") else b"") if lines else b"")


def test_a_terminal_gets_clean_lines_only(store):
    part = log.part_of(Records(store).read(OLD), 0, store)
    assert list(log.lines_of(part))[:2] == ["compiling", "warning: red"]


def test_unknown_steps_are_answered_with_the_steps(store):
    made = Records(store).read(NEW)
    with pytest.raises(Rejected) as caught:
        log.find_step(made, "Compil")
    assert "Compile" in caught.value.hint
    assert "2. Test" in caught.value.details
    for text in ("0", "4", "-1", ""):
        with pytest.raises(Rejected):
            log.find_step(made, text)
    with pytest.raises(Rejected, match="not reached"):
        log.part_of(made, 2, store)


def test_a_log_that_went_with_its_record_is_said_and_the_rest_is_shown(store, capfdbinary):
    os.unlink(f"{Records(store).folder(OLD)}/log")
    assert out(capfdbinary, NEW) == b"not ok 1"
    with pytest.raises(Rejected, match="is gone"):
        log.run([NEW, "--step", "1"])


def test_of_a_running_build_there_is_all_so_far_and_no_step(store, capfdbinary):
    build = "20250306-101500-hello-cccc"
    add(store, record(build, "running", steps=(step("Compile", "not run"),)), b"so far")
    assert out(capfdbinary, build) == b"so far"
    with pytest.raises(Rejected, match="not ended"):
        log.run([build, "--step", "1"])
