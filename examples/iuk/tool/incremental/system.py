"""A system as it is in a SquashFS image: every file with owner, mode, time, extended attributes and content.

The image is read as a tar archive (sqfs2tar), so nobody needs to be root, and nothing is mounted or unpacked: what the
files are cannot be changed by who looks at them.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

KINDS = {
    tarfile.REGTYPE: "f", tarfile.AREGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l",
    tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b", tarfile.FIFOTYPE: "p",
}  # fmt: skip
XATTR = "SCHILY.xattr."
PIECE = 1 << 20


class Entry(NamedTuple):
    """What one path is, but for its content. mode: permissions; xattrs: (name, value), sorted."""

    kind: str  # f, d, l, c, b or p
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0  # seconds
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()
    size: int = 0


class System:
    """entries: path -> what it is; the root is "". pieces: the content of a file, piece by piece."""

    def __init__(self, entries: dict[str, Entry], pieces: Callable[[str], Iterator[bytes]]) -> None:
        self.entries = entries
        self.pieces = pieces


def same_content(one: System, two: System, path: str) -> bool:
    """Whether a file has the same bytes in both."""
    if one.entries[path].size != two.entries[path].size:
        return False
    return all(a == b for a, b in zip(one.pieces(path), two.pieces(path), strict=True))


def read_system(image: str, archive: str) -> System:
    """The system in an image. archive: a new file that stays as long as content is asked for."""
    with open(archive, "wb") as file:
        command = ["sqfs2tar", "--root-becomes", ".", "--no-hard-links", "--no-skip", image]
        subprocess.run(command, stdout=file, check=True)
    entries: dict[str, Entry] = {}
    places: dict[str, int] = {}
    with tarfile.open(archive, "r:", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            path = member.name.removeprefix(".").strip("/")
            xattrs = sorted(
                (name.removeprefix(XATTR), value)
                for name, value in member.pax_headers.items()
                if name.startswith(XATTR)
            )
            entries[path] = Entry(
                KINDS[member.type],
                member.mode & 0o7777,
                member.uid,
                member.gid,
                int(member.mtime),
                member.linkname,
                (member.devmajor, member.devminor) if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE) else (0, 0),
                tuple(xattrs),
                member.size if member.isreg() else 0,
            )
            places[path] = member.offset_data
    opened = os.open(archive, os.O_RDONLY)

    def pieces(path: str) -> Iterator[bytes]:
        at, end = places[path], places[path] + entries[path].size
        while at < end:
            data = os.pread(opened, min(PIECE, end - at), at)
            if not data:
                raise EOFError(f"{archive} ends in {path}")
            yield data
            at += len(data)

    return System(entries, pieces)


def write_archive(system: System, path: str) -> None:
    """A system as a tar archive, which mksquashfs makes an image of. The root comes first."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        for name in sorted(system.entries):
            entry = system.entries[name]
            member = tarfile.TarInfo(f"./{name}" if name else ".")
            member.type = next(kind for kind, letter in KINDS.items() if letter == entry.kind)
            member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
            member.linkname, member.size = entry.link, entry.size
            member.devmajor, member.devminor = entry.device
            member.pax_headers = {XATTR + key: value for key, value in entry.xattrs}
            tar.addfile(member, _Reader(system.pieces(name)) if entry.size else None)  # type: ignore[arg-type]


class _Reader:
    """Pieces as what can be read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, count: int) -> bytes:
        while len(self._rest) < count:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:count], self._rest[count:]
        return data
