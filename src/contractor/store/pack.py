"""A directory tree to a deterministic tar archive, as a stream, hashed on the way.

Equal trees give equal bytes: the order is bytewise, times are clamped, names of users and all that a machine adds are
left out (https://reproducible-builds.org/docs/archives/). The digest is that of the uncompressed bytes, because
compressors differ between their versions. Python's own tar module is not used: it is slow.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Literal

from contractor.core.errors import Broken, Rejected
from contractor.core.values import Value
from contractor.store import tarformat
from contractor.store.tarformat import NANO, Member
from contractor.store.walk import Found, selection, unreadable, walk

WHITEOUT, OPAQUE = b".wh.", b".wh..opq"  # what begins a name of one that has gone; and of all that is below
CHUNK = 1 << 20  # bytes; what is gathered before it is hashed and given to the sink

# O_NONBLOCK: a fifo that took a file's place must not make us wait. It does nothing for a regular file.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class PackOptions(Value, frozen=True):
    """How a tree becomes bytes.

    mtime_limit: SOURCE_DATE_EPOCH, seconds; later times become it. fixed_mtime: if given, every time is exactly that.
    owners: True for a system tree: numeric owners, all mode bits, fifos, capabilities and user.* attributes are kept.
    False for a workspace: all is 0:0, files u+rw and directories u+rwx, without setuid, setgid, sticky, g+w and o+w.
    specials: what becomes of devices and sockets (and a workspace's fifos): "skip" them, and say so, or "refuse".
    only_executable: without owners, nothing of a mode counts but whether the owner may execute: 0755 or 0644, as git
    keeps it, so that a checkout's umask does not change the bytes.
    whiteouts: the tree is an upper directory of overlayfs, and the archive an image's layer: its marks of what has gone
    become files named .wh.NAME (https://github.com/opencontainers/image-spec/blob/main/layer.md, "Whiteouts").
    """

    mtime_limit: int
    fixed_mtime: int | None = None
    owners: bool = False
    specials: Literal["skip", "refuse"] = "skip"
    only_executable: bool = False
    whiteouts: bool = False


class PackResult(Value, frozen=True):
    """digest: the sha256 of the uncompressed archive; size: its bytes; files: members that are not directories.

    skipped: the paths of special files that were left out.
    """

    digest: str
    size: int
    files: int
    skipped: tuple[bytes, ...] = ()


def pack(
    root_fd: int, paths: Iterable[bytes] | None, options: PackOptions, sink: Callable[[bytes], object]
) -> PackResult:
    """Write the tree below root_fd (a directory's descriptor) to the sink, in pieces of about a mebibyte.

    paths: what to take, relative to the root, and the directories above each; None for everything. A selected directory
    brings itself only. The root itself is never a member. Hard links among the members are kept, holes are filled.
    Rejected: a path that is not there, cannot be read or is too long, or a special file with specials="refuse".
    Broken: the tree changed while it was read.
    """
    packer = _Packer(options, sink)
    with closing(walk(root_fd, None if paths is None else selection(paths))) as tree:
        for found in tree:
            packer.add(found)
    return packer.finish()


class _Packer:
    def __init__(self, options: PackOptions, sink: Callable[[bytes], object]) -> None:
        self._options = options
        self._sink = sink
        self._sha = hashlib.sha256()
        self._parts: list[bytes] = []
        self._pending = 0  # bytes in parts
        self._sent = 0  # bytes given to the sink
        self._files = 0
        self._skipped: list[bytes] = []
        self._linked: dict[
            tuple[int, int], bytes
        ] = {}  # device and inode of a file with more names -> its first member

    def add(self, found: Found) -> None:
        if self._options.whiteouts and found.name.startswith(WHITEOUT):
            raise Rejected(f"{found.path!r} has a name that means something else in an image's layer: remove it")
        if found.kind == "f":
            self._add_file(found)
        elif found.kind == "d":
            self._write(tarformat.encode(self._member(found, tarformat.DIRECTORY, _fstat(found), fd=found.fd)))
            if self._options.whiteouts and _is_opaque(found):
                self._whiteout(found.path + WHITEOUT + OPAQUE)
        elif found.kind == "l":
            self._add_symlink(found)
        else:
            self._add_special(found)

    def finish(self) -> PackResult:
        self._write(tarformat.ending(self._sent + self._pending))
        self._flush()
        return PackResult(self._sha.hexdigest(), self._sent, self._files, tuple(self._skipped))

    def _add_file(self, found: Found) -> None:
        try:
            fd = os.open(found.name, _OPEN_FILE, dir_fd=found.fd)
        except OSError as error:
            raise unreadable(found.path, error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise unreadable(found.path, OSError(errno.ELOOP, "not a file any more"))
            self._files += 1
            if status.st_nlink > 1:
                first = self._linked.setdefault((status.st_dev, status.st_ino), found.path)
                if first != found.path:
                    self._write(tarformat.encode(self._member(found, tarformat.LINK, status, link=first)))
                    return
            self._write(tarformat.encode(self._member(found, tarformat.FILE, status, fd=fd)))
            if status.st_size:
                self._copy(fd, found.path, status.st_size)
        finally:
            os.close(fd)

    def _copy(self, fd: int, path: bytes, size: int) -> None:
        """The content, which must be as long as the header said. One byte more is asked for, to see that it ends."""
        left = size
        while True:
            asked = min(left + 1, CHUNK)
            try:
                data = os.read(fd, asked)
            except OSError as error:
                raise unreadable(path, error) from error
            left -= len(data)
            if left < 0 or (left and not data):
                raise Broken(
                    f"{path!r} changed its size while it was archived",
                    hint="nothing may write to the tree at that time",
                )
            self._write(data)
            if left == 0 and len(data) < asked:
                break
        self._write(tarformat.padding(size))

    def _add_symlink(self, found: Found) -> None:
        try:
            status = os.stat(found.name, dir_fd=found.fd, follow_symlinks=False)
            target = os.readlink(found.name, dir_fd=found.fd)
        except OSError as error:
            if error.errno == errno.EINVAL:  # readlink of something else
                error = OSError(errno.ELOOP, "not a link any more")
            raise unreadable(found.path, error) from error
        self._files += 1
        self._write(tarformat.encode(self._member(found, tarformat.SYMLINK, status, link=target)))

    def _add_special(self, found: Found) -> None:
        try:
            status = os.stat(found.name, dir_fd=found.fd, follow_symlinks=False)
        except OSError as error:
            raise unreadable(found.path, error) from error
        if self._options.whiteouts and stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            self._whiteout(found.path[: -len(found.name)] + WHITEOUT + found.name)
        elif stat.S_ISFIFO(status.st_mode) and self._options.owners:
            self._files += 1
            self._write(tarformat.encode(self._member(found, tarformat.FIFO, status)))
        elif self._options.specials == "refuse":
            raise Rejected(f"{found.path!r} is a device, socket or fifo", hint="an archive cannot hold it; remove it")
        else:
            self._skipped.append(found.path)

    def _whiteout(self, path: bytes) -> None:
        self._files += 1
        self._write(tarformat.encode(Member(path, tarformat.FILE, 0o600, 0, 0, 0, 0)))

    def _member(
        self, found: Found, kind: bytes, status: os.stat_result, *, link: bytes = b"", fd: int | None = None
    ) -> Member:
        """The normalised header of what was found; fd, if given, is where its attributes are read."""
        options = self._options
        seconds = options.fixed_mtime
        if seconds is None:
            seconds = min(status.st_mtime_ns // NANO, options.mtime_limit)
        size = status.st_size if kind == tarformat.FILE else 0
        if options.owners:
            mode = status.st_mode & 0o7777
            xattrs = _xattrs(fd, found.path) if fd is not None else {}
            owner = status.st_uid, status.st_gid
        else:
            mode = _plain_mode(status.st_mode, kind, only_executable=options.only_executable)
            xattrs = {}
            owner = 0, 0
        if kind == tarformat.SYMLINK:
            mode = 0o777  # the kernel's, always; other systems say otherwise
        return Member(found.path, kind, mode, *owner, size, seconds * NANO, link, xattrs)

    def _write(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._pending = 0
        self._sent += len(data)
        self._sha.update(data)
        self._sink(data)


def _is_opaque(found: Found) -> bool:
    """Whether nothing of what is below a directory of an overlay is seen through it."""
    try:
        return os.getxattr(found.fd, b"user.overlay.opaque") == b"y"
    except OSError:
        return False


def _fstat(found: Found) -> os.stat_result:
    try:
        return os.fstat(found.fd)
    except OSError as error:
        raise unreadable(found.path, error) from error


def _plain_mode(mode: int, kind: bytes, *, only_executable: bool) -> int:
    """What is kept of a mode where owners are not."""
    if only_executable:
        return 0o755 if kind == tarformat.DIRECTORY or mode & 0o100 else 0o644
    return (mode & 0o755) | (0o700 if kind == tarformat.DIRECTORY else 0o600)


def _xattrs(fd: int, path: bytes) -> dict[bytes, bytes]:
    """The attributes worth keeping. Links and fifos have none: user.* is for files and directories only."""
    try:
        names = os.listxattr(fd)
        if not names:
            return {}
        return {key: os.getxattr(fd, key) for key in map(os.fsencode, names) if tarformat.kept_xattr(key)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise unreadable(path, error) from error
