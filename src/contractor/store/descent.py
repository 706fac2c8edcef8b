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
from collections.abc import Iterator
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

    force: an ordinary user gets into his own directories whatever their mode, which is as before when they are left
    (the ctime is not); for trees at rest only. The root of a user namespace is never refused: nothing is touched there.
    All methods raise OSError; ESTALE means that the tree was rearranged above the current directory.
    """

    def __init__(self, root_fd: int, *, force: bool) -> None:
        self._root = root_fd
        self._force = force and os.geteuid() != 0
        self._names: list[bytes] = []
        self._open: list[int | _Left] = []
        self._modes: list[int | None] = [None]  # of the root and each open directory: what to set when it is left

    def __enter__(self) -> Descent:
        if self._force:
            mode = stat.S_IMODE(os.fstat(self._root).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(self._root, mode | stat.S_IRWXU)
                self._modes[0] = mode
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                self.pop()
        if (mode := self._modes[0]) is not None:
            with contextlib.suppress(OSError):
                os.fchmod(self._root, mode)

    @property
    def depth(self) -> int:
        """How many directories below the root the current one is."""
        return len(self._open)

    @property
    def path(self) -> bytes:
        """The current directory relative to the root; b"" is the root."""
        return b"/".join(self._names)

    @property
    def name(self) -> bytes:
        """The current directory's own name; unlike `path` it costs nothing in a deep tree. Not for the root."""
        return self._names[-1]

    @property
    def fd(self) -> int:
        """The current directory's descriptor, valid until the next push or pop."""
        if not self._open:
            return self._root
        top = self._open[-1]
        if isinstance(top, _Left):
            raise OSError(errno.ESTALE, "directory was moved while the tree was walked")
        return top

    @property
    def kept_mode(self) -> int | None:
        """The permission bits that the current directory has but for `force`; None when it has its own."""
        return self._modes[-1]

    def push(self, name: bytes) -> int:
        """Go into the directory `name` of the current one."""
        mode = grant(name, self.fd) if self._force else None
        fd = os.open(name, OPEN_DIR, dir_fd=self.fd)
        self._names.append(name)
        self._open.append(fd)
        self._modes.append(mode)
        if len(self._open) > KEEP_OUTER + KEEP_INNER:
            self._leave(len(self._open) - KEEP_INNER - 1)
        return fd

    def pop(self) -> None:
        """Go up one directory; when that one was moved away meanwhile, `fd` raises until `pop` reaches an open one."""
        child = self._open.pop()
        self._names.pop()
        mode = self._modes.pop()
        if isinstance(child, _Left):
            return
        try:
            if self._open and isinstance(self._open[-1], _Left):
                self._find_again(child, self._open[-1])
            if mode is not None:  # only now: ".." needs the right to search the child
                os.fchmod(child, mode)
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


def grant(name: bytes, dir_fd: int) -> int | None:
    """Give the owner all rights to a directory; returns the permission bits it had, None when nothing was changed.

    By a handle: a chmod by name would follow a link that took the directory's place.
    """
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU == stat.S_IRWXU:
            return None
        os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)
        return mode
    finally:
        os.close(handle)


@contextlib.contextmanager
def reading(name: bytes, dir_fd: int) -> Iterator[tuple[int, bool]]:
    """Open a file for reading, even one of mode 000: its ordinary owner has the right to read it during the block.

    Gives the descriptor and whether that was needed, which the ctime shows ever after.
    """
    with contextlib.ExitStack() as stack:
        try:
            fd = os.open(name, OPEN_FILE, dir_fd=dir_fd)
            forced = False
        except PermissionError:
            fd = _forced(name, dir_fd, stack)
            forced = True
        stack.callback(os.close, fd)
        yield fd, forced


def _forced(name: bytes, dir_fd: int, stack: contextlib.ExitStack) -> int:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    stack.callback(os.close, handle)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.ELOOP, "is no regular file")
    by_handle = f"/proc/self/fd/{handle}"
    os.chmod(by_handle, stat.S_IMODE(mode) | stat.S_IRUSR)
    stack.callback(os.chmod, by_handle, stat.S_IMODE(mode))
    return os.open(by_handle, OPEN_FILE & ~os.O_NOFOLLOW)
