"""The builds of a store, as gc sees them: records, plans, pins, and who runs. Nothing is changed here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from contractor.core.digest import is_digest
from contractor.store.gc_model import Build, Ran, digests_in
from contractor.store.layout import Store
from contractor.store.live import live_builds
from contractor.store.pins import pin_of
from contractor.store.records import RETRY, VERIFY
from contractor.store.remove import usage

T = TypeVar("T")
_PARTS = frozenset({"--until", "--only", "--shell", "--shell-after", RETRY, VERIFY})  # then it is no whole one


class _Action(msgspec.Struct):
    key: str
    before: str = ""
    layers: tuple[str, ...] = ()


class _Plan(msgspec.Struct):
    actions: list[_Action]


class _Step(msgspec.Struct):
    name: str = ""
    key: str = ""
    outcome: str = ""
    left: str = ""
    made_by: str = ""
    tainted: str = ""


class _Record(msgspec.Struct):
    started: float
    name: str = ""
    outcome: str = ""
    finished: float = 0.0
    parent: str = ""
    kept: str = ""
    matrix: dict[str, str] = {}
    steps: tuple[_Step, ...] = ()
    bases: dict[str, str] = {}
    asked: tuple[str, ...] = ()
    tainted: str = ""


class Builds:
    """The builds that have a readable record, by id; `look_again` brings it up to date."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.live: set[str] = set()
        self.found: dict[str, Build] = {}
        self.look_again()

    def look_again(self) -> None:
        """Builds may have started, ended, gone, or been pinned since; what has ended stays as it is."""
        self.live = live_builds(self._store)
        folders = sorted(os.listdir(self._store.path("builds")), reverse=True)
        found = {}
        for build in folders:
            before = self.found.get(build)
            known = before if before is not None and before.outcome != "running" else self._read(build)
            if known is not None:
                pin, running = pin_of(self._store, build), build in self.live
                found[build] = msgspec.structs.replace(known, pin=pin, running=running)
        self.found = found

    def _read(self, build: str) -> Build | None:
        record = decoded(self._store.path("builds", build, "record.json"), _Record)
        if record is None:
            return None
        plan = decoded(self._store.path("builds", build, "plan.json"), _Plan)
        actions = plan.actions if plan is not None else []
        stood_on = {action.key: action for action in actions}
        steps = []
        for step in record.steps:
            on = stood_on.get(step.key, _Action(step.key))
            left = step.left if is_digest(step.left) else ""
            tainted = bool(step.tainted) or VERIFY in record.asked  # its keys are of no use to anybody else
            steps.append(Ran(step.name, step.key, step.outcome, left, step.made_by, on.before, on.layers, tainted))
        kept = bool(record.kept) and record.outcome != "running"
        return Build(
            id=build,
            name=record.name,
            outcome=record.outcome,
            started=record.started,
            finished=record.finished,
            parent=record.parent,
            matrix=record.matrix,
            whole=_PARTS.isdisjoint(record.asked) and not record.tainted,
            keys=frozenset(filter(is_digest, _names(*actions, *steps))),
            steps=tuple(steps),
            bases=tuple(record.bases.values()),
            size=folder_size(self._store, build),
            kept=kept and os.path.isdir(self._store.path("work", build, "place")),
        )

    def measured(self, workspaces: Mapping[str, int]) -> dict[str, Build]:
        """With the sizes of the workspaces that were kept on request."""
        return {
            build: msgspec.structs.replace(known, workspace=workspaces.get(build, 0))
            for build, known in self.found.items()
        }

    def kept(self) -> list[str]:
        """Builds whose workspace was kept because somebody asked for it: only `contractor clean` takes these."""
        return [build for build, known in self.found.items() if known.kept]

    def in_use(self) -> frozenset[str]:
        """Every key and digest that a running build has looked up or has in its plan."""
        found: set[str] = set()
        for build in self.live:
            with contextlib.suppress(OSError), open(self._store.path("work", build, "uses"), encoding="ascii") as file:
                found.update(file.read().split())
            found |= digests_in(decoded(self._store.path("builds", build, "plan.json"), dict[str, Any]))
        return frozenset(found)

    def oldest_live(self) -> float:
        """When the first of the running builds started; now, if none runs."""
        return min(map(self._began, self.live), default=time.time())

    def _began(self, build: str) -> float:
        if build in self.found:
            return self.found[build].started
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self._store.path("work", build, "lock")).st_mtime
        return time.time()


def _names(*actions: _Action | Ran) -> Iterator[str]:
    for action in actions:
        yield from (action.key, action.before, *action.layers)


def folder_size(store: Store, build: str) -> int:
    """Bytes on the disk of a build's record and logs."""
    fd = os.open(store.path("builds"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return usage(fd, build)[0]
    finally:
        os.close(fd)


def decoded(path: str, kind: type[T]) -> T | None:
    """What a JSON file holds; None when it is not there or is something else."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
