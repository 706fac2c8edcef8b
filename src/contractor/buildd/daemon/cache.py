"""The file cache: inputs by the name that a client gives them, results by their sha1, and the live log.

    FILECACHE/<sha1 or sha256 or any name>   inputs and results
    FILECACHE/buildlog                       the log of the current or last build
    FILECACHE/.state.json, .lock             the daemon's own (saved.py)
    FILECACHE/.placed                        the names that the worker gives to results, each before it is there
    FILECACHE/.<anything>                    being written; what a crash leaves of it goes at the next start

Nothing whose name begins with a dot is served, listed or taken for an input.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator

from contractor.core.errors import Rejected

LOG = "buildlog"
OLD = 2 * 24 * 3600.0  # seconds without use after which an input may go
_PLACED = ".placed"
_OWN = (".state.json", ".lock", _PLACED)


def is_name(name: object) -> bool:
    """Whether it can be the name of a file of the cache: one component, not hidden, and printable."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode(errors="replace")) <= 200
        and not name.startswith(".")
        and "/" not in name
        and name.isprintable()
    )


def _last_used(path: str) -> float:
    """Written, used or put here: an old file that somebody has copied with its time is new here."""
    found = os.lstat(path)
    return max(found.st_mtime, found.st_ctime)


def announce(folder: str, name: str) -> None:
    """For workers: this name is going to be a result of the build, and goes with it, whatever kills whom."""
    fd = os.open(os.path.join(folder, _PLACED), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{name}\n".encode())
    finally:
        os.close(fd)


class Cache:
    """The folder; it is made if need be."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)

    def path(self, name: str) -> str:
        """Rejected where it is no name of a file in the cache."""
        if not is_name(name):
            raise Rejected(f"{str(name)[:80]!r} cannot be the name of a file in the cache")
        return os.path.join(self.folder, name)

    @property
    def log(self) -> str:
        return os.path.join(self.folder, LOG)

    def has(self, name: object) -> bool:
        """Whether it is there as an input; the log is none."""
        if not isinstance(name, str) or not is_name(name) or name == LOG:
            return False
        with contextlib.suppress(OSError):
            return stat.S_ISREG(os.lstat(os.path.join(self.folder, name)).st_mode)
        return False

    def use(self, names: Collection[str]) -> None:
        """They are wanted now: expiry counts from here."""
        for name in names:
            with contextlib.suppress(OSError):
                os.utime(self.path(name))

    def placed(self) -> list[str]:
        """What a worker has announced."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, _PLACED), encoding="utf-8") as file:
            return [name for name in file.read().split() if is_name(name)]
        return []

    def forget_placed(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, _PLACED))

    def open(self, name: str) -> int:
        """A descriptor of a regular file, never of what a link points to; OSError or Rejected otherwise."""
        fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(name)
        return fd

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self._files())

    def remove(self, names: Collection[str]) -> None:
        """Files, of which none need be there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))

    def remove_unfinished(self) -> None:
        """At the start, when nobody else can be writing. So goes what launchpad-buildd leaves: its log with secrets."""
        for name in os.listdir(self.folder):
            if (name.startswith(".") and name not in _OWN) or name == f"{LOG}.unsanitized":
                with contextlib.suppress(IsADirectoryError, FileNotFoundError):
                    os.unlink(os.path.join(self.folder, name))

    def expire(self, kept: Callable[[], Collection[str]], now: float | None = None) -> list[str]:
        """Remove what nobody has used for two days; the names. kept: what is in use, asked before each removal."""
        before = (time.time() if now is None else now) - OLD
        gone = []
        for entry in list(self._files()):
            with contextlib.suppress(FileNotFoundError):
                if entry.name == LOG or _last_used(entry.path) >= before or entry.name in kept():
                    continue
                if _last_used(entry.path) < before:  # it may have been used since
                    os.unlink(entry.path)
                    gone.append(entry.name)
        return gone

    def _files(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if is_name(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry
