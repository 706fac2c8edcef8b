"""Tar headers as bytes: what our archives are made of.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". A member is one 512-byte ustar header,
preceded by a pax extended header only where ustar has no room for the truth:

    [pax header block][records, padded]  header block  content, padded to 512
    ...
    two blocks of zeros, padded to 10240

Pure: the same member gives the same bytes anywhere. `tarread` is the other direction, for hostile bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import adler32

from contractor.core.values import Value

BLOCK = 512
RECORD = 10240  # an archive's size is a multiple of this, as tar(1) writes it
MAX_PATH = 4096  # bytes of a member's name; also the kernel's PATH_MAX
MAX_DEPTH = 256  # directories above a member: each is an open descriptor while we are below it
NANO = 1_000_000_000

FILE, LINK, SYMLINK, CHARACTER, BLOCKDEV, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

XATTR = b"SCHILY.xattr."  # star's prefix, which GNU tar and libarchive share
CAPABILITY = b"security.capability"

_ZEROS = bytes(RECORD)
_PAX_NAME = b"././@PaxHeader"  # only seen by a reader that knows no pax
_HEADER = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000" + bytes(64) + b"0000000\x000000000\0%b"
_OCTAL7, _OCTAL11 = 0o7777777, 0o77777777777  # the largest numbers of the two kinds of field


class Member(Value, frozen=True):
    """One thing in an archive. kind is a ustar typeflag, mtime is nanoseconds since the epoch, size bytes of content.

    A directory's name ends with "/" in our archives; link is the target of a symbolic or hard link.
    offset is where its header began, in archives that were read.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    xattrs: Mapping[bytes, bytes] = {}
    offset: int = 0


def kept_xattr(name: bytes) -> bool:
    """Whether a system tree's archive keeps this extended attribute.

    user.overlay.* would be orders to overlayfs; trusted.* and security.* belong to the machine, but for capabilities.
    """
    return name == CAPABILITY or (name.startswith(b"user.") and not name.startswith(b"user.overlay."))


def checksum(header: bytes) -> int:
    """The sum of a header's bytes, the checksum field read as spaces by the caller.

    adler32's low half is the sum modulo 65521, which 256 bytes cannot reach: ten times the speed of sum().
    """
    return (adler32(header[:256], 0) & 0xFFFF) + (adler32(header[256:], 0) & 0xFFFF)


def padding(size: int) -> bytes:
    """The zeros that fill content of `size` bytes up to a whole block."""
    return _ZEROS[: -size % BLOCK]


def ending(size: int) -> bytes:
    """What closes an archive of `size` bytes: two zero blocks, and zeros up to a whole record."""
    return _ZEROS[: 2 * BLOCK] + _ZEROS[: -(size + 2 * BLOCK) % RECORD]


def encode(member: Member) -> bytes:
    """The header blocks of a member. The mtime is written in whole seconds, rounded down."""
    records: list[bytes] = []
    prefix, name = _fit(member.name)
    if name is None:
        records.append(_record(b"path", member.name))
        prefix, name = b"", member.name[:100]
    link = member.link
    if len(link) > 100 or not link.isascii():
        records.append(_record(b"linkpath", link))
        link = link[:100]
    if records and not (_is_utf8(member.name) and _is_utf8(member.link)):
        records.insert(0, _record(b"hdrcharset", b"BINARY"))
    uid = _number(records, b"uid", member.uid, _OCTAL7)
    gid = _number(records, b"gid", member.gid, _OCTAL7)
    size = _number(records, b"size", member.size, _OCTAL11)
    mtime = _number(records, b"mtime", member.mtime // NANO, _OCTAL11)
    if member.xattrs:
        records += [_record(XATTR + _quoted(key), value) for key, value in sorted(member.xattrs.items())]
    header = _sealed(
        _HEADER
        % (
            name.ljust(100, b"\0"),
            member.mode,
            uid,
            gid,
            size,
            mtime,
            member.kind,
            link.ljust(100, b"\0"),
            prefix.ljust(167, b"\0"),
        )
    )
    return _extended(b"".join(records)) + header if records else header


def _sealed(header: bytes) -> bytes:
    return header[:148] + b"%06o\0 " % checksum(header) + header[156:]


def _extended(records: bytes) -> bytes:
    size = len(records)
    header = _HEADER % (_PAX_NAME.ljust(100, b"\0"), 0o644, 0, 0, size, 0, b"x", bytes(100), bytes(167))
    return _sealed(header) + records + padding(size)


def _fit(name: bytes) -> tuple[bytes, bytes | None]:
    """A name as ustar's prefix and name fields; (b"", None) where it does not fit, or is not portable."""
    if not name.isascii():
        return b"", None
    if len(name) <= 100:
        return b"", name
    slash = name.find(b"/", len(name) - 101, 156)
    return (name[:slash], name[slash + 1 :]) if 0 < slash < len(name) - 1 else (b"", None)


def _number(records: list[bytes], key: bytes, value: int, most: int) -> int:
    """The number for the octal field; a pax record, and 0 in the field, where it does not fit."""
    if 0 <= value <= most:
        return value
    records.append(_record(key, b"%d" % value))
    return 0


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, "LENGTH KEY=VALUE\\n", whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _quoted(key: bytes) -> bytes:
    """An attribute's name as GNU tar writes it: "=" would end the key."""
    return key.replace(b"%", b"%25").replace(b"=", b"%3D")


def unquoted(key: bytes) -> bytes:
    """The name of an attribute from a pax key."""
    return key.replace(b"%3D", b"=").replace(b"%25", b"%")
