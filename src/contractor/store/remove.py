"""Removing whatever a build left, and measuring it while it grows.

Trees are walked by directory descriptors (see `descent.py`): links are not followed, depth and path length do not
matter. Every directory is first tried with rmdir: an empty one is gone at once, and a mount point is refused (EBUSY)
before anything in it is touched, even a bind mount of the same file system.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from contractor.core.errors import Broken
from contractor.store.descent import Descent, grant

ROUNDS = 3  # times that a directory is emptied again when something appears in it meanwhile

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}
_NO_DIRECTORY = {errno.ENOTDIR, errno.ELOOP}


def remove_tree(dir_fd: int, name: str | bytes) -> None:
    """Remove `name` of an open directory with all that is below; nothing there is fine too. About 10 us a file.

    The root of a user namespace removes everything of the namespace's owners; an ordinary user what is his, whatever
    its mode. The rest is still removed when something cannot be. Raises Broken naming the first thing that stays.
    """
    with Descent(dir_fd, force=False) as at:
        remover = _Remover(at)
        remover.remove(os.fsencode(name))
    if remover.stays:
        path, error = remover.stays[0]
        raise Broken(
            f"cannot remove {os.fsdecode(path)!r}: {error.strerror}",
            details=(f"{remover.failures} of its entries cannot be removed",) if remover.failures > 1 else (),
            hint="unmount it, or remove it as the owner, then run `contractor gc`",
        )


class _Remover:
    """Depth first, without recursion; `stays` holds the first failure, `failures` counts them."""

    def __init__(self, at: Descent) -> None:
        self._at = at
        self.stays: list[tuple[bytes, OSError]] = []
        self.failures = 0

    def remove(self, name: bytes) -> None:
        """Remove the name in the current directory."""
        pending = [[name] if self._gone(name) is False else []]
        rounds = [0]
        while True:
            if pending[-1]:
                self._enter(pending[-1].pop(), pending, rounds)
            elif self._at.depth == 0:
                return
            else:
                self._leave(pending, rounds)

    def _enter(self, name: bytes, pending: list[list[bytes]], rounds: list[int]) -> None:
        try:
            self._push(name)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in _NO_DIRECTORY and self._gone(name):
                return
            self._fail(name, error)
            return
        pending.append(self._empty())
        rounds.append(0)

    def _push(self, name: bytes) -> None:
        if os.geteuid() != 0:
            grant(name, self._at.fd)
        self._at.push(name)

    def _empty(self) -> list[bytes]:
        """Remove what the current directory has; returns the directories with something in them."""
        full = []
        try:
            with os.scandir(self._at.fd) as found:
                for entry in found:
                    name = os.fsencode(entry.name)
                    if self._gone(name, directory=entry.is_dir(follow_symlinks=False)) is False:
                        full.append(name)
        except OSError as error:
            self._fail(b".", error)
        return full

    def _leave(self, pending: list[list[bytes]], rounds: list[int]) -> None:
        """Remove the directory that was emptied, from its parent; look again if something appeared in it."""
        name, failures = self._at.name, self.failures
        self._at.pop()
        pending.pop()
        tried = rounds.pop()
        try:
            os.rmdir(name, dir_fd=self._at.fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in _NOT_EMPTY and tried < ROUNDS and not failures:
                before = len(pending)
                self._enter(name, pending, rounds)
                if len(pending) > before:
                    rounds[-1] = tried + 1
            else:
                self._fail(name, error)

    def _gone(self, name: bytes, *, directory: bool | None = None) -> bool | None:
        """Try to remove a name of the current directory. True: gone; False: a directory to empty; None: it stays."""
        try:
            if directory is None:
                directory = stat.S_ISDIR(os.lstat(name, dir_fd=self._at.fd).st_mode)
            if directory:
                os.rmdir(name, dir_fd=self._at.fd)
            else:
                os.unlink(name, dir_fd=self._at.fd)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            self._fail(name, error)
            return None
        return True

    def _fail(self, name: bytes, error: OSError) -> None:
        self.failures += 1
        if not self.stays:
            above = self._at.path
            self.stays.append((above + b"/" + name if above else name, error))


def usage(dir_fd: int, name: str | bytes) -> tuple[int, int]:
    """(bytes, files) on the disk below and including `name`: blocks in use, each inode counted once, directories too.

    For a tree in use: what vanishes, moves or cannot be read while it is measured is left out, nothing is changed and
    nothing raised. About 3 us a file.
    """
    counter = _Counter()
    with Descent(dir_fd, force=False) as at:
        pending: list[list[bytes]] = [[]]
        with suppress(OSError):
            found = os.lstat(name, dir_fd=dir_fd)
            counter.add(found)
            if stat.S_ISDIR(found.st_mode):
                pending[0].append(os.fsencode(name))
        while pending:
            if not pending[-1]:
                pending.pop()
                if at.depth:
                    at.pop()
                continue
            below = pending[-1].pop()
            with suppress(OSError):
                at.push(below)
                pending.append([])
                counter.add_directory(at.fd, pending[-1])
    return counter.blocks * 512, counter.files


class _Counter:
    def __init__(self) -> None:
        self.blocks = 0
        self.files = 0
        self._linked: set[tuple[int, int]] = set()

    def add(self, found: os.stat_result) -> None:
        """Count an inode, once."""
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            inode = (found.st_dev, found.st_ino)
            if inode in self._linked:
                return
            self._linked.add(inode)
        self.blocks += found.st_blocks
        self.files += 1

    def add_directory(self, fd: int, directories: list[bytes]) -> None:
        """Count what an open directory has, and name the directories in it."""
        with os.scandir(fd) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    self.add(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(os.fsencode(entry.name))
