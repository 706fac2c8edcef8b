"""Files of a target's tree, and what a build hands out of it: results, under their sha1 in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from contractor.buildd.daemon.cache import announce
from contractor.buildd.model import Job
from contractor.core.errors import OutOfLimits, Rejected
from contractor.sandbox.spec import ROOT_ID

User = Literal["root", "buildd"]

RESULT_MAX = 64 << 30  # bytes of one result, holes included
_RESERVE = 256 << 20  # bytes of the disk that no result takes: the log and the state are on it
_PIECE = 1 << 20


class TargetFiles:
    """The part of a target that is about files. files: name of a result -> its sha1."""

    job: Job
    buildd: int
    files: dict[str, str]

    def call(self, operation: str, fds: Sequence[int] = (), **args: Any) -> Any:
        """An operation of the supervisor (buildd/inside/)."""
        raise NotImplementedError

    def tick(self) -> None:
        """Aborted once the build is to end."""
        raise NotImplementedError

    def write(self, path: str, data: bytes, mode: int = 0o644, *, user: User = "root") -> None:
        """A file of the tree; what was there goes, and directories above it are made."""
        with _memory(data) as fd:
            self.call("put", [fd], path=path, mode=mode, owner=self._owner(user))

    def append(self, path: str, data: bytes) -> None:
        """More of a small file of the tree."""
        self.write(path, (self.read(path, 1 << 20) if self.exists(path) else b"") + data)

    def read(self, path: str, limit: int) -> bytes:
        """A regular file's content, links followed within the tree. Rejected: there is none, or it is larger."""
        with _memory(b"") as fd:
            size = self.call("get", [fd], path=path, limit=limit, room=limit, follow=True)
            if size < 0:
                why = f"is larger than {limit} bytes" if size == -1 else "is no regular file of the target"
                raise Rejected(f"{path} {why}")
            return os.pread(fd, size, 0)

    def exists(self, path: str) -> bool:
        """Whether there is anything, links followed within the tree."""
        return bool(self.kind(path))

    def kind(self, path: str, *, follow: bool = True) -> str:
        """file, dir, link, other; empty for nothing."""
        found: str = self.call("look", path=path, follow=follow)
        return found

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted; none where there is no directory."""
        found = self.call("names", path=path)
        return [os.fsdecode(name) for name in found or ()]

    def mkdir(self, path: str, *, user: User = "root") -> None:
        """A directory and those above it."""
        self.call("make", path=path, owner=self._owner(user))

    def remove(self, path: str) -> None:
        """A path with all that is below it; nothing there is fine too."""
        self.call("drop", path=path)

    def add_file(self, source: str, path: str, *, user: User = "root") -> None:
        """A file of the cache into the tree."""
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.call("put", [fd], path=path, mode=0o644, owner=self._owner(user))
        finally:
            os.close(fd)

    def _owner(self, user: User) -> int:
        return ROOT_ID if user == "root" else self.buildd

    def result(self, path: str, name: str | None = None) -> bool:
        """A regular file of the tree as a result; False, and nothing done, for anything else (a link, say)."""
        sha1 = self.keep_file(path)
        if sha1:
            self.files[os.path.basename(path) if name is None else name] = sha1
        return bool(sha1)

    def result_bytes(self, name: str, data: bytes) -> None:
        """Bytes as a result."""
        self.files[name] = self.keep(data)

    def result_path(self, name: str, host_path: str) -> None:
        """A file of the host as a result."""
        with _new_in(self.job.cache) as new, open(host_path, "rb") as source:
            while os.sendfile(new.fd, source.fileno(), None, 1 << 30):
                pass
            self.files[name] = new.publish(self.tick)

    def keep(self, data: bytes) -> str:
        """Bytes into the cache under their sha1, which is returned; no result by itself."""
        with _new_in(self.job.cache) as new:
            view = memoryview(data)
            while view:
                view = view[os.write(new.fd, view) :]
            return new.publish()

    def keep_file(self, path: str) -> str:
        """The same for a regular file of the tree, whose holes stay; empty when it is none. OutOfLimits: it is larger
        than RESULT_MAX; Broken: there is no room for it."""
        with _new_in(self.job.cache) as new:
            room = _room(self.job.cache)
            size: int = self.call("get", [new.fd], path=path, limit=RESULT_MAX, room=room, follow=False)
            if size == -1:
                raise OutOfLimits(f"{path} is larger than a result may be, {RESULT_MAX >> 30} GiB")
            return new.publish(self.tick) if size >= 0 else ""


@contextlib.contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """A file in memory, at its start."""
    fd = os.memfd_create("contractor", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


class _New:
    """A file of the cache that has no name yet."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.path = f"{folder}/.result-{os.urandom(8).hex()}.tmp"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def publish(self, tick: Callable[[], None] = lambda: None) -> str:
        """Give it its name, which is returned: the sha1 of its bytes. A file that has it already stays as it is:
        somebody may be reading it, or know it by its times."""
        sha1 = _sha1(self.fd, tick)
        path = f"{self._folder}/{sha1}"
        if _is(path, sha1, os.fstat(self.fd).st_size, tick):
            return sha1
        announce(self._folder, sha1)
        os.rename(self.path, path)
        return sha1


def _sha1(fd: int, tick: Callable[[], None]) -> str:
    sha = hashlib.sha1(usedforsecurity=False)
    offset = 0
    while data := os.pread(fd, _PIECE, offset):
        sha.update(data)
        offset += len(data)
        tick()
    return sha.hexdigest()


def _is(path: str, sha1: str, size: int, tick: Callable[[], None]) -> bool:
    """Whether a regular file has these bytes: a name in the cache need not say the truth."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        return stat.S_ISREG(found.st_mode) and found.st_size == size and _sha1(fd, tick) == sha1
    finally:
        os.close(fd)


def _room(folder: str) -> int:
    """Bytes of the disk that a result may take."""
    found = os.statvfs(folder)
    return max(0, found.f_bavail * found.f_frsize - _RESERVE)


@contextlib.contextmanager
def _new_in(folder: str) -> Iterator[_New]:
    new = _New(folder)
    try:
        yield new
    finally:
        os.close(new.fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new.path)
