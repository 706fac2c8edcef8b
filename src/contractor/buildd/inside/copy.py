"""COPY and ADD, in the supervisor: files of the context or of a stage into the tree of another stage.

Both sides are looked up as a process that has them as its / would find them, so no link leads out of either. Links
below a source are copied as they are; one that is named itself is followed, and so are those on the way to the target.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from contractor.buildd.builds import dockerignore
from contractor.buildd.inside.root import FOLDER, READ, Root, ids
from contractor.core.errors import Rejected
from contractor.sandbox.namespace import Inside
from contractor.sandbox.stage import TREE
from contractor.store import compress
from contractor.store.unpack import UnpackOptions, unpack
from contractor.store.walk import walk

Args = dict[str, Any]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 64 << 30  # of an unpacked archive
_MOST_FILES = 5_000_000
_HEADER = 512  # bytes of a tar's first header
_USTAR = 257  # where a tar's header says that it is one


def copy(inside: Inside, args: Args, _fds: list[int]) -> int:
    """Copy into the tree at `at`; how many sources there were.

    origin: the folder that the sources are below: `top` of the target's tree, or a mounted stage's. sources: paths and
    patterns. inline: [name, content] of files that stand in the Dockerfile. target: absolute; with a / at its end it is
    a folder. owner: USER or USER:GROUP, or empty. ignore: a .dockerignore. unpack: archives are unpacked.
    """
    with Root(args["at"]) as root:
        owner = ids(root, args["owner"] or "0:0")
        copier = _Copier(root, owner if inside.owners else None, args["mode"])
        target = os.fsencode(args["target"])
        with Root(args["origin"] or TREE, args["top"]) as origin:
            ignore = dockerignore.read(args["ignore"])
            found = [path for source in args["sources"] for path in _matches(origin, os.fsencode(source), ignore)]
            into = target.endswith(b"/") or len(found) + len(args["inline"]) > 1 or root.is_folder(target)
            for path in found:
                copier.source(origin, path, target, ignore, into=into, unpacks=args["unpack"])
        for name, content in args["inline"]:
            copier.content(target.rstrip(b"/") + b"/" + os.fsencode(name) if into else target, content)
    return len(found)


def _matches(origin: Root, source: bytes, ignore: dockerignore.Ignore) -> list[bytes]:
    """The paths that a source means; Rejected when there is none."""
    parts = [part for part in source.split(b"/") if part not in (b"", b".")]
    depth = 0
    for part in parts:
        depth += -1 if part == b".." else 1
        if depth < 0:
            raise Rejected(f"{os.fsdecode(source)!r} leads out of where files are copied from")
    found = [b""]
    for part in parts:
        pattern = dockerignore.name_pattern(part) if dockerignore.is_pattern(part) else None
        found = [path for folder in found for path in _in_folder(origin, folder, part, pattern)]
    found = [path for path in found if not path or not ignore.leaves_out(path) or origin.is_folder(path)]
    if not found:
        raise Rejected(f"no file matches {os.fsdecode(source)!r}")
    return found


def _in_folder(origin: Root, folder: bytes, part: bytes, pattern: Any) -> list[bytes]:
    below = folder + b"/" if folder else b""
    if pattern is None:
        try:
            os.close(origin.open(below + part, os.O_PATH))
        except OSError:
            return []
        return [below + part]
    try:
        fd = origin.open(folder, FOLDER)
    except OSError:
        return []
    try:
        names = sorted(os.fsencode(name) for name in os.listdir(fd))
    finally:
        os.close(fd)
    return [below + name for name in names if pattern.match(name)]


class _Copier:
    def __init__(self, root: Root, owner: tuple[int, int] | None, mode: int | None) -> None:
        self._root = root
        self._ids = owner
        self._mode = mode

    def source(
        self, origin: Root, path: bytes, target: bytes, ignore: dockerignore.Ignore, *, into: bool, unpacks: bool
    ) -> None:
        """One source: a folder's contents, an archive's, or a file."""
        try:
            fd = origin.open(path, READ)
        except OSError as error:
            raise Rejected(f"{os.fsdecode(path)!r} cannot be read: {error.strerror}") from error
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                self._folder(fd, path, target, ignore)
            elif not stat.S_ISREG(mode):
                raise Rejected(f"{os.fsdecode(path)!r} is no file, folder or link")
            elif unpacks and _is_archive(fd):
                self._unpack(fd, target)
            else:
                name = path.rpartition(b"/")[2]
                self._file(fd, target.rstrip(b"/") + b"/" + name if into else target)
        finally:
            os.close(fd)

    def content(self, path: bytes, content: str) -> None:
        fd = os.memfd_create("contractor", os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(content.encode("utf-8", "surrogateescape"))
            os.fchmod(fd, 0o644)
            os.lseek(fd, 0, os.SEEK_SET)
            self._file(fd, path)
        finally:
            os.close(fd)

    def _folder(self, fd: int, path: bytes, target: bytes, ignore: dockerignore.Ignore) -> None:
        os.close(self._root.made(target, self._ids))
        base = path + b"/" if path else b""
        for found in walk(fd, None):
            inner = found.path.rstrip(b"/")
            if ignore.leaves_out(base + inner):
                continue
            place = target.rstrip(b"/") + b"/" + inner
            if found.kind == "d":
                made = self._root.made(place, self._ids)
                try:
                    self._dress(made, os.fstat(found.fd), folder=True)
                finally:
                    os.close(made)
            elif found.kind == "l":
                self._link(os.readlink(found.name, dir_fd=found.fd), place)
            elif found.kind == "f":
                source = os.open(found.name, READ | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.fd)
                try:
                    self._file(source, place)
                finally:
                    os.close(source)
            else:
                raise Rejected(f"{os.fsdecode(base + inner)!r} is a device, socket or fifo")

    def _file(self, source: int, path: bytes) -> None:
        with self._place(path) as (parent, name):
            fd = os.open(name, _NEW, 0o600, dir_fd=parent)
            try:
                while os.sendfile(fd, source, None, 1 << 30):
                    pass
                self._dress(fd, os.fstat(source), folder=False)
            finally:
                os.close(fd)

    def _link(self, to: bytes, path: bytes) -> None:
        with self._place(path) as (parent, name):
            os.symlink(to, name, dir_fd=parent)
            if self._ids is not None:
                os.chown(name, *self._ids, dir_fd=parent, follow_symlinks=False)

    @contextlib.contextmanager
    def _place(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The folder of a new entry, and its name, which is free: a file or link that had it has gone."""
        folder, _, name = path.rpartition(b"/")
        parent = self._root.made(folder, self._ids)
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    raise Rejected(f"{os.fsdecode(path)} is a folder of the image, and a file is to take its place")
                os.unlink(name, dir_fd=parent)
            yield parent, name
        finally:
            os.close(parent)

    def _dress(self, fd: int, like: os.stat_result, *, folder: bool) -> None:
        if self._ids is not None:
            os.fchown(fd, *self._ids)
        os.fchmod(fd, self._mode if self._mode is not None else stat.S_IMODE(like.st_mode))
        if not folder:
            os.utime(fd, ns=(like.st_mtime_ns, like.st_mtime_ns))

    def _unpack(self, fd: int, target: bytes) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        options = UnpackOptions(
            max_bytes=_MOST_BYTES,
            max_files=_MOST_FILES,
            links="any",
            tree=True,
            owner=None if self._ids is not None else (0, 0),
        )
        made = self._root.made(target, self._ids)
        try:
            unpack(compress.open_archive(fd), made, options)
        finally:
            os.close(made)


def _is_archive(fd: int) -> bool:
    """Whether a file is a tar, compressed or not."""
    start = b""
    try:
        read = compress.open_archive(fd)
        while len(start) < _HEADER and (data := read(_HEADER - len(start))):
            start += data
    except (Rejected, OSError):
        return False
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return start[_USTAR : _USTAR + 5] == b"ustar"
