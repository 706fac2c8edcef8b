"""The client's parts against what no builder should send: bytes, names, sizes, and answers that never end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contractor.buildd.client import builder as client_builder
from contractor.buildd.client.answers import (
    Unfit,
    ci_jobs,
    digest_kind,
    read_info,
    read_presence,
    read_reply,
    read_status,
)
from contractor.buildd.client.builder import Builder, Fault
from contractor.buildd.client.link import Lost, Nonsense
from contractor.buildd.client.xmlrpc import NoAnswer, Refusal, read_answer, write_call
from contractor.core.errors import Rejected

_XML = "<?xml version='1.0'?>"
_BOMB = _XML + '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
_ENTITY = _XML + '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
_VALUE = "<methodResponse><params><param><value><string>&a;</string></value></param></params></methodResponse>"

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(answer: Serve) -> Iterator[str]:
    """A builder that answers each connection as told, once the request's head is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def http(body: bytes, *, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


@pytest.mark.parametrize(
    "text", [_BOMB + _VALUE.replace("&a;", "&b;"), _ENTITY + _VALUE, _XML + "<!DOCTYPE x>" + _VALUE]
)
def test_entities_are_refused_before_they_are_read(text: str) -> None:
    with pytest.raises(NoAnswer, match="no XML-RPC"):
        read_answer(text.encode())


@given(some.binary())
def test_any_bytes_are_an_answer_or_none(data: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_answer(data)


_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**31), 2**31 - 1) | some.text(alphabet="aé\n<&]>") | some.binary(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(alphabet="ab<"), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES)
def test_any_value_travels_and_is_looked_at(value: Any) -> None:
    method = write_call("echo", (value,))
    assert list(xmlrpc.client.loads(method, use_builtin_types=True)[0]) == [value]
    answer = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()
    found = read_answer(answer)
    assert found == value
    for read in (read_status, read_info, read_presence, read_reply, lambda extra: ci_jobs({"jobs": extra})):
        with contextlib.suppress(Unfit):
            read(found)


def test_status_says_what_is_wrong_with_it() -> None:
    good = {"builder_status": "BuilderStatus.WAITING", "build_status": "BuildStatus.OK", "build_id": "x", "filemap": {}}
    assert read_status(good).words == "WAITING with x (OK)"
    for name, bad in [
        ("builder_status", "BuilderStatus.ASLEEP"),
        ("builder_status", None),
        ("build_status", "BuildStatus.FINE"),
        ("build_status", "OK"),
        ("build_id", 7),
        ("filemap", ["x"]),
        ("filemap", {"x": 1}),
        ("logtail", 1.5),
        ("dependencies", {}),
    ]:
        with pytest.raises(Unfit):
            read_status({**good, name: bad})
    assert (digest_kind("0" * 40), digest_kind("f" * 64), digest_kind("g" * 40), digest_kind("")) == (
        "sha1",
        "sha256",
        "",
        "",
    )


def test_a_fault_is_told_with_its_text() -> None:
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(8002, "no series")).encode()
    with pytest.raises(Refusal) as caught:
        read_answer(fault)
    assert (caught.value.code, caught.value.text) == (8002, "no series")
    with server(lambda connection: connection.sendall(http(fault))) as url, pytest.raises(Fault, match="no series"):
        Builder(url).clean()


def test_what_xml_rpc_cannot_carry_is_refused_here() -> None:
    for value in ("\x00", {"a": [1 << 31]}, {"a\x01": 1}, {"a": {1, 2}}, "\ud800"):
        with pytest.raises(Rejected):
            write_call("build", (value,))


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b" " * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize("answer", [drip, lambda connection: time.sleep(1.5)], ids=["a byte at a time", "silence"])
def test_a_call_has_an_end(answer: Serve) -> None:
    with server(answer) as url, pytest.raises(Lost, match=r"for 0\.4 s") as caught:
        began = time.monotonic()
        Builder(url, timeout=0.4).status()
    assert time.monotonic() - began < 5 and caught.value.sent


def test_an_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_builder, "LARGEST", 100_000)

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server(flood) as url, pytest.raises(Nonsense, match="more than 100000 bytes"):
        Builder(url).status()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500,
    ],
    ids=["nothing", "no HTTP", "half", "500 headers"],
)
def test_an_answer_that_is_not_whole_is_a_lost_connection(data: bytes) -> None:
    with server(lambda connection: connection.sendall(data)) as url, pytest.raises(Lost) as caught:
        Builder(url).status()
    assert caught.value.sent


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Lost, match="Connection refused") as caught:
        Builder(f"http://127.0.0.1:{port}").status()
    assert not caught.value.sent
