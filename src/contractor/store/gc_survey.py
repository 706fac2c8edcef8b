"""What is in a store, read for gc: what has a name, and what a crash left. Nothing is changed here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from contractor.core.digest import is_digest
from contractor.store.gc_builds import Builds, decoded
from contractor.store.gc_model import Survey, Thing
from contractor.store.gc_policy import YOUNG
from contractor.store.layout import Store
from contractor.store.lock_roots import roots
from contractor.store.pins import pin_of
from contractor.store.results import Results

Measure = Callable[[str, str], int]  # a folder and a name in it -> bytes on the disk
_STARTING = 60.0  # seconds: a build's folder is there before its lock
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Leftover(msgspec.Struct, frozen=True):
    """Something that nobody will ask for: `name` in `folder` (below the store's root), and why."""

    folder: str
    name: str
    why: str


def survey(store: Store, builds: Builds, sizes: Mapping[str, int], workspaces: Mapping[str, int]) -> Survey:
    """What has a name in the store. sizes: of the layers, by their path below the root; workspaces: by build."""
    results = Results(store, "")
    found = {}
    for key in _result_keys(store):
        result = results.read(key) or results.read(key)  # twice: a build may settle it between two folders
        if result is not None:
            found[key] = result
    return Survey(
        now=time.time(),
        since=_cutoff(builds),
        builds=builds.measured(workspaces),
        results=found,
        states=tuple(_files(store, "states")),
        layers=tuple(_layers(store, sizes)),
        blobs=tuple(_parted(store, "blobs/sha256")),
        captured=tuple(_parted(store, "captured")),
        locked={root.path: root.digests for root in roots(store) if root.here},
        live=builds.in_use(),
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
    cutoff = _cutoff(builds)
    yield from (Leftover("trash", name, "was being removed") for name in _names(store, "trash"))
    yield from _dead_builds(store, builds, cutoff)
    for boot in _names(store, "results/unsynced"):
        if boot != boot_id():
            yield Leftover("results/unsynced", boot, "of an earlier boot: not known to be on the disk")
    for folder, begins in _temporary(store):
        for name in _names(store, folder):
            if name.startswith(begins) and (name.startswith(".gc-") or _mtime(store, folder, name) < cutoff):
                yield Leftover(folder, name, "was not finished")
    for folder, known in (("sources", _source_archive), ("git", _git_archive)):
        for name in _names(store, folder):
            young = name.startswith(".") or _mtime(store, folder, name) >= cutoff
            if not young and not _has_archive(store, known(store, name)):
                yield Leftover(folder, name, "its archive is gone")
    for root in roots(store):
        if not root.here:
            yield Leftover("locked", root.name, f"{root.path or 'its lock'} is gone")


def _cutoff(builds: Builds) -> float:
    return min(time.time() - YOUNG, builds.oldest_live())


def _dead_builds(store: Store, builds: Builds, cutoff: float) -> Iterator[Leftover]:
    kept = set(builds.kept())
    for build in _names(store, "work"):
        if build not in builds.live and build not in kept and _mtime(store, "work", build) < time.time() - _STARTING:
            yield Leftover("work", build, "its build ended without removing it")
    for build in _names(store, "builds"):
        known = build in builds.live or build in builds.found or pin_of(store, build) is not None
        if not known and _mtime(store, "builds", build) < cutoff:
            yield Leftover("builds", build, "has no readable record")


def _temporary(store: Store) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Folders, and how the names of what is being made in them begin."""
    yield "blobs", (".",)
    yield "blobs/tmp", ("",)
    yield "blobs/damaged", ("",)
    yield "captured/tmp", ("",)
    yield "git", (".",)
    yield "locked", (".",)
    yield "states", (".",)
    yield f"results/unsynced/{boot_id()}", (".",)
    yield "locks", ("tools.json.",)
    for ids in _names(store, "layers"):
        yield f"layers/{ids}", (".",)
    for build in _names(store, "builds"):
        yield f"builds/{build}", ("record.json.", "plan.json.", "pinned.")


def _source_archive(store: Store, name: str) -> str:
    known = decoded(store.path("sources", name), dict[str, str])
    return known.get("digest", "") if known else ""


def _git_archive(store: Store, name: str) -> str:
    try:
        with open(store.path("git", name), encoding="ascii") as file:
            return file.read(65).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _has_archive(store: Store, digest: str) -> bool:
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


def _parted(store: Store, folder: str) -> Iterator[Thing]:
    """The files in a folder's folders, which have two digits of their names."""
    for part in _names(store, folder):
        yield from _files(store, f"{folder}/{part}")


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
