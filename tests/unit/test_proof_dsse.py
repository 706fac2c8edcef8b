"""Envelopes: public verifiers accept ours, and we accept none that was changed in any byte."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from proof_kit import signer
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from contractor.core.errors import ContractorError, Rejected
from contractor.proof.dsse import IN_TOTO, pae, peek, seal, unseal
from contractor.proof.errors import Refuted
from contractor.proof.keys import by_id

SIGNER = signer()
TRUSTED = by_id([SIGNER.key])
LINE = seal(b'{"a": "text\xff, +/ and so on"}', SIGNER)


def test_pae_is_the_protocols_own_example() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def read_pae(data: bytes) -> tuple[str, bytes]:
    """The protocol read backwards, written without a look at our code."""
    mark, size, rest = data.split(b" ", 2)
    assert mark == b"DSSEv1"
    name, rest = rest[: int(size)], rest[int(size) :]
    assert rest[:1] == b" "
    length, _space, body = rest[1:].partition(b" ")
    assert len(body) == int(length)
    return name.decode(), body


@given(st.text(), st.binary())
def test_pae_says_type_and_payload_and_nothing_else(kind: str, payload: bytes) -> None:
    assert read_pae(pae(kind, payload)) == (kind, payload)


@given(st.binary(max_size=300))
def test_what_is_sealed_is_unsealed(payload: bytes) -> None:
    opened = unseal(seal(payload, SIGNER), TRUSTED)
    assert opened.payload == payload
    assert opened.keys == (SIGNER.key,)
    assert peek(seal(payload, SIGNER)) == (payload, (SIGNER.id,))


def test_an_independent_reader_verifies_it() -> None:
    """Only json, base64 and an ed25519 implementation, and the protocol's text."""
    envelope = json.loads(LINE)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    [signature] = envelope["signatures"]
    key = Ed25519PublicKey.from_public_bytes(SIGNER.key.data)
    key.verify(base64.b64decode(signature["sig"]), message)
    assert kind == IN_TOTO


def sslib_key() -> SSlibKey:
    return SSlibKey(SIGNER.id, "ed25519", "ed25519", {"public": SIGNER.key.data.hex()})


def test_securesystemslib_verifies_it() -> None:
    envelope = Envelope.from_dict(json.loads(LINE))
    assert envelope.verify([sslib_key()], 1)
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([sslib_key()], 1)


def test_an_envelope_of_securesystemslib_is_unsealed() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from proof_kit import PRIVATE
    from securesystemslib.signer import CryptoSigner

    key = CryptoSigner(Ed25519PrivateKey.from_private_bytes(PRIVATE), sslib_key())
    made = Envelope(b"payload", IN_TOTO, {})
    made.sign(key)
    assert unseal(json.dumps(made.to_dict()).encode(), TRUSTED).payload == b"payload"


def same(line: bytes) -> bool:
    """Whether it is refused, or says in other JSON exactly what LINE says."""
    try:
        return unseal(line, TRUSTED) == unseal(LINE, TRUSTED)
    except ContractorError as error:
        return bool(error.message)


def test_every_bit_counts() -> None:
    for at in range(len(LINE)):
        for bit in range(8):
            changed = LINE[:at] + bytes([LINE[at] ^ 1 << bit]) + LINE[at + 1 :]
            assert same(changed), (at, bit)


def test_every_byte_counts() -> None:
    """Accepted is what decodes to the same: white space at the end, and the one `/` in URL-safe base64."""
    accepted = []
    for at in range(len(LINE)):
        for put in b'A+-_/0 \n"x':
            changed = LINE[:at] + bytes([put]) + LINE[at + 1 :]
            assert same(changed), (at, chr(put))
            try:
                unseal(changed, TRUSTED)
            except ContractorError:
                continue
            accepted += [(LINE[at : at + 1], chr(put))] if changed != LINE else []
    assert set(accepted) <= {(b"\n", " "), (b"/", "_"), (b"+", "-")}


@given(st.data())
def test_cut_or_longer_envelopes_are_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(LINE) - 2))
    with pytest.raises(Rejected):
        unseal(LINE[:at], TRUSTED)
    with pytest.raises(ContractorError):
        unseal(LINE[:at] + data.draw(st.binary(min_size=1, max_size=5)) + LINE[at:-1] + b"}", TRUSTED)


@given(st.binary(max_size=200))
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected):
        unseal(data, TRUSTED)


def remade(**more: object) -> bytes:
    return json.dumps({**json.loads(LINE), **more}).encode()


def test_another_payload_type_is_refused() -> None:
    with pytest.raises(Rejected, match=r"holds 'text/plain', not 'application/vnd.in-toto\+json'"):
        unseal(remade(payloadType="text/plain"), TRUSTED)
    other = seal(b"{}", SIGNER, "text/plain")
    with pytest.raises(Rejected):
        unseal(other, TRUSTED)
    with pytest.raises(Refuted):  # its signature is not one over our type
        unseal(json.dumps({**json.loads(other), "payloadType": IN_TOTO}).encode(), TRUSTED)


def test_an_unknown_key_is_named_with_what_to_do() -> None:
    other = signer("other", b"x" * 32)
    with pytest.raises(Rejected, match=other.id) as caught:
        unseal(seal(b"{}", other), TRUSTED)
    assert "contractor keys trust FILE" in caught.value.hint


def test_a_stranger_who_names_our_key_is_refuted() -> None:
    [signature] = json.loads(seal(b"{}", signer("other", b"x" * 32)))["signatures"]
    with pytest.raises(Refuted, match=f"the signature is not that of {SIGNER.key.name}"):
        unseal(remade(signatures=[{**signature, "keyid": SIGNER.id}]), TRUSTED)


def test_one_good_signature_of_several_is_enough() -> None:
    [signature] = json.loads(LINE)["signatures"]
    bad = {"keyid": SIGNER.id, "sig": base64.b64encode(bytes(64)).decode()}
    unknown = {"keyid": "0" * 64, "sig": signature["sig"]}
    assert unseal(remade(signatures=[bad, unknown, signature]), TRUSTED).keys == (SIGNER.key,)
    with pytest.raises(Refuted):
        unseal(remade(signatures=[bad, unknown]), TRUSTED)
    with pytest.raises(Rejected, match="signed by a key that is not trusted: nobody"):
        unseal(remade(signatures=[]), TRUSTED)
    with pytest.raises(Rejected, match="a key that is not named"):
        unseal(remade(signatures=[{"sig": signature["sig"]}]), TRUSTED)


def test_url_safe_base64_is_read_as_the_protocol_wants() -> None:
    envelope = json.loads(LINE)
    safe = envelope["payload"].replace("+", "-").replace("/", "_")
    assert unseal(remade(payload=safe), TRUSTED).payload == unseal(LINE, TRUSTED).payload


@pytest.mark.parametrize("payload", ["e30", "e30=\n", " e30=", "e31=", "e30==", "é", "ab-/"])
def test_base64_has_one_form(payload: str) -> None:
    with pytest.raises(Rejected, match="not canonical base64"):
        unseal(remade(payload=payload), TRUSTED)


def test_fields_that_nobody_knows_are_ignored_as_the_protocol_wants() -> None:
    assert unseal(remade(more={"x": 1}), TRUSTED).payload == unseal(LINE, TRUSTED).payload
