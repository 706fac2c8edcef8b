"""XML-RPC: what is read, what is refused before it is read, and what is written."""

from __future__ import annotations

import time
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from builder_kit import Daemon
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.daemon import rpc

BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>
<methodCall><methodName>echo</methodName><params><param><value>&b;</value></param></params></methodCall>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd">
<methodCall><methodName>status</methodName></methodCall>"""


def echo(value: bytes) -> bytes:
    param = b"<params><param><value>" + value + b"</value></param></params>"
    return b"<methodCall><methodName>echo</methodName>" + param + b"</methodCall>"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<&>\u00e9", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def read(data: bytes) -> Any:
    return xmlrpc.client.loads(data.decode(), use_builtin_types=True)[0][0]


def plain(value: Any) -> Any:
    """With what XML cannot hold replaced."""
    if isinstance(value, str):
        return "".join(c if c in "\t\n\r" or c >= " " else "\ufffd" for c in value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(VALUES)
def test_every_value_comes_through(value: Any) -> None:
    assert read(rpc.answer(value)) == plain(value)


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_text_makes_a_document(text: str, struct: dict[str, str]) -> None:
    assert isinstance(read(rpc.answer([text, struct]))[0], str)
    with pytest.raises(xmlrpc.client.Fault):
        xmlrpc.client.loads(rpc.fault(rpc.Fault(8002, text)).decode())


@given(st.binary(max_size=200) | st.sampled_from([b"<methodCall>", b"<methodResponse><fault>", b"<a/>"]))
def test_any_bytes_are_a_call_or_a_fault(data: bytes) -> None:
    try:
        assert rpc.parse(data).method
    except rpc.Fault as fault:
        assert fault.code == 8002


@pytest.mark.parametrize("data", [
    BOMB, OUTSIDE, BOMB.replace(b"<?xml version=\"1.0\"?>", b"").decode().encode("utf-16"),
    echo(b"<int>" + b"9" * 5000 + b"</int>"), echo(b"<boolean>7</boolean>"), echo(b"<base64>a</base64>"),
    echo(b"<struct><member><name>a</name></member></struct>"), echo(b"<unknown>a</unknown>"), echo(b"")[:-3],
    b"<methodResponse><params/></methodResponse>", b"", b"status", b"\x00" * 99,
])  # fmt: skip
def test_what_is_no_call_is_a_fault(data: bytes) -> None:
    with pytest.raises(rpc.Fault, match="deserialize"):
        rpc.parse(data)


def test_entities_are_refused_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "DefusedExpatParser", None)
    for data in (BOMB, OUTSIDE):
        with pytest.raises(rpc.Fault, match="entity"):
            rpc.parse(data)


ARRAY = (b"<value><array><data>", b"</data></array></value>")
STRUCT = (b"<value><struct><member><name>a</name>", b"</member></struct></value>")


def nested(depth: int, kind: tuple[bytes, bytes] = ARRAY) -> bytes:
    inner = kind[0] * depth + (b"" if kind is ARRAY else b"<value/>") + kind[1] * depth
    return b"<methodCall><methodName>echo</methodName><params><param>" + inner + b"</param></params></methodCall>"


@pytest.mark.parametrize("kind", [ARRAY, STRUCT], ids=["array", "struct"])
def test_depth_has_a_limit(kind: tuple[bytes, bytes]) -> None:
    assert rpc.parse(nested(64, kind)).method == "echo"
    for depth in (65, 40000):
        with pytest.raises(rpc.Fault, match="64"):
            rpc.parse(nested(depth, kind))


def test_the_daemon_answers_what_is_no_call(daemon: Daemon) -> None:
    for data in (BOMB, OUTSIDE, nested(40000), nested(40000, STRUCT), b"", b"nonsense"):
        status, answer = daemon.post(data)
        assert status == 200
        with pytest.raises(xmlrpc.client.Fault) as caught:
            xmlrpc.client.loads(answer.decode())
        assert caught.value.faultCode == 8002
    assert daemon.rpc.echo("on") == ["on"]


def test_a_large_value_passes_and_a_huge_one_does_not(daemon: Daemon) -> None:
    text = "x" * (3 << 20)
    assert daemon.rpc.echo(text) == [text]
    began = time.monotonic()
    with pytest.raises((xmlrpc.client.ProtocolError, ConnectionError)):
        daemon.rpc.echo("x" * (100 << 20))
    assert time.monotonic() - began < 20
    daemon.rpc("close")()
    assert daemon.rpc.echo("on") == ["on"]
    assert daemon.resident() < 150 << 20


def test_nobody_waits_for_a_large_request(daemon: Daemon) -> None:
    """It takes a second or more to read: many calls are answered meanwhile."""
    body = echo(b"<array><data>" + b"<value/>" * (rpc.LARGEST // 8 - 100) + b"</data></array>")
    with ThreadPoolExecutor(1) as pool:
        daemon.rpc.status()
        large = pool.submit(daemon.post, body)
        answered = 0
        while not large.done():
            daemon.rpc.status()
            answered += 1
        status, answer = large.result()
    assert status == 200 and answer.count(b"<value>") > len(body) // 9
    assert answered > 20
