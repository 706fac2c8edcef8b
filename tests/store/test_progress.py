"""A build without a final record, as its events tell it: also while a line is being written, also after a kill."""

from __future__ import annotations

import os

import pytest

from contractor.core import events
from contractor.core.errors import Outcome
from contractor.store.layout import Store
from contractor.store.progress import EventReader, running_step, so_far
from contractor.store.records import Record, Records, StepRecord

BUILD, BASE = "20250304-101500-hello-aaaa", "20250304-101501-debian-12-bbbb"


@pytest.fixture
def records(tmp_path) -> Records:
    made = Records(Store(str(tmp_path / "store")))
    os.mkdir(made.folder(BUILD))
    return made


def step(name: str, outcome: str = "not run") -> StepRecord:
    return StepRecord(name=name, action="shell", key=name, place="bwrap", network="none", outcome=outcome)


def record(outcome: str = "running") -> Record:
    return Record(
        id=BUILD, name="hello", outcome=outcome, started=1.0, plan="", arch="amd64", epoch=0, epoch_origin="",
        parameters={}, matrix={}, inputs={}, tier="", degraded=False, memory="", limits={}, tools={}, host={}, spec="",
        steps=(step("A"), step("B"), step("C"), step("D")),
    )  # fmt: skip


def write(records: Records, *lines: bytes) -> None:
    with open(f"{records.folder(BUILD)}/events.jsonl", "ab") as file:
        file.writelines(lines)


def started(index: int, log_start: int, build: str = BUILD) -> bytes:
    return events.encode(events.StepStarted(at=5.0, build=build, step=index, log_start=log_start))


def finished(index: int, outcome: Outcome = Outcome.SUCCEEDED) -> bytes:
    return events.encode(events.StepFinished(at=6.0, build=BUILD, step=index, outcome=outcome, seconds=2.5))


def test_steps_have_their_outcome_and_their_place_in_the_log(records):
    cached = events.encode(events.StepCached(at=4.0, build=BUILD, step=0, made_by="other"))
    write(
        records, cached, started(1, 0), started(0, 0, BASE), finished(1), started(2, 10), b'{"v":1,"event":"unknown"}\n'
    )
    with open(f"{records.folder(BUILD)}/log", "wb") as file:
        file.write(b"x" * 25)
    found = so_far(records, record())
    a, b, c, d = found.steps
    assert (a.outcome, a.made_by) == ("cached", "other")
    assert (b.outcome, b.seconds, b.log_start, b.log_end) == ("succeeded", 2.5, 0, 10)
    assert (c.outcome, c.started, c.log_start, c.log_end) == ("running", 5.0, 10, 25)
    assert d.outcome == "not run"
    assert running_step(found) == 2
    assert running_step(record()) == -1


def test_a_final_record_is_as_it_is(records):
    write(records, started(0, 0))
    assert so_far(records, record("failed")) == record("failed")


def test_without_events_and_log_nothing_has_run(records):
    assert so_far(records, record()) == record()


def test_steps_that_are_not_in_the_record_are_passed_over(records):
    write(records, started(99, 0), started(-1, 0))
    assert so_far(records, record()) == record()


def test_a_half_written_line_waits_for_its_end(records):
    reader = EventReader(records.folder(BUILD))
    assert reader.new() == []
    one, two = started(0, 0), started(1, 7)
    write(records, one, two[:20])
    assert [event.step for event in reader.new()] == [0]
    assert reader.new() == []
    write(records, two[20:], b"rubbish\n", one)
    assert [event.step for event in reader.new()] == [1, 0]
