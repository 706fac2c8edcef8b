"""The tree of a stage, in the supervisor: looked up as a process that has it as its / would, and whom it knows."""

from __future__ import annotations

import os
import stat
from typing import Any

from contractor.core.errors import Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside

Args = dict[str, Any]

FOLDER = os.O_RDONLY | os.O_DIRECTORY
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_IDS_MAX = 1 << 20  # bytes of /etc/passwd that are read
_LAST_ID = 65535
_DIGITS = 20  # a number of more is none that an id could be, and Python reads no number of thousands


class Root:
    """A directory as the / of all lookups; closed at the end of the block."""

    def __init__(self, path: str, below: str = "") -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if below:
            try:
                inner = self.open(os.fsencode(below), FOLDER)
            finally:
                os.close(self.number)
            self.number = inner

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.number)

    def open(self, path: bytes, flags: int) -> int:
        return syscalls.open_in_root(self.number, path or b"/", flags)

    def is_folder(self, path: bytes) -> bool:
        try:
            os.close(self.open(path, FOLDER | os.O_PATH))
        except OSError:
            return False
        return True

    def is_file(self, path: bytes) -> bool:
        try:
            fd = self.open(path, os.O_PATH)
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def made(self, path: bytes, owner: tuple[int, int] | None) -> int:
        """A folder's descriptor; it and those above it are made where they are missing. Rejected: a file is there."""
        parts = [part for part in path.split(b"/") if part]
        above = self.open(b"/", FOLDER)
        for end in range(1, len(parts) + 1):
            here = b"/" + b"/".join(parts[:end])
            try:
                fd = self.open(here, FOLDER)
            except FileNotFoundError:
                try:
                    os.mkdir(parts[end - 1], 0o755, dir_fd=above)
                    fd = self.open(here, FOLDER | os.O_NOFOLLOW)
                    if owner is not None:
                        os.fchown(fd, *owner)
                except OSError as error:
                    raise Rejected(f"{os.fsdecode(here)} cannot be made: {error.strerror}") from error
            except OSError as error:
                raise Rejected(f"{os.fsdecode(here)} is no folder of the image") from error
            finally:
                os.close(above)
            above = fd
        return above


def workdir(inside: Inside, args: Args, _fds: list[int]) -> None:
    """A folder of the tree at `at`, where it is missing."""
    with Root(args["at"]) as root:
        os.close(root.made(os.fsencode(args["path"]), (0, 0) if inside.owners else None))


def ids_of(_inside: Inside, args: Args, _fds: list[int]) -> tuple[int, int]:
    """The numbers of USER or USER:GROUP in the tree at `at`. Rejected: it does not know them."""
    with Root(args["at"]) as root:
        return ids(root, args["owner"])


def ids(root: Root, owner: str) -> tuple[int, int]:
    user, _, group = owner.partition(":")
    uid, gid = _number(root, "passwd", user)
    if group:
        gid, _ = _number(root, "group", group)
    return uid, gid


def _number(root: Root, name: str, wanted: str) -> tuple[int, int]:
    """The number of a user, or a group, and a user's group."""
    if wanted.isascii() and wanted.isdigit():
        if len(wanted) > _DIGITS or int(wanted) > _LAST_ID:
            raise Rejected(f"the number {wanted[:20]} is larger than {_LAST_ID}, which is the last one here")
        return int(wanted), int(wanted)
    for line in _lines(root, name):
        fields = line.split(b":")
        if fields[0] == wanted.encode() and len(fields) >= 4 and _is_number(fields[2]):
            uid, gid = int(fields[2]), int(fields[3]) if name == "passwd" and _is_number(fields[3]) else 0
            if max(uid, gid) > _LAST_ID:
                raise Rejected(f"{wanted} has a number larger than {_LAST_ID}, which is the last one here")
            return uid, gid
    raise Rejected(f"the image's /etc/{name} does not know {wanted}")


def _is_number(field: bytes) -> bool:
    return field.isdigit() and len(field) <= _DIGITS


def _lines(root: Root, name: str) -> list[bytes]:
    try:
        fd = root.open(f"/etc/{name}".encode(), READ)
    except OSError:
        return []
    with open(fd, "rb") as file:
        return file.read(_IDS_MAX).splitlines() if stat.S_ISREG(os.fstat(fd).st_mode) else []
