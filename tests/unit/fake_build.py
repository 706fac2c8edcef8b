"""A build that only looks like one: its record, its lock, its events and its log, written as a real one would."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
from cli_store import add, record, step

from contractor.core import events
from contractor.core.errors import Outcome
from contractor.store.layout import Store, in_use
from contractor.store.progress import so_far
from contractor.store.records import Records


class FakeBuild:
    """Runs while it is entered; leaving it without `ends` is a death."""

    def __init__(self, store: Store, *steps: str, build: str = "20250306-101500-hello-cccc", outer: str = "") -> None:
        self.id = build
        self.records = Records(store)
        self._store = store
        self._steps = tuple(step(name, "not run", key=f"key-{name}") for name in steps)
        self._outer = outer
        self._stack = ExitStack()
        self.size = 0

    def __enter__(self) -> FakeBuild:
        self._stack.enter_context(in_use(self._store, self.id))
        add(self._store, record(self.id, "running", steps=self._steps, parent=self._outer))
        infos = tuple(
            events.StepInfo(name=s.name, action=s.action, place=s.place, network=s.network, key=s.key)
            for s in self._steps
        )
        name = self.id[16:-5]
        self.emit(
            events.BuildStarted, name=name, arch="amd64", plan="", tier="t", steps=infos, parent=self._outer, record=""
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def emit(self, kind: type[events.Event], **fields: object) -> None:
        event = kind(at=time.time(), build=self.id, **fields)
        for build in (self.id, self._outer) if self._outer else (self.id,):
            with open(f"{self.records.folder(build)}/events.jsonl", "ab") as file:
                file.write(events.encode(event))

    def begins(self, index: int) -> None:
        self.emit(events.StepStarted, step=index, log_start=self.size)

    def cached(self, index: int, made_by: str) -> None:
        self.emit(events.StepCached, step=index, made_by=made_by)

    def writes(self, data: bytes) -> None:
        with open(Path(self.records.folder(self.id), "log"), "ab") as file:
            file.write(data)
        self.size += len(data)

    def ends_step(self, index: int, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        self.emit(events.StepFinished, step=index, outcome=outcome, seconds=1.0)

    def ends(self, outcome: Outcome = Outcome.SUCCEEDED, at_step: int = -1) -> None:
        final = msgspec.structs.replace(so_far(self.records, self.records.read(self.id)), outcome=outcome.value)
        self.records.write(final)
        message = "" if outcome is Outcome.SUCCEEDED else "it went wrong"
        self.emit(events.BuildFinished, outcome=outcome, seconds=2.0, step=at_step, message=message)
