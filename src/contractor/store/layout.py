"""The store: where everything that must last is, and who is using what.

    VERSION                       the number of this layout
    blobs/sha256/ab/...           sources, downloads, artifacts: content by digest (cas.py)
    captured/ab/...               what networked steps fetched, by digest (captured.py)
    git/<commit>                  the digest of a commit's archive, which is a blob
    layers/<ids>/<key>/           a layer of a system tree, with files of many owners; <ids>: whose ids those are
    states/<key>                  the workspace after an action (states.py)
    results/<key>.json            finished actions (results.py); unsynced/<boot>/ is of this boot only
    builds/<id>/                  record.json, log, events.jsonl (records.py)
    config/                       the keys of a user without a home (proof/keyring.py)
    journal/                      the audit journal, which nothing is ever taken out of (proof/journal.py)
    work/<id>/                    a running build's place, with `lock` (held) and `uses` (keys that gc must leave)
    locked/<id>.json              which locks were written with this store, and what they name (lock_roots.py)
    trash/                        being removed
    collected.jsonl               what was removed, when and by which rule (collected.py)
    locks/                        gc, one for each base that is being made, and those of turns.py

Everything is 0700: a layer may hold setuid files, and a state is somebody's source.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contractor.core.errors import Broken, Rejected
from contractor.store.captured import Captured
from contractor.store.cas import Blobs

LAYOUT = 1
_FOLDERS = ("blobs", "layers", "states", "results", "builds", "work", "trash", "locks", "sources")


class Store:
    """A store's paths and locks. Opening it makes the folders; that is all that is done at start-up."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        try:
            self.root.encode()  # it is written into records and messages
        except UnicodeEncodeError as error:
            raise Rejected(
                f"the store's path {self.root!r} is not UTF-8", hint="choose another: --store DIR"
            ) from error
        self._open()
        self.blobs = Blobs(Path(self.root, "blobs"))
        self.captured = Captured(f"{self.root}/captured")

    def _open(self) -> None:
        version = f"{self.root}/VERSION"
        try:
            with open(version, encoding="ascii") as file:
                found = file.read().strip()
        except FileNotFoundError:
            self._create(version)
            return
        except (OSError, UnicodeDecodeError) as error:
            raise Broken(f"the store {self.root} cannot be read: {error}", hint="use another (--store DIR)") from error
        if found != str(LAYOUT):
            raise Rejected(
                f"the store {self.root} has layout {found}, this Contractor knows {LAYOUT}",
                hint="use another store (--store DIR), or the Contractor that made this one",
            )

    def _create(self, version: str) -> None:
        try:
            os.makedirs(self.root, 0o700, exist_ok=True)
            if os.listdir(self.root) and not os.path.isdir(f"{self.root}/results"):
                raise Rejected(f"{self.root} is not empty and is not a store", hint="name an empty or a new folder")
            for name in _FOLDERS:
                os.makedirs(f"{self.root}/{name}", 0o700, exist_ok=True)
            temporary = f"{version}.{os.getpid()}"
            with open(temporary, "w", encoding="ascii") as file:
                file.write(f"{LAYOUT}\n")
            os.rename(temporary, version)
        except OSError as error:
            raise Broken(
                f"the store {self.root} cannot be made: {error.strerror}", hint="choose another with --store DIR"
            ) from error

    def path(self, *names: str) -> str:
        return "/".join((self.root, *names))

    def layer(self, ids: str, key: str) -> str:
        return f"{self.root}/layers/{ids}/{key}"

    def state(self, key: str) -> str:
        return f"{self.root}/states/{key}"

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While results are looked up and marked as used: gc's choice waits for it, and it for gc's."""
        with locked(self.path("locks", "gc"), shared=True, what="`contractor gc` to choose what goes"):
            yield


def take_lock(
    path: str, *, shared: bool = False, wait: float = 0.0, tick: Callable[[], None] | None = None
) -> int | None:
    """A locked descriptor (closing it unlocks), or None when it was not to be had within `wait` seconds.

    tick: called while waiting; it may raise KeyboardInterrupt.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(fd)
                raise
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(0.05)
            if tick is not None:
                try:
                    tick()
                except BaseException:
                    os.close(fd)
                    raise
        else:
            return fd


@contextlib.contextmanager
def locked(
    path: str,
    *,
    what: str,
    shared: bool = False,
    wait: float = 60.0,
    waiting: Callable[[], None] | None = None,
    tick: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold a lock; Broken when it was not to be had in `wait` seconds. waiting: called once if it is not free."""
    fd = take_lock(path, shared=shared)
    if fd is None:
        if waiting is not None:
            waiting()
        fd = take_lock(path, shared=shared, wait=wait, tick=tick)
    if fd is None:
        raise Broken(f"waited {wait:.0f} seconds for {what}", hint=f"see who holds {path}: `fuser -v {path}`")
    try:
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def in_use(store: Store, build: str) -> Iterator[None]:
    """A build's folder below work/ with its lock held: what gc leaves alone. It goes with the build, unless kept."""
    folder = store.path("work", build)
    os.mkdir(folder, 0o700)
    lock = take_lock(f"{folder}/lock")
    if lock is None:
        raise Broken(f"somebody else holds {folder}/lock", hint="run `contractor gc`")
    try:
        yield
    finally:
        os.close(lock)
        if not os.path.exists(f"{folder}/place"):
            for name in ("lock", "uses", "secrets"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
