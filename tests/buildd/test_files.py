"""/filecache/, ranges on a log that grows, and clients that are slow, silent or hostile."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import urllib.parse
import zlib
from collections.abc import Callable

import pytest
from builder_kit import Daemon

TEXT = b"0123456789"


@pytest.fixture
def file(daemon: Daemon) -> str:
    (daemon.cache / "digits").write_bytes(TEXT)
    return "/filecache/digits"


@pytest.mark.parametrize(
    ("asked", "status", "body", "place"),
    [
        ("", 200, TEXT, None),
        ("bytes=0-", 206, TEXT, "bytes 0-9/10"),
        ("bytes=2-5", 206, b"2345", "bytes 2-5/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=1-2,4-5", 200, TEXT, None),
        ("bytes=x", 200, TEXT, None),
        ("lines=1-2", 200, TEXT, None),
    ],
)
def test_ranges(daemon: Daemon, file: str, asked: str, status: int, body: bytes | None, place: str | None) -> None:
    found, headers, data = daemon.get(file, **({"Range": asked} if asked else {}))
    assert (found, headers.get("content-range")) == (status, place)
    if body is not None:
        assert data == body and headers["content-type"] == "text/html"
        assert headers["content-length"] == str(len(body)) and headers["accept-ranges"] == "bytes"


def test_head_and_listing(daemon: Daemon, file: str) -> None:
    status, headers, data = daemon.get(file, "HEAD")
    assert (status, headers["content-length"], data) == (200, "10", b"")
    (daemon.cache / "<b>&").write_bytes(b"")
    for path in ("/filecache", "/filecache/"):
        status, headers, data = daemon.get(path)
        assert status == 200 and headers["content-type"].startswith("text/html")
        assert b'<a href="digits">digits</a>' in data and b"&lt;b&gt;&amp;" in data and b"<b>" not in data
        assert b".state" not in data and b".lock" not in data
    assert daemon.get("/filecache/" + urllib.parse.quote("<b>&"))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc/passwd", "/filecache/none", "/filecache/..", "/filecache/../daemon.log",
        "/filecache/%2e%2e/daemon.log",
        "/filecache/..%2fdaemon.log", "/filecache//etc/passwd", "/filecache/.state.json", "/filecache/.lock",
        "/filecache/link", "/filecache/pipe", "/filecache/folder", "/filecache/a%00b", "/filecache/" + "x" * 4000,
    ],
)  # fmt: skip
def test_nothing_else_is_served(daemon: Daemon, path: str) -> None:
    link = daemon.cache / "link"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
        os.mkfifo(daemon.cache / "pipe")
        (daemon.cache / "folder").mkdir()
    assert daemon.get(path)[0] == 404


def test_a_log_that_grows(daemon: Daemon) -> None:
    daemon.build("say-wait")
    daemon.until(lambda status: bool(status["logtail"].data))
    size = len(daemon.get("/filecache/buildlog")[2])
    assert size and daemon.get("/filecache/buildlog", Range=f"bytes={size}-")[0] == 416
    with open(daemon.cache / "buildlog", "ab") as log:
        log.write(b"more\n")
    status, headers, data = daemon.get("/filecache/buildlog", Range=f"bytes={size}-")
    assert (status, data) == (206, b"more\n")
    assert headers["content-range"] == f"bytes {size}-{size + 4}/{size + 5}"
    daemon.rpc.abort()
    daemon.wait()
    assert daemon.get("/filecache/buildlog")[2].endswith(b"more\n")  # and is there until clean()


def test_a_loud_build(daemon: Daemon) -> None:
    """1 GB is the same, and takes longer: what matters is that the daemon reads none of it."""
    before = daemon.resident()
    daemon.build("loud300-ok")
    slowest = 0.0
    while True:
        began = time.monotonic()
        status = daemon.rpc.status()
        slowest = max(slowest, time.monotonic() - began)
        if status["builder_status"] != "BuilderStatus.BUILDING":
            break
        assert len(status["logtail"].data) <= 2048
    assert status["build_status"] == "BuildStatus.OK"
    assert daemon.resident() - before < 8 << 20
    assert daemon.get("/filecache/buildlog", "HEAD")[1]["content-length"] == str(300 * 1048600)
    assert daemon.get("/filecache/buildlog", Range="bytes=-5")[2] == b"xxxx\n"
    assert slowest < 3


def test_web_pages_may_not_use_it(daemon: Daemon) -> None:
    body = b"<methodCall><methodName>status</methodName></methodCall>"
    assert daemon.post(body, Origin="http://evil.example")[0] == 403
    assert daemon.post(body, Origin="null")[0] == 403
    assert daemon.post(body, "/rpc/")[0] == 200
    assert daemon.get("/rpc")[0] == 405
    assert daemon.post(b"", "/filecache/digits")[0] == 405


def test_what_is_no_http_is_a_line_of_the_daemons_log(daemon: Daemon) -> None:
    for data in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /rpc HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
            client.sendall(data + b"\r\n\r\n")
            assert client.recv(64).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert all(line[:2] == "20" for line in daemon.log.read_text().splitlines())


def test_bodies_that_are_too_large_are_not_read(daemon: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
        client.sendall(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
        client.sendall(b"POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        client.sendall(piece * 5)
        assert client.recv(64).startswith(b"HTTP/1.1 413")


def test_bodies_that_are_bombs(daemon: Daemon) -> None:
    before = daemon.resident()
    body = zlib.compress(b"\0" * (200 << 20))
    status, _answer = daemon.post(body, **{"Content-Encoding": "deflate"})
    assert status in (400, 413)
    assert daemon.resident() - before < 40 << 20
    call = b"<methodCall><methodName>info</methodName></methodCall>"
    assert b"binarypackage" in daemon.post(zlib.compress(call), **{"Content-Encoding": "deflate"})[1]


def test_a_client_that_waits_to_be_asked(daemon: Daemon) -> None:
    call = b"<methodCall><methodName>info</methodName></methodCall>"
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
        head = f"POST /rpc HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(call)}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        client.sendall(call)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_connections_that_say_nothing_are_closed(start: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"_HEAD_WITHIN": 0.3, "_BODY_WITHIN": 0.5, "_IDLE": 0.5, "_PIECE_WITHIN": 0.3}
    daemon = start(limits={f"server.{name}": seconds for name, seconds in limits.items()})
    (daemon.cache / "large").write_bytes(b"x" * (64 << 20))
    head = b"POST /rpc HTTP/1.1\r\nHost: x\r\n"
    clients = []
    for start_of_request in (b"", b"POST", head, head + b"Content-Length: 10\r\n\r\nabc"):
        clients.append(socket.create_connection(("127.0.0.1", daemon.port), timeout=20))
        clients[-1].sendall(start_of_request)
    slow = socket.create_connection(("127.0.0.1", daemon.port), timeout=20)
    slow.sendall(b"GET /filecache/large HTTP/1.1\r\nHost: x\r\n\r\n")
    *silent, half = clients
    for client in silent:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""
        client.close()
    assert half.recv(1000).startswith(b"HTTP/1.1 408")
    half.close()
    end = time.monotonic() + 20
    while len(list(open_files(daemon, "large"))) and time.monotonic() < end:
        time.sleep(0.02)
    assert not list(open_files(daemon, "large"))
    got = 0
    with pytest.raises(ConnectionResetError):
        while data := slow.recv(1 << 20):
            got += len(data)
        raise ConnectionResetError
    assert got < 64 << 20
    slow.close()
    assert daemon.rpc.echo("on") == ["on"]


def open_files(daemon: Daemon, name: str) -> list[str]:
    found = []
    for fd in os.listdir(f"/proc/{daemon.process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.endswith(f"/{name}"):
            found.append(target)
    return found
