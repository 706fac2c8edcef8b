"""Directories of a hostile tree, opened one component at a time and never through a link.

A path string is looked up again at each use, and any component may have become a link meanwhile; an open directory
cannot. So a tree is walked by directory descriptors, each opened by one name (O_NOFOLLOW) below its parent's.

A step may nest directories deeper than there are descriptors. The outermost KEEP_OUTER and the innermost KEEP_INNER
stay open; those between are closed and found again by "..", which counts only when it is the inode that was left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import NamedTuple

KEEP_OUTER = 64
KEEP_INNER = 64
OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class _Left(NamedTuple):
    """A directory that was closed to save descriptors: what ".." must be to count as it."""

    dev: int
    ino: int


class Descent:
    """A stack of directories from a root (whose descriptor stays the caller's) down to the current one.

    force: a directory whose mode keeps its owner out is opened all the same, see `open_forced`; for trees at rest only.
    All methods raise OSError; ESTALE means that the tree was rearranged above the current directory.
    """

    def __init__(self, root_fd: int, *, force: bool) -> None:
        self._root = root_fd
        self._force = force
        self._names: list[bytes] = []
        self._open: list[int | _Left] = []

    def __enter__(self) -> Descent:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open:
            if isinstance(fd, int):
                os.close(fd)
        self._names.clear()
        self._open.clear()

    @property
    def depth(self) -> int:
        """How many directories below the root the current one is."""
        return len(self._open)

    @property
    def path(self) -> bytes:
        """The current directory relative to the root; b"" is the root."""
        return b"/".join(self._names)

    @property
    def fd(self) -> int:
        """The current directory's descriptor, valid until the next push or pop."""
        if not self._open:
            return self._root
        top = self._open[-1]
        if isinstance(top, _Left):
            raise OSError(errno.ESTALE, "directory was moved while the tree was walked")
        return top

    def push(self, name: bytes) -> int:
        """Go into the directory `name` of the current one."""
        fd = open_forced(name, OPEN_DIR, self.fd) if self._force else os.open(name, OPEN_DIR, dir_fd=self.fd)
        self._names.append(name)
        self._open.append(fd)
        if len(self._open) > KEEP_OUTER + KEEP_INNER:
            self._leave(len(self._open) - KEEP_INNER - 1)
        return fd

    def pop(self) -> None:
        """Go up one directory; when that one was moved away meanwhile, `fd` raises until `pop` reaches an open one."""
        child = self._open.pop()
        self._names.pop()
        if isinstance(child, _Left):
            return
        try:
            if self._open and isinstance(self._open[-1], _Left):
                self._find_again(child, self._open[-1])
        finally:
            os.close(child)

    def go(self, path: bytes) -> int:
        """Make the directory at `path` the current one, using what is open already."""
        names = path.split(b"/") if path else []
        same = 0
        for mine, wanted in zip(self._names, names, strict=False):
            if mine != wanted:
                break
            same += 1
        while len(self._names) > same:
            self.pop()
        for name in names[same:]:
            self.push(name)
        return self.fd

    def _leave(self, index: int) -> None:
        fd = self._open[index]
        if isinstance(fd, int):
            found = os.fstat(fd)
            self._open[index] = _Left(found.st_dev, found.st_ino)
            os.close(fd)

    def _find_again(self, child: int, left: _Left) -> None:
        with contextlib.suppress(OSError):
            fd = os.open("..", OPEN_DIR, dir_fd=child)
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) == left:
                self._open[-1] = fd
            else:
                os.close(fd)


def open_forced(name: bytes, flags: int, dir_fd: int) -> int:
    """Open what may have mode 000: an ordinary owner grants himself access for a moment, the mode is as before after.

    The root of a user namespace is never refused, so there the mode (and with it the ctime) is not touched.
    """
    try:
        return os.open(name, flags, dir_fd=dir_fd)
    except PermissionError:
        pass
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "is a link")
        # chmod by name would follow a link that took the name's place; the handle cannot change what it is.
        by_handle = f"/proc/self/fd/{handle}"
        os.chmod(by_handle, stat.S_IMODE(mode) | 0o700)
        try:
            return os.open(by_handle, flags & ~os.O_NOFOLLOW)
        finally:
            os.chmod(by_handle, stat.S_IMODE(mode))
    finally:
        os.close(handle)
