"""What is in a store, read for gc: what has a name, who uses it, and what a crash left. Nothing is changed here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from contractor.core.digest import is_digest
from contractor.store.gc_choice import YOUNG, Policy, Survey, Thing, digests_in
from contractor.store.layout import Store
from contractor.store.live import live_builds
from contractor.store.results import Results

Measure = Callable[[str, str], int]  # a folder and a name in it -> bytes on the disk
_STARTING = 60.0  # seconds: a build's folder is there before its lock
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
T = TypeVar("T")


class Leftover(msgspec.Struct, frozen=True):
    """Something that nobody will ask for: `name` in `folder` (below the store's root), and why."""

    folder: str
    name: str
    why: str


class _Action(msgspec.Struct):
    key: str


class _Plan(msgspec.Struct):
    actions: list[_Action]


class _Record(msgspec.Struct):
    started: float
    outcome: str = ""
    parent: str = ""
    kept: str = ""


class Builds:
    """The records of a store, as far as gc looks at them; read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.live = live_builds(store)
        self._records: dict[str, _Record] = {}
        self._keys: dict[str, frozenset[str]] = {}
        for build in sorted(os.listdir(store.path("builds")), reverse=True):
            found = _decoded(store.path("builds", build, "record.json"), _Record)
            if found is not None:
                self._records[build] = found
            self._keys[build] = self._plan_keys(build)

    def _plan_keys(self, build: str) -> frozenset[str]:
        plan = _decoded(self._store.path("builds", build, "plan.json"), _Plan)
        return frozenset(action.key for action in plan.actions) if plan is not None else frozenset()

    def look_again(self) -> None:
        """A build may have started or ended since; what the others used is as it was."""
        self.live = live_builds(self._store)

    def used(self) -> dict[str, float]:
        """When the newest build with each key in its plan started."""
        found: dict[str, float] = {}
        for build, record in self._records.items():
            for key in self._keys[build]:
                found[key] = max(found.get(key, 0.0), record.started)
        return found

    def recent(self, number: int) -> frozenset[str]:
        """The keys of the newest builds, and of the bases that were built for them."""
        chosen = set([build for build, record in self._records.items() if not record.parent][:number])
        grown = 0
        while grown != len(chosen):
            grown = len(chosen)
            chosen |= {build for build, record in self._records.items() if record.parent in chosen}
        return frozenset(key for build in chosen for key in self._keys[build])

    def in_use(self) -> frozenset[str]:
        """Every key and digest that a running build has looked up or has in its plan."""
        found: set[str] = set()
        for build in self.live:
            with contextlib.suppress(OSError), open(self._store.path("work", build, "uses"), encoding="ascii") as file:
                found.update(file.read().split())
            found |= digests_in(_decoded(self._store.path("builds", build, "plan.json"), dict[str, Any]))
        return frozenset(found)

    def kept(self) -> list[str]:
        """Builds whose workspace was kept because somebody asked for it: only `contractor clean` takes these."""
        return [
            build
            for build, record in self._records.items()
            if record.kept and record.outcome != "running" and os.path.isdir(self._store.path("work", build, "place"))
        ]

    def is_record(self, build: str) -> bool:
        return build in self._records

    def oldest_live(self) -> float:
        """When the first of the running builds started; now, if none runs."""
        return min((self._records[b].started for b in self.live if b in self._records), default=time.time())


def survey(store: Store, builds: Builds, policy: Policy, sizes: Mapping[str, int], other: int) -> Survey:
    """What has a name in the store. sizes: of the layers, by their path below the root."""
    results = Results(store, "")
    found = {}
    for key in _result_keys(store):
        result = results.read(key) or results.read(key)  # twice: a build may settle it between two folders
        if result is not None:
            found[key] = result
    recent = {} if policy.keep_builds is None else {policy.keep_builds: builds.recent(policy.keep_builds)}
    return Survey(
        now=time.time(),
        results=found,
        used=builds.used(),
        states=tuple(_files(store, "states")),
        layers=tuple(_layers(store, sizes)),
        blobs=tuple(_blobs(store)),
        live=builds.in_use(),
        recent=recent,
        other=other,
    )


def layer_sizes(store: Store, measure: Measure) -> dict[str, int]:
    """Path -> bytes of every layer. Walks them all, so this is done before anybody has to wait."""
    return {
        thing.path: measure(store.path(os.path.dirname(thing.path)), os.path.basename(thing.path))
        for thing in _layers(store, {})
    }


def boot_id() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def leftovers(store: Store, builds: Builds) -> Iterator[Leftover]:
    """What nobody will ask for. A temporary file counts when no running build is old enough to have made it."""
    cutoff = min(time.time() - YOUNG, builds.oldest_live())
    yield from (Leftover("trash", name, "was being removed") for name in _names(store, "trash"))
    yield from _dead_builds(store, builds, cutoff)
    for boot in _names(store, "results/unsynced"):
        if boot != boot_id():
            yield Leftover("results/unsynced", boot, "of an earlier boot: not known to be on the disk")
    for folder, begins in _temporary(store):
        for name in _names(store, folder):
            if name.startswith(begins) and (name.startswith(".gc-") or _mtime(store, folder, name) < cutoff):
                yield Leftover(folder, name, "was not finished")
    for name in _names(store, "sources"):
        if _mtime(store, "sources", name) < cutoff and not _has_source(store, name):
            yield Leftover("sources", name, "its archive is gone")


def _dead_builds(store: Store, builds: Builds, cutoff: float) -> Iterator[Leftover]:
    kept = set(builds.kept())
    for build in _names(store, "work"):
        if build not in builds.live and build not in kept and _mtime(store, "work", build) < time.time() - _STARTING:
            yield Leftover("work", build, "its build ended without removing it")
    for build in _names(store, "builds"):
        if build not in builds.live and not builds.is_record(build) and _mtime(store, "builds", build) < cutoff:
            yield Leftover("builds", build, "has no readable record")


def _temporary(store: Store) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Folders, and how the names of what is being made in them begin."""
    yield "blobs", (".",)
    yield "blobs/tmp", ("",)
    yield "blobs/damaged", ("",)
    yield "states", (".",)
    yield f"results/unsynced/{boot_id()}", (".",)
    yield "locks", ("tools.json.",)
    for ids in _names(store, "layers"):
        yield f"layers/{ids}", (".",)
    for build in _names(store, "builds"):
        yield f"builds/{build}", ("record.json.",)


def _has_source(store: Store, name: str) -> bool:
    known = _decoded(store.path("sources", name), dict[str, str])
    digest = known.get("digest", "") if known else ""
    return is_digest(digest) and os.path.exists(store.path("blobs", "sha256", digest[:2], f"{digest}.zst"))


def _result_keys(store: Store) -> set[str]:
    names = [*_names(store, f"results/unsynced/{boot_id()}"), *_names(store, "results")]  # as they are settled
    return {name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")}


def _layers(store: Store, sizes: Mapping[str, int]) -> Iterator[Thing]:
    for ids in _names(store, "layers"):
        for name in _names(store, f"layers/{ids}"):
            path = f"layers/{ids}/{name}"
            if not name.startswith("."):
                yield Thing(path, name, sizes.get(path, 0), _mtime(store, path))


def _blobs(store: Store) -> Iterator[Thing]:
    for part in _names(store, "blobs/sha256"):
        yield from _files(store, f"blobs/sha256/{part}")


def _files(store: Store, folder: str) -> Iterator[Thing]:
    for name in _names(store, folder):
        if is_digest(name.removesuffix(".zst")):
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(store.path(folder, name))
                yield Thing(f"{folder}/{name}", name.removesuffix(".zst"), found.st_blocks * 512, found.st_mtime)


def _names(store: Store, folder: str) -> list[str]:
    try:
        return sorted(os.listdir(store.path(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _mtime(store: Store, *names: str) -> float:
    try:
        return os.lstat(store.path(*names)).st_mtime
    except FileNotFoundError:
        return time.time()


def _decoded(path: str, kind: type[T]) -> T | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
