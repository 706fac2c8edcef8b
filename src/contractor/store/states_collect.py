"""Saving a state: the manifest of a difference, and the contents it needs."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from contractor.core.errors import Broken
from contractor.store.descent import Descent, reading
from contractor.store.extents import Packer, Shrunk, data_ranges
from contractor.store.scan import (
    CTIME,
    GID,
    INODE,
    LINKS,
    MODE,
    MTIME,
    SIZE,
    UID,
    Difference,
    Scan,
    Signature,
    is_device,
    signature,
)
from contractor.store.states_format import Entry, Extent, Manifest

_Xattrs: TypeAlias = list[tuple[bytes, bytes]]
_PACK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_XATTRS = {errno.EOPNOTSUPP, errno.ENOSYS}


def collect(root_fd: int, difference: Difference, scans: tuple[Scan, Scan], packer: Packer) -> tuple[Manifest, Scan]:
    """Pack the contents of what changed between two scans; returns the manifest and the later scan, brought up to date
    where reading a file of mode 000 touched its ctime. Raises Broken naming what cannot be read; OSError is the pack's.
    """
    before, after = scans
    manifest = Manifest({}, difference.moved, difference.removed, [])
    with Descent(root_fd, force=True) as at:
        collector = _Collector(at, after, packer)
        for path in difference.changed:
            found = after.entries[path]
            if is_device(found[MODE]):
                manifest.skipped.append(path)
                if path in before.entries:  # what had this name in the parent must not come back
                    manifest.removed.append(path)
            else:
                manifest.entries[path] = collector.entry(path, found)
    if not collector.touched:
        return manifest, after
    entries = {path: collector.touched.get(found[INODE], found) for path, found in after.entries.items()}
    return manifest, Scan(entries, after.clock)


class _Collector:
    """Makes entries; contents of an inode with many names are packed once."""

    def __init__(self, at: Descent, scan: Scan, packer: Packer) -> None:
        self._at = at
        self._scan = scan
        self._packer = packer
        self._linked: dict[int, Entry] = {}
        self.touched: dict[int, Signature] = {}

    def entry(self, path: bytes, found: Signature) -> Entry:
        """The entry of a changed name."""
        if stat.S_ISDIR(found[MODE]):
            with _naming(path):
                return self._made(found, xattrs=_xattrs(self._at.go(path)))
        linked = found[LINKS] > 1
        if linked and found[INODE] in self._linked:
            return self._linked[found[INODE]]
        parent, _, name = path.rpartition(b"/")
        with _naming(path):
            dir_fd = self._at.go(parent)
        if stat.S_ISREG(found[MODE]):
            made = self._file(path, name, dir_fd, found)
        elif stat.S_ISLNK(found[MODE]):
            with _naming(path):
                made = self._made(found, target=os.readlink(name, dir_fd=dir_fd))
        else:  # fifos and sockets have nothing but a name
            made = self._made(found)
        if linked:
            self._linked[found[INODE]] = made
        return made

    def _made(
        self,
        found: Signature,
        *,
        target: bytes = b"",
        extents: list[Extent] | None = None,
        xattrs: _Xattrs | None = None,
    ) -> Entry:
        directory = stat.S_ISDIR(found[MODE])
        return Entry(
            found[MODE],
            found[UID],
            found[GID],
            found[MTIME],
            found[SIZE] if stat.S_ISREG(found[MODE]) else 0,
            found[INODE] if found[LINKS] > 1 and not directory else 0,
            extents or [],
            target,
            xattrs or [],
        )

    def _file(self, path: bytes, name: bytes, dir_fd: int, found: Signature) -> Entry:
        with _naming(path), reading(name, dir_fd) as (fd, forced):
            status = os.fstat(fd)
            now = signature(status)
            if now != found and not (forced and now[UID:CTIME] == found[UID:CTIME] and now[INODE] == found[INODE]):
                raise _moving(path)
            xattrs = _xattrs(fd)
            ranges = list(data_ranges(fd, status))
            try:
                extents = [(offset, length, self._packer.add(fd, offset, length)) for offset, length in ranges]
            except Shrunk as error:
                raise _moving(path) from error
        if forced:
            with _naming(path):
                self.touched[found[INODE]] = signature(os.lstat(name, dir_fd=dir_fd))
        return self._made(found, extents=extents, xattrs=xattrs)


def _xattrs(fd: int) -> _Xattrs:
    """The user.* attributes; those of overlayfs would have a meaning if the tree were ever used as a layer."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise
    kept = sorted(name for name in names if name.startswith("user.") and not name.startswith("user.overlay."))
    return [(os.fsencode(name), os.getxattr(fd, name)) for name in kept]


def _moving(path: bytes) -> Broken:
    return Broken(
        f"{os.fsdecode(path)!r} of the workspace changed while its state was saved",
        details=("a workspace may be saved only when all processes of the step have ended",),
    )


@contextmanager
def _naming(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _PACK_IS_FULL:  # said while copying: it is the state that cannot be written
            raise
        raise Broken(f"cannot read {os.fsdecode(path) or '.'!r} of the workspace: {error.strerror}") from error
