"""A directory tree in the order of its archive, read through descriptors only.

Every directory is opened from its parent's descriptor without following links, so a tree that changes under us, or that
holds links, cannot lead outside. The order is the bytewise order of the names in the archive, where a directory's name
ends with "/": then a directory and all below it are neighbours, and one pass with an open descriptor a level is enough.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from contractor.core.errors import Broken, ContractorError, Rejected
from contractor.store.tarformat import MAX_DEPTH, MAX_PATH

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Selection = Mapping[bytes, AbstractSet[bytes]]  # the directory, b"" or b"a/b/" -> the names wanted in it


class Found(NamedTuple):
    """Something in the tree. path is relative to the root and ends with "/" for a directory.

    kind is what the directory said: "d", "f", "l", or "s" for special files. fd is the directory itself for a
    directory, else the one that holds `name`; it is open only until the next one is asked for.
    """

    fd: int
    name: bytes
    path: bytes
    kind: str


class _Level(NamedTuple):
    fd: int
    path: bytes
    entries: Iterator[tuple[bytes, str]]


def selection(paths: Iterable[bytes]) -> Selection:
    """The named paths and their parents. A selected directory brings itself, not what is in it.

    Rejected: a path that is absolute, or has an empty, "." or ".." component, or a NUL.
    """
    wanted: dict[bytes, set[bytes]] = {}
    for path in paths:
        above = b""
        for part in path.removeprefix(b"./").removesuffix(b"/").split(b"/"):
            if part in (b"", b".", b"..") or b"\0" in part:
                raise Rejected(f"{path!r} is not a path below the workspace", hint="name it relative to the workspace")
            wanted.setdefault(above, set()).add(part)
            above += part + b"/"
    return wanted


def walk(root_fd: int, wanted: Selection | None, *, one_mount: bool = False) -> Generator[Found, None, None]:
    """Everything below root_fd, or what is wanted of it, each directory before what is in it.

    one_mount: a directory on which something else is mounted is found, and nothing below it.
    Close the generator to close its descriptors. Rejected: something wanted is not there, or the tree is too deep.
    Broken: the tree changed while it was read.
    """
    levels: list[_Level] = []
    mount = _mount_of(root_fd) if one_mount else b""
    try:
        levels.append(_level(root_fd, b".", b"", wanted, mount))
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                os.close(levels.pop().fd)
                continue
            key, kind = entry
            path = level.path + key
            if len(path) > MAX_PATH or len(levels) > MAX_DEPTH:
                raise Rejected(
                    f"the path {path[:200]!r}... is too long to archive",
                    hint=f"at most {MAX_PATH} bytes and {MAX_DEPTH} directories deep",
                )
            if kind == "d":
                levels.append(_level(level.fd, key[:-1], path, wanted, mount))
                yield Found(levels[-1].fd, key[:-1], path, kind)
            else:
                yield Found(level.fd, key, path, kind)
    finally:
        for level in levels:
            os.close(level.fd)


def unreadable(path: bytes, error: OSError) -> ContractorError:
    """What an OSError at a path of the tree means: whose turn it is."""
    if isinstance(error, PermissionError):
        return Rejected(f"cannot read {os.fsdecode(path)!r}: {error.strerror}", hint="make it readable for its owner")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return Broken(f"{path!r} changed while it was archived", hint="nothing may write to the tree at that time")
    return Broken(f"cannot read {os.fsdecode(path)!r}: {error.strerror}")


def _level(parent_fd: int, name: bytes, path: bytes, wanted: Selection | None, mount: bytes) -> _Level:
    try:
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        if mount and _mount_of(fd) != mount:
            return _Level(fd, path, iter(()))
        entries = _entries(fd) if wanted is None else _wanted(fd, path, wanted)
    except OSError as error:
        os.close(fd)
        raise unreadable(path, error) from error
    except BaseException:
        os.close(fd)
        raise
    return _Level(fd, path, iter(entries))


def _mount_of(fd: int) -> bytes:
    """The number of the mount that a descriptor is in: a device's would not tell a folder that is bound there."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        return next(line for line in file if line.startswith(b"mnt_id:"))


def _entries(fd: int) -> list[tuple[bytes, str]]:
    """The names in a directory, sorted as in the archive, with the kind that the directory itself tells: no stat."""
    found: list[tuple[bytes, str]] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_file(follow_symlinks=False):
                found.append((name, "f"))
            elif entry.is_dir(follow_symlinks=False):
                found.append((name + b"/", "d"))
            else:
                found.append((name, "l" if entry.is_symlink() else "s"))
    found.sort()
    return found


def _wanted(fd: int, path: bytes, wanted: Selection) -> list[tuple[bytes, str]]:
    names = wanted.get(path)
    if not names:
        return []
    found = {key.removesuffix(b"/"): (key, kind) for key, kind in _entries(fd)}
    for name in sorted(names):
        if name not in found:
            raise Rejected(f"{path + name!r} was selected but is not there")
        if found[name][1] != "d" and path + name + b"/" in wanted:
            raise Rejected(f"{path + name!r} is not a directory, but something below it was selected")
    return sorted(found[name] for name in names)
