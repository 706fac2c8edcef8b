"""One entry of the audit journal as a line of JSON. Pure; journal.py writes them, journal_check.py judges them.

    {"seq":7,"at":1763712000.25,"kind":"build-started","body":{...},"prev":"<64 hex>","key":"<64 hex>","sig":"<base64>"}

prev is the sha256 of the line before, signature and all, without its newline (64 zeros in the first line): so
`sed -n 6p FILE | tr -d '\\n' | sha256sum` gives the prev of line 7. key is the id of the key that signed; sig is over
"contractor journal v1", a newline, and the line as it is without its sig. Nothing depends on how JSON is written.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from contractor.core import digest
from contractor.core.values import Value
from contractor.proof.keys import Keys
from contractor.proof.signing import Signer, holds

START = "0" * 64  # the prev of the first line
LARGEST = 1 << 20  # bytes of a line
_CONTEXT = b"contractor journal v1\n"
_SIG = b',"sig":"'
_TAIL = len(_SIG) + 88 + 2  # base64 of 64 bytes, a quote and a brace


class _Unsigned(msgspec.Struct):
    seq: int
    at: float
    kind: str
    body: dict[str, Any]
    prev: str
    key: str


class Entry(Value, frozen=True):
    """seq counts from 1; at: seconds since the epoch; body: what the kind says, as JSON."""

    seq: int
    at: float
    kind: str
    body: dict[str, Any]
    prev: str
    key: str
    sig: str


_decoder = msgspec.json.Decoder(Entry)


def make_line(unsigned: tuple[int, float, str, dict[str, Any]], prev: str, signer: Signer) -> bytes:
    """A signed line, without its newline, of (seq, at, kind, body)."""
    core = msgspec.json.encode(_Unsigned(*unsigned, prev, signer.id))
    signature = base64.b64encode(signer.sign(_CONTEXT + core))
    return core[:-1] + _SIG + signature + b'"}'


def parse_line(line: bytes) -> Entry:
    """ValueError, with the reason, when it is no entry. Nothing is said about its signature."""
    try:
        entry = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    if line[-_TAIL : -_TAIL + len(_SIG)] != _SIG or line[-90:-2] != entry.sig.encode():
        raise ValueError("the signature is not at its end")
    if not (digest.is_digest(entry.prev) and digest.is_digest(entry.key)):
        raise ValueError("prev or key is no digest")
    return entry


def is_signed(line: bytes, entry: Entry, keys: Keys) -> bool:
    """Whether the key that the entry names is known and made its signature."""
    key = keys.get(entry.key)
    try:
        signature = base64.b64decode(entry.sig, validate=True)
    except (binascii.Error, ValueError):
        return False
    canonical = base64.b64encode(signature).decode() == entry.sig
    return key is not None and canonical and holds(key, signature, _CONTEXT + line[:-_TAIL] + b"}")
