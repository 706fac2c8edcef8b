"""Finished actions by key. An action without a result here has never finished, whatever else lies around.

A result is written when all that it names is in place, first below unsynced/<boot>/: what was written since the
machine started may be lost when it crashes, so these count only until the next boot. Once the file system has been
synced (`settle`) they move up for good. kill -9 loses nothing; a power cut loses at most what was not synced.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec

from contractor.core.errors import Broken
from contractor.core.events import ArtifactInfo
from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.store.layout import Store


class Result(Value, frozen=True):
    """What an action left: a layer and a state are stored under its key, an artifact under its digest.

    inputs: what the key was made of; finished: seconds since the epoch; build: the build that ran it.
    """

    key: str
    kind: str
    name: str
    build: str
    finished: float
    seconds: float
    inputs: dict[str, Any]
    layer: bool = False
    state: bool = False
    below: dict[str, str] = {}  # which builds made what it stands on: workspace, tree, artifact
    before: str = ""  # the state that this one's delta is on top of
    artifact: ArtifactInfo | None = None
    fetches: tuple[Fetch, ...] = ()
    packages: tuple[str, ...] = ()  # name=version, sorted: what the tree has after an apt or debootstrap action
    blobs: tuple[str, ...] = ()  # digests of blobs that nothing else here names


class Results:
    """The results of one store, as seen with one set of ids (a layer made with other ids is none of ours)."""

    def __init__(self, store: Store, ids: str) -> None:
        self._store = store
        self._ids = ids
        self._folder = store.path("results")
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            self._boot = file.read().strip()
        self._unsynced = f"{self._folder}/unsynced/{self._boot}"
        self._decoder = msgspec.json.Decoder(Result)

    def find(self, key: str) -> Result | None:
        """The result of an action, if it finished and everything that it left is still there."""
        result = self.read(key)
        if result is None:
            return None
        if result.layer and not os.path.isdir(self._store.layer(self._ids, key)):
            return None
        if result.state and not os.path.exists(self._store.state(key)):
            return None
        if result.artifact is not None and not os.path.exists(artifact_path(self._store, result.artifact.digest)):
            return None
        return result

    def read(self, key: str) -> Result | None:
        """The result as it was written, whether or not its content is still there."""
        for folder in (self._folder, self._unsynced):
            try:
                fd = os.open(f"{folder}/{key}.json", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                return self._decoder.decode(os.read(fd, os.fstat(fd).st_size))
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None  # written by another version: as if it were not there
            finally:
                os.close(fd)
        return None

    def add(self, result: Result) -> None:
        """Make a finished action findable, by rename."""
        try:
            os.makedirs(self._unsynced, 0o700, exist_ok=True)
            temporary = f"{self._unsynced}/.{result.key}.{os.getpid()}"
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, msgspec.json.encode(result))
            finally:
                os.close(fd)
            os.rename(temporary, f"{self._unsynced}/{result.key}.json")
        except OSError as error:
            raise Broken(
                f"the result of {result.name!r} cannot be stored: {error.strerror}",
                hint="free some space (`contractor gc`) and build again: finished steps are kept",
            ) from error

    def remove(self, key: str) -> None:
        """Nobody finds it any more; none is fine too."""
        for folder in (self._unsynced, self._folder, self._unsynced):  # another build may settle it meanwhile
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}/{key}.json")

    def settle(self, sync: Any) -> int:
        """Sync the store's file system (`sync(fd)`), then keep for good what was added before; returns how many."""
        try:
            names = [name for name in os.listdir(self._unsynced) if not name.startswith(".")]
        except FileNotFoundError:
            return 0
        fd = os.open(self._store.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync(fd)
        finally:
            os.close(fd)
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another build settled it
                os.rename(f"{self._unsynced}/{name}", f"{self._folder}/{name}")
        return len(names)

    def chain(self, key: str) -> list[str]:
        """The states from the root to the one of `key`, as paths; [] for the empty workspace. Broken if one is gone."""
        keys: list[str] = []
        while key:
            result = self.read(key)
            if result is None or not result.state or not os.path.exists(self._store.state(key)):
                raise Broken(f"the workspace's state {key[:16]} is gone from the store", hint="build with --fresh")
            keys.append(key)
            key = result.before
        return [self._store.state(key) for key in reversed(keys)]


def artifact_path(store: Store, digest: str) -> str:
    """Where an artifact is: named by the digest of its uncompressed archive, stored as zstd."""
    return f"{store.root}/blobs/sha256/{digest[:2]}/{digest}.zst"
