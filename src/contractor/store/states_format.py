"""The file of one state: reading and writing everything in it but contents. The layout is drawn in `states.py`."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import TypeAlias

import msgspec

from contractor.core.errors import Broken
from contractor.core.values import Value

MAGIC = b"CTRSTATE"
VERSION = 1
FOOTER = struct.Struct("<8sIIIQ")  # magic, version, head's length and crc32, size of the whole file
TAIL = 4096  # bytes read at once: the footer and, but for very long names, the head
HINT = "remove this state and those made after it; their steps will run again"

State: TypeAlias = int | Path
"""A stored state: an open descriptor (which stays the caller's) or a path."""

Extent: TypeAlias = tuple[int, int, int]
"""(offset in the file, length, offset in the state's file), in bytes; what no extent covers is a hole."""


class Entry(Value, frozen=True, array_like=True):
    """One changed name. mode: st_mode with the type's bits; mtime: ns; group: of all names with the same number (not 0)
    in this state, one inode is made; target: of a symbolic link."""

    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    group: int = 0
    extents: list[Extent] = []
    target: bytes = b""
    xattrs: list[tuple[bytes, bytes]] = []


class Manifest(Value, frozen=True, array_like=True):
    """How to come from the parent's tree to this one: paths as in `scan.Difference`; skipped: devices, not kept."""

    entries: dict[bytes, Entry]
    moved: dict[bytes, bytes]
    removed: list[bytes]
    skipped: list[bytes]


class Head(Value, frozen=True, array_like=True):
    """What is known of a state without reading its manifest. Offset and length in bytes."""

    name: str
    parent: str | None
    entries: int
    removed: int
    skipped: int
    offset: int
    length: int
    crc: int


class StateInfo(Value, frozen=True):
    """A stored state. size: bytes of its file; entries: names stored or moved; skipped: devices that were not kept."""

    name: str
    parent: str | None
    size: int
    entries: int
    removed: int
    skipped: int


_encoder = msgspec.msgpack.Encoder()
_manifests = msgspec.msgpack.Decoder(Manifest)
_heads = msgspec.msgpack.Decoder(Head)


def broken(state: str, why: str) -> Broken:
    """The error for a state that cannot be used."""
    return Broken(f"state {state} is damaged: {why}", hint=HINT)


def describe(state: State) -> str:
    """How a state is called in messages."""
    return f"of descriptor {state}" if isinstance(state, int) else str(state)


def closing(name: str, parent: str | None, manifest: Manifest, offset: int) -> tuple[bytes, StateInfo]:
    """The bytes that end a state's file whose contents take `offset` bytes: manifest, head, footer."""
    body = _encoder.encode(manifest)
    entries = len(manifest.entries) + len(manifest.moved)
    counts = (entries, len(manifest.removed), len(manifest.skipped))
    head = _encoder.encode(Head(name, parent, *counts, offset, len(body), zlib.crc32(body)))
    size = offset + len(body) + len(head) + FOOTER.size
    footer = FOOTER.pack(MAGIC, VERSION, len(head), zlib.crc32(head), size)
    return body + head + footer, StateInfo(name, parent, size, *counts)


def read_head(fd: int, state: State) -> tuple[Head, StateInfo]:
    """Check and decode the head of an open state: two system calls, whatever its size. Raises Broken."""
    called = describe(state)
    size = os.fstat(fd).st_size
    tail = _read_exactly(fd, min(size, TAIL), size - min(size, TAIL))
    if len(tail) < FOOTER.size:
        raise broken(called, "it is truncated")
    magic, version, length, crc, expected = FOOTER.unpack(tail[-FOOTER.size :])
    if magic != MAGIC or expected != size:
        raise broken(called, "it has no proper end")
    if version != VERSION:
        raise Broken(f"state {called} has format {version}, this program knows {VERSION}", hint=HINT)
    start = size - FOOTER.size - length
    if start < 0:
        raise broken(called, "its end contradicts its size")
    raw = _read_exactly(fd, length, start)
    if len(raw) != length or zlib.crc32(raw) != crc:
        raise broken(called, "its head has another checksum")
    try:
        head = _heads.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise broken(called, f"its head cannot be read: {error}") from error
    if head.offset < 0 or head.length < 0 or head.offset + head.length != start:
        raise broken(called, "its head contradicts its size")
    return head, StateInfo(head.name, head.parent, size, head.entries, head.removed, head.skipped)


def read_manifest(fd: int, state: State, head: Head) -> Manifest:
    """Check and decode the manifest of an open state; every extent is within the file. Raises Broken."""
    called = describe(state)
    raw = _read_exactly(fd, head.length, head.offset)
    if len(raw) != head.length or zlib.crc32(raw) != head.crc:
        raise broken(called, "its manifest has another checksum")
    try:
        manifest = _manifests.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise broken(called, f"its manifest cannot be read: {error}") from error
    for path, entry in manifest.entries.items():
        for offset, length, stored in entry.extents:
            if min(offset, length, stored) < 0 or offset + length > entry.size or stored + length > head.offset:
                raise broken(called, f"the content of {os.fsdecode(path)!r} is outside of the file")
    return manifest


def open_state(state: State) -> int:
    """A new descriptor of a state's file. Raises Broken naming a state that is missing."""
    try:
        return os.dup(state) if isinstance(state, int) else os.open(state, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Broken(f"state {describe(state)} is missing", hint=HINT) from error
    except OSError as error:
        raise Broken(f"cannot open state {describe(state)}: {error.strerror}") from error


def _read_exactly(fd: int, length: int, offset: int) -> bytes:
    """Up to `length` bytes: one pread gives at most 2 GiB, and a manifest may be read in parts."""
    parts: list[bytes] = []
    while length > 0 and (data := os.pread(fd, length, offset)):
        parts.append(data)
        offset += len(data)
        length -= len(data)
    return b"".join(parts)
