"""DSSE envelopes, the signed form of every statement: https://github.com/secure-systems-lab/dsse (v1.0.2).

A signature is over the payload's type and bytes (`pae`), so nothing depends on how the JSON around them is written.
Of an envelope we ask a little more than the protocol does: base64 in its one canonical form, and a key id with each
signature, so that no byte of it can be changed without being refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import msgspec

from contractor.core.errors import Rejected
from contractor.proof.errors import Refuted
from contractor.proof.keys import Keys, PublicKey
from contractor.proof.signing import Signer, holds

IN_TOTO = "application/vnd.in-toto+json"
LARGEST = 64 << 20  # bytes of an envelope


class _Signature(msgspec.Struct):  # fields that we do not know are ignored, as the protocol demands
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct):
    payload: str
    payloadType: str
    signatures: list[_Signature]


class Opened(NamedTuple):
    """What an envelope holds, and the trusted keys that signed it."""

    payload: bytes
    keys: tuple[PublicKey, ...]


def pae(kind: str, payload: bytes) -> bytes:
    """The bytes that a signature is over: type and payload, each with its length (protocol.md, "PAE")."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def seal(payload: bytes, signer: Signer, kind: str = IN_TOTO) -> bytes:
    """A signed envelope: one line of JSON, with its newline."""
    signature = signer.sign(pae(kind, payload))
    made = _Envelope(
        payload=base64.b64encode(payload).decode(),
        payloadType=kind,
        signatures=[_Signature(sig=base64.b64encode(signature).decode(), keyid=signer.id)],
    )
    return msgspec.json.encode(made) + b"\n"


def unseal(line: bytes, trusted: Keys, kind: str = IN_TOTO) -> Opened:
    """The payload of an envelope that a trusted key signed.

    Rejected: it is no envelope, of another type, or signed by nobody who is trusted. Refuted: a signature that names a
    trusted key is not that key's.
    """
    envelope = _decoded(line)
    payload = _bytes_of(envelope.payload, "the payload")
    if envelope.payloadType != kind:
        raise Rejected(f"the envelope holds {envelope.payloadType[:80]!r}, not {kind!r}")
    message = pae(envelope.payloadType, payload)
    given = [(entry.keyid, _bytes_of(entry.sig, "a signature")) for entry in envelope.signatures]
    named = [(trusted[keyid], signature) for keyid, signature in given if keyid in trusted]
    if not named:
        ids = ", ".join(keyid[:64] or "a key that is not named" for keyid, _signature in given) or "nobody"
        raise Rejected(
            f"signed by a key that is not trusted: {ids}",
            hint="if you know whose it is: `contractor keys trust FILE`, or `--trust FILE` for once",
        )
    keys = {key.id: key for key, signature in named if holds(key, signature, message)}
    if not keys:
        raise Refuted(
            f"the signature is not that of {named[0][0].name} ({named[0][0].id})",
            details=("the envelope was changed after it was signed, or somebody else signed it",),
        )
    return Opened(payload, tuple(keys.values()))


def peek(line: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The payload and the ids of the keys, nothing of it checked: for looking at, never for deciding."""
    envelope = _decoded(line)
    return _bytes_of(envelope.payload, "the payload"), tuple(entry.keyid for entry in envelope.signatures)


def _decoded(line: bytes) -> _Envelope:
    try:
        return msgspec.json.decode(line, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"not a DSSE envelope: {error}") from error


def _bytes_of(text: str, what: str) -> bytes:
    """Of base64, standard or URL-safe; Rejected for any writing of it but the canonical one."""
    for alphabet in (None, b"-_"):
        try:
            data = base64.b64decode(text, altchars=alphabet, validate=True)
        except (binascii.Error, ValueError):
            continue
        if base64.b64encode(data, altchars=alphabet).decode() == text:
            return data
    raise Rejected(f"{what} of the envelope is not canonical base64")
