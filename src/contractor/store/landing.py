"""Making things below one directory, through descriptors, without ever following a link.

Every directory on the way is opened from its parent's descriptor with O_NOFOLLOW, so no name, link or race leads out of
the root (openat(2), "Rationale"). The descriptors of the last path are kept: archives are mostly in order.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType

from contractor.store.walk import OPEN_DIRECTORY

Parts = tuple[bytes, ...]  # the components of a checked path: none empty, ".", ".." or with "/"

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Obstacle(Exception):
    """Something in the way of a member: for the caller, who knows the member, to report."""


class Landing:
    """The tree below root_fd, a directory's descriptor that stays the caller's. A context manager.

    owner: (uid, gid) of directories that are only implied by what is below them; None: who we are.
    """

    def __init__(self, root_fd: int, owner: tuple[int, int] | None = None) -> None:
        self._root = root_fd
        self._owner = owner
        self._stack: list[tuple[bytes, int]] = []
        self._parts: Parts = ()  # where the stack is
        self.implied = 0  # directories made because something below them was

    def __enter__(self) -> Landing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(0)

    def enter(self, parts: Parts) -> int:
        """A directory's descriptor, valid until the next call; it is made if missing. Obstacle: not a directory."""
        if parts != self._parts:
            same = 0
            for (name, _), part in zip(self._stack, parts, strict=False):
                if name != part:
                    break
                same += 1
            self._leave(same)
            for part in parts[same:]:
                self._stack.append((part, self._open(part)))
            self._parts = parts
        return self._stack[-1][1] if self._stack else self._root

    def file(self, parts: Parts) -> int:
        """A new empty file of mode 0600, open for writing; what was there is unlinked, never written to."""
        parent = self.enter(parts[:-1])
        try:
            return os.open(parts[-1], _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._unlink(parent, parts[-1])
            return os.open(parts[-1], _CREATE, 0o600, dir_fd=parent)

    def symlink(self, parts: Parts, target: bytes) -> int:
        """A symbolic link, as it is; returns the descriptor of its directory."""
        parent = self.enter(parts[:-1])
        try:
            os.symlink(target, parts[-1], dir_fd=parent)
        except FileExistsError:
            self._unlink(parent, parts[-1])
            os.symlink(target, parts[-1], dir_fd=parent)
        return parent

    def fifo(self, parts: Parts) -> int:
        """A fifo of mode 0600; returns the descriptor of its directory."""
        parent = self.enter(parts[:-1])
        try:
            os.mkfifo(parts[-1], 0o600, dir_fd=parent)
        except FileExistsError:
            self._unlink(parent, parts[-1])
            os.mkfifo(parts[-1], 0o600, dir_fd=parent)
        return parent

    def link(self, parts: Parts, target: Parts) -> None:
        """One more name for a regular file below the root."""
        parent = os.dup(self.enter(parts[:-1]))
        try:
            source = self.enter(target[:-1])
            if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise Obstacle("its target is not a regular file")
            try:
                os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                self._unlink(parent, parts[-1])
                os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)

    def directory(self, parts: Parts) -> bool:
        """A directory that we can write in; True when it is new. One that is there stays, with what is in it."""
        parent = self.enter(parts[:-1])
        try:
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            fd = self.enter(parts)
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & 0o700 != 0o700:
                os.fchmod(fd, mode | 0o700)
            return False
        return True

    def _open(self, part: bytes) -> int:
        above = self._stack[-1][1] if self._stack else self._root
        try:
            return os.open(part, OPEN_DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            return self._imply(above, part)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise Obstacle(f"{part!r} on its way is a link or a file, not a directory") from error
            raise

    def _imply(self, above: int, part: bytes) -> int:
        os.mkdir(part, 0o755, dir_fd=above)
        self.implied += 1
        fd = os.open(part, OPEN_DIRECTORY, dir_fd=above)
        try:
            if self._owner is not None:
                os.fchown(fd, *self._owner)
            os.fchmod(fd, 0o755)  # whatever the umask is
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _unlink(self, parent: int, name: bytes) -> None:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Obstacle("it would replace a directory")
        os.unlink(name, dir_fd=parent)

    def _leave(self, keep: int) -> None:
        while len(self._stack) > keep:
            os.close(self._stack.pop()[1])
        self._parts = tuple(name for name, _ in self._stack)
