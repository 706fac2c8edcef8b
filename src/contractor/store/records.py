"""Build records and logs, one folder a build.

    builds/<id>/record.json    what was asked for, what was used, what came out; "running" until the build has ended
    builds/<id>/plan.json      the plan, as it was run
    builds/<id>/log            every byte that the steps wrote; a step's part is in the record as offsets
    builds/<id>/events.jsonl   the events, but the output
    builds/<id>/diagnostics.tar.zst   after a failure, what the specification asked to keep
    builds/<id>/provenance/     after a success, signed provenance of each artifact (proof/provenance.py)
    builds/<id>/pinned         gc leaves the build alone, with all that it needs: since when, and why (pins.py)

An id is <UTC second>-<name>-<4 hex digits, the part of the second>: builds of a name sort by time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from contractor.core.errors import Broken, Rejected
from contractor.core.events import ArtifactInfo
from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.core.words import count
from contractor.store.layout import Store

RECORD_VERSION = 1
VERIFY, RETRY = "--verify", "--retry"  # in `asked`, before the build that is built again: all of it, or a step


class StepRecord(Value, frozen=True):
    """A step of a build. log_start, log_end: its bytes in the log. Times are seconds since the epoch, and seconds."""

    name: str
    action: str
    key: str
    place: str
    network: str
    outcome: str  # an Outcome, "cached", or "not run"
    started: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_rss: int = 0
    exit_code: int | None = None
    limit: str = ""  # the limit that ended it: time, memory, disk, ...
    log_start: int = 0
    log_end: int = 0
    fetches: tuple[Fetch, ...] = ()
    packages: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()  # names only
    message: str = ""
    made_by: str = ""  # for a cached step, the build that ran it
    left: str = ""  # the state in store/states of the workspace as a step left it that did not succeed
    tainted: str = ""  # why its result is not what its key says: somebody's shell changed what it read


class Record(Value, frozen=True):
    """A build, for people and for proofs. outcome is "running" until it has ended."""

    id: str
    name: str
    outcome: str
    started: float
    plan: str
    arch: str
    epoch: int
    epoch_origin: str
    parameters: dict[str, str]
    matrix: dict[str, str]
    inputs: dict[str, str]  # step name -> digest or commit of its source, digest of its download
    tier: str
    degraded: bool
    memory: str  # how the memory limit is held
    limits: dict[str, Any]
    tools: dict[str, str]  # name -> version: what took part
    host: dict[str, str]  # kernel, machine
    spec: str  # the specification's path
    version: int = RECORD_VERSION
    parent: str = ""
    finished: float = 0.0
    seconds: float = 0.0
    steps: tuple[StepRecord, ...] = ()
    artifacts: tuple[ArtifactInfo, ...] = ()
    message: str = ""
    details: tuple[str, ...] = ()
    hint: str = ""
    bases: dict[str, str] = {}  # base name -> the build that made it, when this one had to
    kept: str = ""  # where the workspace was kept
    asked: tuple[str, ...] = ()  # what was asked for besides the plan, as options: ("--from", "3")
    tainted: str = ""  # why some of its results are not what their keys say


def encode(record: Record) -> bytes:
    """What record.json is."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1)


def without_kept(data: bytes) -> bytes:
    """A record.json in which no workspace is kept, and all else is as it was written, also by another Contractor, whose
    records have other fields. msgspec.DecodeError: it is no record."""
    fields = msgspec.json.decode(data, type=dict[str, Any])
    if not fields.get("kept") or msgspec.json.format(msgspec.json.encode(fields), indent=1) != data:
        return data
    return msgspec.json.format(msgspec.json.encode({**fields, "kept": ""}), indent=1)


class Records:
    def __init__(self, store: Store) -> None:
        self._store = store

    def new_id(self, name: str) -> str:
        """An id that nobody has; its folder exists when this returns."""
        while True:
            second, part = divmod(time.time(), 1)
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(second))
            build = f"{stamp}-{name}-{int(part * 0x10000):04x}"
            try:
                os.mkdir(self.folder(build), 0o700)
            except FileExistsError:
                continue
            except OSError as error:
                raise Broken(f"cannot make {self.folder(build)}: {error.strerror}", hint="`contractor gc`") from error
            return build

    def folder(self, build: str) -> str:
        return self._store.path("builds", build)

    def write(self, record: Record) -> None:
        self._write(record.id, encode(record))

    def forget_kept(self, build: str) -> None:
        """No workspace of the build is kept any more."""
        with open(f"{self.folder(build)}/record.json", "rb") as file:
            data = file.read()
        self._write(build, without_kept(data))

    def _write(self, build: str, data: bytes) -> None:
        path = f"{self.folder(build)}/record.json"
        try:
            with open(f"{path}.new", "wb") as file:
                file.write(data)
            os.rename(f"{path}.new", path)
        except OSError as error:
            raise Broken(f"the record cannot be written: {path}: {error.strerror}", hint="`contractor gc`") from error

    def read(self, build: str) -> Record:
        """The record of a build by its whole id; Rejected when there is none."""
        try:
            with open(f"{self.folder(build)}/record.json", "rb") as file:
                record = msgspec.json.decode(file.read(), type=Record)
        except FileNotFoundError as error:
            raise Rejected(f"there is no build {build}", hint="`contractor list` shows the builds") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Broken(f"the record of {build} cannot be read: {error}") from error
        if record.kept:  # in this store, which may have been elsewhere then
            return msgspec.structs.replace(record, kept=self._store.path("work", build, "place", "ws"))
        return record

    def ids(self) -> list[str]:
        """All builds, newest first."""
        return sorted(os.listdir(self._store.path("builds")), key=lambda build: (build[:15], build[-4:]), reverse=True)

    def all(self) -> Iterator[Record]:
        """All readable records, newest first."""
        for build in self.ids():
            with contextlib.suppress(Rejected, Broken):
                yield self.read(build)

    def find(self, text: str) -> str:
        """The build that is meant: an id or the beginning of one, a name (its newest), or "last".

        With ~N behind it, the Nth build before that one: of the same name, or of all that no other build asked for
        when it is last~N. "~" is ~1. Rejected when there is none, or when the beginning fits several (they are listed).
        """
        start, tilde, steps = text.rpartition("~")
        if tilde:
            return self._before(start, steps)
        ids = self.ids()
        if text in ("", "last"):
            top = next(self._asked_for(), None)
            if top is None:
                raise Rejected("there is no build yet", hint="`contractor build` makes one")
            return top
        if text in ids:
            return text
        fits = [build for build in ids if build.startswith(text)]
        named = [build for build in ids if build[16:-5] == text]
        if named:
            return named[0]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise Rejected(f"{text} fits {len(fits)} builds", details=tuple(fits[:20]), hint="give more of the id")
        from contractor.store.collected import collected_builds  # only for the message

        gone = [f"{build}: {when}" for build, when in collected_builds(self._store, text).items()]
        any_more = " any more" if gone else ""
        raise Rejected(
            f"there is no build {text}{any_more}", details=tuple(gone[:20]), hint="`contractor list` shows the builds"
        )

    def _before(self, start: str, steps: str) -> str:
        """The build so many steps before the one that `start` means."""
        if steps and not (steps.isascii() and steps.isdigit() and len(steps) < 10):
            raise Rejected(f"{start}~{steps}: a number of builds comes after ~", hint="for example last~1")
        number = int(steps or 1)
        if start in ("", "last"):
            line = list(islice(self._asked_for(), number + 1))
            whose = ""
        else:
            first = self.find(start)
            line = [build for build in self.ids() if build[16:-5] == first[16:-5] and build <= first]
            whose = f" of {first[16:-5]}" + (f" up to {first}" if first[16:-5] != start else "")
        if len(line) <= number:
            hint = "`contractor list -n 0` shows them" if line else "`contractor build` makes one"
            there = f"the store has {count(len(line), 'build')}{whose}"
            raise Rejected(f"{start}~{steps} is too far back: {there}", hint=hint)
        return line[number]

    def _asked_for(self) -> Iterator[str]:
        """Builds that somebody asked for, not those of bases that another build needed; newest first."""
        return (record.id for record in self.all() if not record.parent)
