"""The state of a workspace after each step, kept as a chain of delta packs.

A workspace stays a plain directory, so that renames and inodes behave as everywhere (overlayfs refuses to rename
directories). Hard links to it would let a later step's writes change the past, and few file systems can share blocks.
So each state is one file with what its step changed; the first of a chain holds everything:

    0        contents of changed files, one after another; those of 64 KiB and more begin at a multiple of 4096
    offset   manifest (msgpack): entries, moved, removed, skipped          <- crc32 in the head
    ...      head (msgpack): name, parent's name, counts, offset and length and crc32 of the manifest
    -28      footer: "CTRSTATE", version (u32), head's length (u32), head's crc32 (u32), file size (u64)

A state's file appears under its name complete or not at all (written as .NAME.<random>.tmp, then renamed). It is not
synced: whoever records that the state exists syncs the file system first. The checksums cover metadata, not contents.

What a state keeps: type, mode, owner, mtime, user.* attributes (not user.overlay.*), link targets, holes, hard links.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contractor.core.errors import Broken
from contractor.core.values import Value
from contractor.store.extents import Packer
from contractor.store.scan import EMPTY, Scan, compare, scan
from contractor.store.states_collect import collect
from contractor.store.states_format import State, StateInfo, closing, open_state, read_head
from contractor.store.states_restore import restore

__all__ = ["EMPTY", "Scan", "State", "StateInfo", "Target", "info", "restore", "save", "scan"]

FULL = "free disk space with `contractor gc`, or give the store a larger disk"


class Target(Value, frozen=True):
    """Where a state is stored: `name` in an open directory; owner: (uid, gid) of the file, None for the caller."""

    dir_fd: int
    name: str
    owner: tuple[int, int] | None = None


def save(root_fd: int, before: Scan, target: Target, parent: str | None = None) -> tuple[Scan, StateInfo]:
    """Store what changed in a workspace at rest since `before`, the scan that the parent's save or restore returned.

    Returns the scan for the next save, and the stored state. With EMPTY and no parent everything is stored: the root
    of a chain. Devices are skipped and counted. Raises Broken (nothing is left then), OutOfLimits for absurd depths.
    """
    if (parent is None) != (not before.entries):
        raise Broken("a state has a parent if and only if it is saved against that parent's scan")
    after = scan(root_fd)
    difference = compare(before, after)
    with _appearing(target) as fd:
        packer = Packer(fd)
        manifest, after = collect(root_fd, difference, (before, after), packer)
        end, stored = closing(target.name, parent, manifest, packer.size)
        packer.append(end)
        packer.flush()
    return after, stored


def info(state: State) -> StateInfo:
    """What is known of a stored state without reading its manifest. Raises Broken when damaged or missing."""
    fd = open_state(state)
    try:
        return read_head(fd, state)[1]
    finally:
        os.close(fd)


@contextmanager
def _appearing(target: Target) -> Iterator[int]:
    """A new file that gets the target's name when the block ends well, and is removed otherwise."""
    temporary = f".{target.name}.{os.urandom(8).hex()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target.dir_fd)
        try:
            yield fd
            if target.owner is not None:
                os.fchown(fd, *target.owner)
            os.rename(temporary, target.name, src_dir_fd=target.dir_fd, dst_dir_fd=target.dir_fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=target.dir_fd)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise Broken(f"cannot store state {target.name}: {error.strerror}", hint=FULL) from error
