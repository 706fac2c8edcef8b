"""What a step made, as digests: two runs of a step are compared by these, and nothing of them has to be kept.

Kind, permissions, owner, content, target and attributes count. So does a time, but not one later than `latest`: a step
that sets no times gives what it writes the time of its run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Any

from contractor.build.inside.access import Opened
from contractor.core import digest
from contractor.core.errors import Broken
from contractor.sandbox.namespace import Inside
from contractor.store import states, tarformat
from contractor.store.descent import Descent, reading
from contractor.store.scan import GID, MODE, MTIME, UID, Scan, Signature, compare

Args = dict[str, Any]

MOST_PATHS = 20_000  # that are told one by one; beyond it there is the digest of them all
_PIECE = 1 << 20
_GONE = b""


def digests(inside: Inside, args: Args, _fds: list[int]) -> dict[str, Any]:
    """Of the layer at a path, or (None) of what changed in the workspace since the last restore or save.

    latest: seconds since the epoch. Returns the digest of all, and [path, digest] of each, sorted; no path at all when
    there are more than MOST_PATHS.
    """
    layer = args["layer"]
    with Opened(layer or f"{inside.state['work']}/ws") as root:
        now = states.scan(root.number)
        paths = [*now.entries] if layer else _changed(inside.state["scan"], now)
        found = _of_paths(root.number, now, sorted(path for path in paths if path), args["latest"] * 10**9)
    return {"digest": digest.of_value(found), "paths": found if len(found) <= MOST_PATHS else []}


def _changed(before: Scan, now: Scan) -> list[bytes]:
    difference = compare(before, now)
    return [*difference.changed, *difference.moved, *difference.removed]


def _of_paths(root_fd: int, scan: Scan, paths: list[bytes], latest: int) -> list[tuple[bytes, bytes]]:
    with Descent(root_fd, force=True) as at:
        return [
            (path, _of_entry(at, path, scan.entries[path], latest) if path in scan.entries else _GONE) for path in paths
        ]


def _of_entry(at: Descent, path: bytes, found: Signature, latest: int) -> bytes:
    mode = found[MODE]
    sha = hashlib.sha256()
    try:
        if stat.S_ISDIR(mode):
            at.go(path)
            sha.update(_attributes(at.fd))
        else:
            folder, _, name = path.rpartition(b"/")
            at.go(folder)
            if stat.S_ISREG(mode):
                with reading(name, at.fd) as (fd, _forced):
                    sha.update(_attributes(fd))
                    while data := os.read(fd, _PIECE):
                        sha.update(data)
            elif stat.S_ISLNK(mode):
                sha.update(os.readlink(name, dir_fd=at.fd))
            elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # a layer's mark of something that is gone is one
                sha.update(b"%d" % os.lstat(name, dir_fd=at.fd).st_rdev)
    except OSError as error:
        raise Broken(f"cannot read {os.fsdecode(path)!r}, which the step made: {error.strerror}") from error
    own_time = 0 if stat.S_ISDIR(mode) else min(found[MTIME], latest)
    return hashlib.sha256(b"%o %d %d %d " % (mode, found[UID], found[GID], own_time) + sha.digest()).digest()[:16]


def _attributes(fd: int) -> bytes:
    """What an archive would keep of them, each with its length."""
    try:
        names = sorted(filter(tarformat.kept_xattr, map(os.fsencode, os.listxattr(fd))))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return b""
        raise
    parts = [(name, os.getxattr(fd, name)) for name in names]
    return b"".join(b"%s\0%d\0%s" % (name, len(value), value) for name, value in parts)
