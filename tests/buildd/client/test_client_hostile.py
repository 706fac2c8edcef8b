"""The client's parts against what no builder should send: bytes, names, sizes, and answers that never end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
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
from contractor.buildd.client.folder import Folder, name_problem
from contractor.buildd.client.link import Lost, Nonsense
from contractor.buildd.client.offer import Offer, open_file
from contractor.buildd.client.place import parse_place
from contractor.buildd.client.xmlrpc import NoAnswer, Refusal, read_answer, write_call
from contractor.cli.buildd.build import arguments_of
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


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("builder", "http://builder:8221"),
        ("10.0.0.7:9000", "http://10.0.0.7:9000"),
        ("http://b:80/rpc/", "http://b:80"),
        ("https://u:p@b/x/rpc", "https://b:443/x"),
        ("http://[::1]", "http://[::1]:8221"),
    ],
)
def test_how_a_builder_is_named(text: str, url: str) -> None:
    assert parse_place(text).url == url
    assert parse_place("https://u:p%40@b").user == b"u:p@"


@pytest.mark.parametrize(
    "text", ["", "ftp://b", "http://", "http://b:0", "http://b/a b", "http://b?x", "b/\x00", "a b"]
)
def test_what_is_no_builders_url(text: str) -> None:
    with pytest.raises(Rejected, match=r"no builder's URL"):
        parse_place(text)
    with pytest.raises(Rejected) as caught:
        parse_place("gopher://user:secret@b")
    assert "secret" not in caught.value.message


@given(some.text(max_size=300))
def test_a_name_that_is_taken_is_a_single_safe_one(name: str) -> None:
    if not name_problem(name):
        assert "/" not in name and name not in ("", ".", "..") and name.isprintable() and not name.startswith("-")
        assert len(os.fsencode(name)) <= 255


def test_a_folder_that_is_swapped_while_it_is_used_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with Folder(str(tmp_path / "out")) as folder:
        (tmp_path / "out").rename(tmp_path / "moved")
        (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
        with folder.growing() as file:
            file.write(b"x")
            file.publish("name")
    assert (tmp_path / "moved" / "name").read_bytes() == b"x"
    assert not os.listdir(tmp_path / "elsewhere")
    with pytest.raises(Rejected), Folder(str(tmp_path / "out" / "..")) as folder:
        folder.below("out")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Rejected, match="cannot be used as a folder"):
        Folder(str(tmp_path / "file"))


def asked(offer: Offer, method: str, url: str) -> tuple[int, bytes]:
    connection = HTTPConnection(offer.place, timeout=10)
    connection.request(method, url.removeprefix(f"http://{offer.place}"))
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        response.close()
        connection.close()


def test_files_are_offered_to_who_knows_their_url_alone(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 3_000_000)
    file = open_file(str(path))
    with Offer([file], "127.0.0.1") as offer:
        path.unlink()  # it stays open: what is sent is what was read
        assert asked(offer, "GET", offer.url(file.name)) == (200, b"x" * 3_000_000)
        assert asked(offer, "HEAD", offer.url(file.name)) == (200, b"")
        for other in ("/", f"/{file.name}", "/../etc/passwd", "//etc/passwd"):
            assert asked(offer, "GET", other)[0] == 404
    for wrong in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(Rejected):
            open_file(wrong)
    with pytest.raises(Rejected, match="cannot be offered at"):
        Offer([], "192.0.2.1")


def test_arguments_are_text_unless_only_json_can_say_it(tmp_path: Path) -> None:
    (tmp_path / "args.json").write_text('{"series": "x", "archives": ["a"], "jobs": [[["b", 0]]]}')
    given = [
        "series=20.04",
        "archives+=deb b",
        "private=true",
        "n=7",
        'secrets={"a": "b"}',
        "empty=",
        "new+=1",
        'q="7"',
    ]
    assert arguments_of(str(tmp_path / "args.json"), given) == {
        "series": "20.04",
        "archives": ["a", "deb b"],
        "jobs": [[["b", 0]]],
        "private": True,
        "n": "7",
        "secrets": {"a": "b"},
        "empty": "",
        "new": ["1"],
        "q": "7",
    }
    (tmp_path / "list.json").write_text("[]")
    for path, wrong in [
        (None, "x"),
        (None, "=x"),
        (None, "a=[1"),
        (None, "a=\x00"),
        ("list.json", "a=1"),
        ("no", "a=1"),
    ]:
        with pytest.raises(Rejected):
            arguments_of(str(tmp_path / path) if path else None, [wrong])
    with pytest.raises(Rejected, match="no list"):
        arguments_of(None, ["a=1", "a+=2"])
