"""What a build without a final record has done so far: its events, also while they are written.

A record says "running" until its build has ended, and for ever when the build was killed.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from contractor.core.events import AnyEvent, Decoder, StepCached, StepFinished, StepStarted
from contractor.store.records import Record, Records, StepRecord

RUNNING = "running"  # of a record, and of a step here: it has begun, and nothing tells its end


class EventReader:
    """The events of a build's folder, those of a base that is built inside it among them."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/events.jsonl"
        self._at = 0
        self._decoder = Decoder()

    def new(self) -> list[AnyEvent]:
        """The events that came since the last call; a line that is half written waits for the next one."""
        try:
            with open(self._path, "rb", buffering=0) as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        found = []
        for line in whole.split(b"\n")[:-1]:
            with contextlib.suppress(ValueError, msgspec.DecodeError):  # of another version
                found.append(self._decoder.decode(line))
        return found


def so_far(records: Records, record: Record) -> Record:
    """The record with its steps as they are now: outcome, start and place in the log; a final record as it is."""
    if record.outcome != RUNNING:
        return record
    folder = records.folder(record.id)
    try:
        size = os.path.getsize(f"{folder}/log")  # before the events: a step that starts later has no part in it
    except FileNotFoundError:
        size = 0
    steps = list(record.steps)
    last = -1
    for event in EventReader(folder).new():
        if event.build != record.id or not isinstance(event, StepStarted | StepCached | StepFinished):
            continue
        if not 0 <= event.step < len(steps):
            continue
        if isinstance(event, StepStarted):
            if last >= 0:
                steps[last] = msgspec.structs.replace(steps[last], log_end=event.log_start)
            last = event.step
        steps[event.step] = _after(steps[event.step], event)
    if last >= 0:
        steps[last] = msgspec.structs.replace(steps[last], log_end=max(size, steps[last].log_start))
    return msgspec.structs.replace(record, steps=tuple(steps))


def running_step(record: Record) -> int:
    """The index of the step that runs, in a record from `so_far`; -1 when none does."""
    return next((index for index, step in enumerate(record.steps) if step.outcome == RUNNING), -1)


def _after(step: StepRecord, event: StepStarted | StepCached | StepFinished) -> StepRecord:
    if isinstance(event, StepStarted):
        return msgspec.structs.replace(step, outcome=RUNNING, started=event.at, log_start=event.log_start)
    if isinstance(event, StepCached):
        return msgspec.structs.replace(step, outcome="cached", made_by=event.made_by)
    return msgspec.structs.replace(step, outcome=event.outcome.value, seconds=event.seconds, message=event.message)
