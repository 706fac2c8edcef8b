"""What the supervisor does for a target besides what it does for any build: images into layers, files in the tree.

Paths are of the target and may be anything that a build left there: they are found as a process of the target would
find them, so no link leads out (openat2's RESOLVE_IN_ROOT).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

from contractor.build.inside.access import DIRECTORY, Opened
from contractor.build.inside.tree import publish
from contractor.buildd.inside import sparse
from contractor.core.errors import Broken, Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside, Operation
from contractor.sandbox.stage import TREE
from contractor.store import compress
from contractor.store.remove import remove_tree
from contractor.store.unpack import UnpackOptions, unpack

Args = dict[str, Any]

TOPS = (b"chroot-autobuild", b"rootfs")  # a chroot's tar, and an LXD image's
# What a tar of a system itself begins with, such as an artifact of `contractor build`.
SYSTEM = frozenset(b"bin boot dev etc home lib lib64 opt proc root run sbin srv sys tmp usr var".split())
MOST_BYTES = 64 << 30  # of an unpacked image
_MOST_FILES = 5_000_000
_SQUASHFS = b"hsqs"
# What is wrong with this machine and not with a path of the target.
_MACHINES = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EROFS))


def unpack_image(inside: Inside, args: Args, fds: list[int]) -> dict[str, int]:
    """Unpack an image (the descriptor; any compression) as a layer, which has its name when it is whole.

    system: it is a system's tree itself, without a folder around it. owned: its owners are kept.
    """
    if os.pread(fds[0], 4, 0) == _SQUASHFS:
        raise Rejected("the image is a squashfs, which is no tar", hint="use a tar with rootfs/ in it")
    inside.state["uppers"] += 1
    made = f"{inside.state['work']}/upper-{inside.state['uppers']}"
    os.mkdir(made, 0o755)
    options = UnpackOptions(
        max_bytes=MOST_BYTES,
        max_files=_MOST_FILES,
        links="any",
        tree=True,
        owner=None if inside.owners and args.get("owned", True) else (0, 0),
        tops=() if args.get("system") else TOPS,
        bare=SYSTEM,
    )
    with Opened(made) as root:
        done = unpack(compress.open_archive(fds[0]), root.number, options)
    publish(made, args["layer"])
    return {"files": done.files, "size": done.size}


def put(inside: Inside, args: Args, fds: list[int]) -> None:
    """A file of the tree, new, with the descriptor's content; directories above it are made. owner: of what is made."""
    folder, name = _split(args["path"])
    with blaming(args["path"]), Tree() as tree:
        parent = tree.made(folder, args["owner"] if inside.owners else None)
        try:
            fd = _new_file(parent, name, args["mode"])
            try:
                if inside.owners:
                    os.fchown(fd, args["owner"], args["owner"])
                os.fchmod(fd, args["mode"])
                while os.sendfile(fd, fds[0], None, 1 << 30):
                    pass
            finally:
                os.close(fd)
        finally:
            os.close(parent)


def _new_file(parent: int, name: bytes, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, mode, dir_fd=parent)
    except FileExistsError:
        os.unlink(name, dir_fd=parent)
        return os.open(name, flags, mode, dir_fd=parent)


def get(_inside: Inside, args: Args, fds: list[int]) -> int:
    """Copy a regular file of the tree into the descriptor, with its holes; its size, -1 when that is more than `limit`,
    -2 when there is none: for a link, too, unless `follow`. Broken: there is more in it than `room`, in bytes."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if args["follow"] else os.O_NOFOLLOW)
    with Tree() as tree:
        try:
            fd = tree.open(args["path"], flags)
        except OSError:
            return -2
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return -2
            if found.st_size > args["limit"]:
                return -1
            if (size := sparse.data_size(fd, found.st_size)) > args["room"]:
                why = f"{args['path']} has {size} bytes, and the builder's disk has {args['room']} left"
                raise Broken(why, hint="free some space, or let the cache expire earlier")
            sparse.copy(fd, fds[0], found.st_size)
            return found.st_size
        finally:
            os.close(fd)


def look(_inside: Inside, args: Args, _fds: list[int]) -> str:
    """What is at a path: file, dir, link, other, or empty for nothing. follow: what a link at its end leads to."""
    flags = os.O_PATH | (0 if args["follow"] else os.O_NOFOLLOW)
    with Tree() as tree:
        try:
            fd = tree.open(args["path"], flags)
        except OSError:
            return ""
        try:
            mode = os.fstat(fd).st_mode
        finally:
            os.close(fd)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "other")


def names(_inside: Inside, args: Args, _fds: list[int]) -> list[bytes] | None:
    """What a directory of the tree has, sorted; None when it is none."""
    with Tree() as tree:
        try:
            fd = tree.open(args["path"], DIRECTORY & ~os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return sorted(os.fsencode(name) for name in os.listdir(fd))
        finally:
            os.close(fd)


def make(inside: Inside, args: Args, _fds: list[int]) -> None:
    """A directory of the tree, and those above it; one that is there gets the owner."""
    with blaming(args["path"]), Tree() as tree:
        owner = args["owner"] if inside.owners else None
        fd = tree.made(args["path"], owner)
        try:
            if owner is not None:
                os.fchown(fd, owner, owner)
        finally:
            os.close(fd)


def drop(_inside: Inside, args: Args, _fds: list[int]) -> None:
    """Remove a path of the tree with all that is below it; nothing there is fine too."""
    folder, name = _split(args["path"])
    with blaming(args["path"]), Tree() as tree:
        try:
            parent = tree.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            remove_tree(parent, name)
        finally:
            os.close(parent)


class Tree:
    """The mounted tree, by its descriptor."""

    def __enter__(self) -> Tree:
        self._root = os.open(TREE, DIRECTORY)
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._root)

    def open(self, path: str | bytes, flags: int, mode: int = 0) -> int:
        if b"\0" in os.fsencode(path):
            raise Rejected("a path of the target has a zero byte in it")
        return syscalls.open_in_root(self._root, os.fsencode(path), flags, mode)

    def made(self, folder: str | bytes, owner: int | None) -> int:
        """A directory's descriptor; made where it is missing. Rejected: something else is in the way."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        parts = [part for part in os.fsencode(folder).split(b"/") if part]
        above = self.open("/", flags)
        for i, part in enumerate(parts):
            here = b"/" + b"/".join(parts[: i + 1])
            try:
                with blaming(here):
                    above, below = self._below(above, part, here, owner), above
            except BaseException:
                os.close(above)
                raise
            os.close(below)
        return above

    def _below(self, above: int, part: bytes, here: bytes, owner: int | None) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            return self.open(here, flags)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=above)  # FileExistsError: a link that leads nowhere
        fd = self.open(here, flags | os.O_NOFOLLOW)
        if owner is not None:
            os.fchown(fd, owner, owner)
        return fd


@contextlib.contextmanager
def blaming(path: str | bytes) -> Iterator[None]:
    """What is in the way at a path is the image's fault, or the build's: Rejected. OSError: this machine's."""
    try:
        yield
    except OSError as error:
        if error.errno in _MACHINES:
            raise
        why = "a link leads nowhere" if isinstance(error, FileExistsError) else os.strerror(error.errno or 0)
        raise Rejected(f"{os.fsdecode(path)[:200]!r} is not usable in the target: {why}") from error


def _split(path: str) -> tuple[bytes, bytes]:
    folder, _, name = os.fsencode(path).rstrip(b"/").rpartition(b"/")
    if name in (b"", b".", b".."):
        raise Rejected(f"{path!r} names no file of the target")
    return folder or b"/", name


OPERATIONS: dict[str, Operation] = {
    "unpack-image": unpack_image,
    "put": put,
    "get": get,
    "look": look,
    "names": names,
    "make": make,
    "drop": drop,
}
