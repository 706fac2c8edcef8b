"""What the builder is doing, on disk before anybody is told: a kill at any point leaves the old value or the new one.

FILECACHE/.state.json has a Current; FILECACHE/.lock is held by the one daemon that uses the folder. The live log is
locked as long as a worker, or anything that it started with the descriptor, is alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

import msgspec

from contractor.buildd.daemon.states import Current
from contractor.core.errors import Broken, Unavailable

_GONE_WITHIN = 10.0  # seconds in which the kernel ends the worker of a daemon that was killed


class Saved:
    """The state file of a cache folder; it holds the folder's lock until it is closed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, ".state.json")
        self._lock = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Unavailable(
                f"another builder uses {folder}", hint="stop it, or give this one a file cache of its own"
            ) from None

    def close(self) -> None:
        os.close(self._lock)

    def load(self) -> Current:
        """What was saved last; idle when nothing was. Broken when it cannot be read."""
        try:
            with open(self._path, "rb") as file:
                return msgspec.json.decode(file.read(), type=Current)
        except FileNotFoundError:
            return Current()
        except (OSError, msgspec.DecodeError) as error:
            raise Broken(f"{self._path} cannot be read: {error}", hint="remove it: the builder is idle then") from error

    def save(self, current: Current) -> None:
        """Durable when it returns. Raises OSError, and the old value stays."""
        temporary = f"{self._path}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            data = memoryview(msgspec.json.encode(current))
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, self._path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_log(path: str, *, new: bool) -> int:
    """The live log, to append to. new: what is there goes, under a new file: readers of the old one see it whole."""
    if new:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def mark_alive(log: int) -> None:
    """The log is locked until the last process that inherits this descriptor has ended."""
    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait_for_the_dead(path: str) -> None:
    """Until nothing of the last daemon's build is alive; Broken when that takes too long."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        deadline = time.monotonic() + _GONE_WITHIN
        try:
            while True:
                try:
                    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Broken(
                            f"a process of the last build still has {path} open",
                            hint=f"`fuser -v {path}` names it; end it, and start the builder again",
                        ) from None
                    time.sleep(0.02)
        finally:
            os.close(fd)
