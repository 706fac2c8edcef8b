"""A system tree that was packed, made what unpacking its archive makes: so it need not be unpacked."""

from __future__ import annotations

import os
from contextlib import closing

from contractor.store import tarformat
from contractor.store.tarformat import NANO
from contractor.store.walk import OPEN_DIRECTORY, Found, walk

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def normalise(root_fd: int, mtime_limit: int) -> None:
    """Give a system tree's content the times and attributes that its archive gave it (pack.py, with owners).

    mtime_limit: seconds, as it was packed with. The tree has nothing that packing skipped, and nobody writes to it.
    """
    with closing(walk(root_fd, None)) as tree:
        for found in tree:
            _normalise(found, mtime_limit)


def _normalise(found: Found, mtime_limit: int) -> None:
    if found.kind in "df":
        folder = found.kind == "d"
        fd = os.open(b"." if folder else found.name, OPEN_DIRECTORY if folder else _FILE, dir_fd=found.fd)
        try:
            for name in map(os.fsencode, os.listxattr(fd)):
                if name.startswith(b"user.") and not tarformat.kept_xattr(name):
                    os.removexattr(fd, name)
            if (late := _late(os.fstat(fd), mtime_limit)) is not None:
                os.utime(fd, ns=late)
        finally:
            os.close(fd)
    elif (late := _late(os.stat(found.name, dir_fd=found.fd, follow_symlinks=False), mtime_limit)) is not None:
        os.utime(found.name, ns=late, dir_fd=found.fd, follow_symlinks=False)


def _late(status: os.stat_result, limit: int) -> tuple[int, int] | None:
    """The times that it must get, unless it has them."""
    time = min(status.st_mtime_ns // NANO, limit) * NANO
    return None if time == status.st_mtime_ns else (time, time)
