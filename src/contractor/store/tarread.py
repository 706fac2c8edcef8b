"""The members of a tar stream, from hostile bytes.

Understood: ustar, pax with global headers (POSIX.1-2017), GNU's long names and big numbers, old v7. Pure, but for
`read`. Whatever is not plainly right is Rejected, with the offset in the archive: two readers that understand one
archive differently are how things get past a check. What a member may do to a directory is the business of `unpack`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from contractor.core.errors import Rejected
from contractor.store import tarformat
from contractor.store.tarformat import BLOCK, NANO, XATTR, Member

CHUNK = 1 << 20  # bytes read at once
MAX_HEADER = 1 << 20  # bytes of an extended header or a long name: attributes are 64 KiB at most, names 4 KiB
MAX_OWNER = 2**32 - 2  # 2**32 - 1 is chown's "leave it"
_MAX_SECONDS = 2**40

_NOTHING = bytes(BLOCK)
_KINDS = frozenset(b"01234567")
_INTEGER = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?)([0-9]{1,15})(?:\.([0-9]{0,60}))?")
_GLOBAL = (b"uid", b"gid", b"mtime")  # what a global header may change; a name or size for all would be an attack
_LOCAL = (*_GLOBAL, b"path", b"linkpath", b"size")


def refused(reason: str, offset: int, name: bytes | None = None) -> Rejected:
    """The error for a member, or for the archive itself when no member is named."""
    what = "the archive" if name is None else f"the archive's member {name[:200]!r}"
    return Rejected(
        f"{what} is refused: {reason} (at byte {offset})",
        hint="nothing of it should be used; look at where it came from",
    )


class Stream:
    """What `read` gives, counted, and no more than `limit` bytes of it.

    read(n) returns from 1 to n bytes, or none at the end.
    """

    def __init__(self, read: Callable[[int], bytes], limit: int) -> None:
        self._read = read
        self._data = b""
        self._at = 0
        self._base = 0  # offset of data[0]
        self.limit = limit

    @property
    def offset(self) -> int:
        return self._base + self._at

    def piece(self, most: int) -> memoryview:
        """The next bytes, at most that many; empty only at the end."""
        if self._at == len(self._data):
            self._base += self._at
            self._at = 0
            self._data = self._read(CHUNK)
            if self._base + len(self._data) > self.limit:
                raise refused(f"it is larger than {self.limit} bytes", self._base)
        view = memoryview(self._data)[self._at : self._at + most]
        self._at += len(view)
        return view

    def exactly(self, count: int) -> bytes:
        end = self._at + count
        if end <= len(self._data):  # nearly always
            data = self._data[self._at : end]
            self._at = end
            return data
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes; Rejected when the stream ends before."""
        while count:
            view = self.piece(count)
            if not view:
                raise refused("it ends too early", self.offset)
            count -= len(view)
            yield view


class _Fields(NamedTuple):
    """What extended headers say of the next member: pax keys and attributes."""

    keys: dict[bytes, bytes]
    xattrs: dict[bytes, bytes]


def members(stream: Stream) -> Iterator[Member]:
    """Each member, its header's claims checked for form; its content may then be taken with stream.pieces(member.size).

    Content that was not taken is passed over. At the end, what follows the archive must be zeros.
    """
    defaults: dict[bytes, bytes] = {}
    fields = _Fields({}, {})
    extended = False
    while True:
        offset = stream.offset
        header = stream.exactly(BLOCK)
        if header == _NOTHING:
            if extended:
                raise refused("an extended header without its member", offset)
            return _check_end(stream)
        _check_sum(header, offset)
        kind = header[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            data = _content(stream, header, offset)
            if kind == b"g":
                _global(defaults, data, offset)
            elif kind == b"x":
                _pax(fields, data, offset)
            else:
                fields.keys.setdefault(b"path" if kind == b"L" else b"linkpath", data.rstrip(b"\0"))
            extended = extended or kind != b"g"
            continue
        member = _member(header, defaults | fields.keys, fields.xattrs, offset)
        start = stream.offset
        if start + member.size > stream.limit:
            raise refused(f"with it the archive is larger than {stream.limit} bytes", offset, member.name)
        yield member
        for _ in stream.pieces(start + member.size + -member.size % BLOCK - stream.offset):
            pass
        if extended:
            fields, extended = _Fields({}, {}), False


def _check_end(stream: Stream) -> None:
    if stream.exactly(BLOCK) != _NOTHING:
        raise refused("a single block of zeros inside", stream.offset - BLOCK)
    while view := stream.piece(CHUNK):
        if bytes(view).strip(b"\0"):
            raise refused("something follows its end", stream.offset - len(view))


def _check_sum(header: bytes, offset: int) -> None:
    try:
        claimed = _number(header[148:156], "checksum", offset)
    except Rejected:  # an HTML page, say
        claimed = -1
    if tarformat.checksum(header[:148] + b"        " + header[156:]) != claimed:
        raise refused("a header's checksum is wrong, or this is no tar archive", offset)


def _content(stream: Stream, header: bytes, offset: int) -> bytes:
    size = _number(header[124:136], "size", offset)
    if size > MAX_HEADER:
        raise refused(f"an extended header of {size} bytes", offset)
    data = stream.exactly(size)
    stream.exactly(-size % BLOCK)
    return data


def _member(header: bytes, fields: dict[bytes, bytes], xattrs: dict[bytes, bytes], offset: int) -> Member:
    name = fields.get(b"path") or _ustar_name(header)
    kind = header[156:157]
    if kind == b"\0":
        kind = tarformat.FILE
    if kind[0] not in _KINDS:
        raise refused(f"members of type {kind!r} are not supported", offset, name)
    if kind == b"7":  # contiguous: a file, where disks have no such thing
        kind = tarformat.FILE
    if kind == tarformat.FILE and name.endswith(b"/"):  # how v7 wrote a directory
        kind = tarformat.DIRECTORY
    size = _integer(fields, b"size", header[124:136], offset)
    if size and kind != tarformat.FILE:
        raise refused("only a file has content", offset, name)
    uid = _integer(fields, b"uid", header[108:116], offset)
    gid = _integer(fields, b"gid", header[116:124], offset)
    if max(uid, gid) > MAX_OWNER:
        raise refused("the owner's number is too large", offset, name)
    if b"mtime" in fields:
        mtime = _time(fields[b"mtime"], offset)
    else:
        mtime = _number(header[136:148], "mtime", offset, signed=True) * NANO
    if abs(mtime) > _MAX_SECONDS * NANO:
        raise refused("the time is out of range", offset, name)
    mode = _number(header[100:108], "mode", offset) & 0o7777
    link = fields.get(b"linkpath") or header[157:257].partition(b"\0")[0]
    return Member(name, kind, mode, uid, gid, size, mtime, link, xattrs, offset)


def _ustar_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345]:  # GNU's magic has blanks, and other things in the prefix's place
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _integer(fields: dict[bytes, bytes], key: bytes, field: bytes, offset: int) -> int:
    value = fields.get(key)
    if value is None:
        return _number(field, key.decode(), offset)
    if not _INTEGER.fullmatch(value):
        raise refused(f"{value[:40]!r} is not a number ({key.decode()})", offset)
    return int(value)


def _number(field: bytes, what: str, offset: int, *, signed: bool = False) -> int:
    """A header's number: octal digits between blanks and NULs, or GNU's base 256 with the first byte's high bit set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
        if field[0] not in (0x80, 0xFF) or (value < 0 and not signed) or value >= 2**63:
            raise refused(f"the number is out of range ({what})", offset)
        return value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or digits.translate(None, b"01234567"):
        raise refused(f"{field!r} is not a number ({what})", offset)
    return int(digits, 8)


def _time(value: bytes, offset: int) -> int:
    """A pax time, decimal seconds of any precision, as nanoseconds rounded down."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise refused(f"{value[:40]!r} is not a time", offset)
    sign, seconds, fraction = match.groups(b"")
    total = int(seconds) * NANO + int(fraction[:9].ljust(9, b"0"))
    if not sign:
        return total
    return -total - 1 if fraction[9:].strip(b"0") else -total


def _pax(fields: _Fields, data: bytes, offset: int) -> None:
    for key, value in _records(data, offset):
        if key.startswith(XATTR):
            fields.xattrs[tarformat.unquoted(key[len(XATTR) :])] = value
        elif key.startswith(b"GNU.sparse"):
            raise refused("sparse members are not supported", offset)
        elif key in _LOCAL:
            if value:
                fields.keys[key] = value
            else:
                fields.keys.pop(key, None)


def _global(defaults: dict[bytes, bytes], data: bytes, offset: int) -> None:
    for key, value in _records(data, offset):
        if key in _GLOBAL:
            defaults[key] = value
            if not value:
                del defaults[key]
        elif key in _LOCAL or key.startswith((XATTR, b"GNU.sparse")):
            raise refused(f"a global header that sets {key[:60]!r}", offset)


def _records(data: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Records "LENGTH KEY=VALUE\\n", in which the value may hold anything."""
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 21].partition(b" ")
        end = at + int(digits) if space and _INTEGER.fullmatch(digits) else 0
        key, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= at + len(digits) + 1 or not (key and equals) or data[end - 1 : end] != b"\n":
            raise refused("a record of an extended header is malformed", offset)
        yield key, value
        at = end
