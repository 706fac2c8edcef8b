"""What is in a workspace, and what is different from before: by metadata alone, no content is read.

A file that was written to has another ctime, which (unlike mtime) no program can set back. Two changes within one tick
of the kernel's clock (1-10 ms) look alike, though; an entry that changed in the very tick of the scan is therefore
taken as changed by the next comparison ("racy", as git calls it). That costs a second copy, never a lost change.
"""

from __future__ import annotations

import os
import stat
import time
from operator import attrgetter
from typing import TypeAlias

from contractor.core.errors import Broken, OutOfLimits
from contractor.core.values import Value
from contractor.store.descent import Descent

Signature: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""(mode, uid, gid, size in bytes, mtime in ns, ctime in ns, inode, number of links)"""
MODE, UID, GID, SIZE, MTIME, CTIME, INODE, LINKS = range(8)

CLOCK_REALTIME_COARSE = 5  # <linux/time.h>; the time module has no name for it. File systems stamp with it
MAX_PATH = 16 << 10  # bytes; paths are held in full, so a chain of n directories would need n * n bytes
MAX_RACY = 1 << 20  # bytes of content that may be stored twice rather than wait for the clock
MAX_PATHS_TOTAL = 1 << 30  # bytes of all paths together

_signature = attrgetter("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_nlink")


class Scan(Value, frozen=True):
    """A tree at one moment: path -> signature, the tree's root as b"". Paths are bytes, relative, "/" between names.

    clock: nanoseconds since 1970 when the scan began, as the kernel stamps files: entries as young as this are racy.
    """

    entries: dict[bytes, Signature] = {}
    clock: int = 0


EMPTY = Scan()  # what there is before the first state


class Difference(Value, frozen=True):
    """What must be stored to come from one scan to the next.

    changed: paths whose metadata and content are stored; moved: path -> the path that the same, untouched inode had
    before (its parent was renamed); removed: paths that are no more.
    """

    changed: list[bytes]
    moved: dict[bytes, bytes]
    removed: list[bytes]


def signature(found: os.stat_result) -> Signature:
    """The part of a stat result by which changes are seen."""
    result: Signature = _signature(found)
    return result


def is_device(mode: int) -> bool:
    """Devices are not kept: a workspace has no use for them, and no ordinary user can make them again."""
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def scan(root_fd: int) -> Scan:
    """List the tree below an open directory, which must be at rest; no link is followed, nothing is left out.

    About 3 us an entry. Directories of mode 000 are read too (for an ordinary user they count as changed each time).
    Raises Broken naming what cannot be read, OutOfLimits when paths are longer than MAX_PATH.
    """
    clock = _clock()
    entries: dict[bytes, Signature] = {}
    pending = [b""]
    total = 0
    with Descent(root_fd, force=True) as at:
        while pending:
            path = pending.pop()
            try:
                before = len(entries)
                at.go(path)
                _scan_one(at, path, entries, pending)
            except OSError as error:
                raise Broken(f"cannot list {os.fsdecode(path) or '.'!r} of the workspace: {error.strerror}") from error
            total += (len(entries) - before) * (len(path) + 1)
            if len(path) > MAX_PATH or total > MAX_PATHS_TOTAL:
                raise OutOfLimits(
                    f"the workspace nests directories too deeply: paths of more than {MAX_PATH} bytes",
                    details=(f"seen in {os.fsdecode(path[:80])}...",),
                )
    if sum(found[SIZE] for found in entries.values() if found[CTIME] >= clock) > MAX_RACY:
        settle()
        clock = _clock()  # the tree is at rest, so what was read is still what is there
    return Scan(entries, clock)


def settle() -> None:
    """Wait, 1-10 ms, until the clock that files are stamped with has moved on: nothing there now is racy after."""
    start = time.time_ns()
    while _clock() <= start:
        time.sleep(0.0005)


def _clock() -> int:
    return time.clock_gettime_ns(CLOCK_REALTIME_COARSE)


def _scan_one(at: Descent, path: bytes, entries: dict[bytes, Signature], pending: list[bytes]) -> None:
    own = _signature(os.fstat(at.fd))
    entries[path] = own if at.kept_mode is None else (stat.S_IFDIR | at.kept_mode, *own[1:])
    prefix = os.fsdecode(path) + "/" if path else ""
    encode = os.fsencode
    with os.scandir(at.fd) as found:
        for entry in found:
            name = encode(prefix + entry.name)
            if entry.is_dir(follow_symlinks=False):
                pending.append(name)
            else:
                entries[name] = _signature(entry.stat(follow_symlinks=False))


def compare(before: Scan, after: Scan) -> Difference:
    """What changed from one scan of a tree to a later one of the same tree. Pure; about 0.3 us an entry."""
    old, clock = before.entries, before.clock
    fresh = [
        path
        for path, new in after.entries.items()
        if (was := old.get(path)) is None or was != new or was[CTIME] >= clock
    ]
    removed = [path for path in old if path not in after.entries]
    # Looked up for every fresh name, so that all names of an inode get the same answer: they stay one inode.
    inodes = {after.entries[path][INODE] for path in fresh}
    by_inode = {sig[INODE]: (path, sig) for path, sig in old.items() if sig[INODE] in inodes and sig[CTIME] < clock}
    changed: list[bytes] = []
    moved: dict[bytes, bytes] = {}
    for path in fresh:
        new = after.entries[path]
        source = by_inode.get(new[INODE])
        if is_device(new[MODE]):
            changed.append(path)
        elif source is not None and source[1] == new:
            moved[path] = source[0]
        else:
            changed.append(path)
    return Difference(changed, moved, removed)
