"""Digests: sha256 of bytes and streams, and the one canonical JSON that keys are made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

CHUNK = 1 << 20  # bytes read at once when hashing a stream

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_encoder = msgspec.json.Encoder(order="sorted")


def is_digest(text: str) -> bool:
    """True for 64 lower-case hexadecimal digits."""
    return _HEX64.match(text) is not None


def of_bytes(data: bytes) -> str:
    """The sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical JSON of a value: sorted keys, no spaces, UTF-8. Equal values give equal bytes."""
    return _encoder.encode(value)


def of_value(value: Any) -> str:
    """The sha256 of a value's canonical JSON."""
    return of_bytes(canonical(value))


def chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What `read` returns, up to CHUNK bytes at a time, until it returns nothing."""
    while data := read(CHUNK):
        yield data
