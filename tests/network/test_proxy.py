"""What an honest client gets through the proxy, and what the ledger says about it."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import SHORT, response

from contractor.core.errors import Broken, Rejected
from contractor.core.fetch import Fetch
from contractor.network.dial import ProxyLimits
from contractor.network.proxy import RecordingProxy


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_get_is_passed_on_and_recorded(origin, proxy) -> None:
    server = origin(response(b"hello", "X-Kept: yes", "Keep-Alive: no", "Connection: X-Gone", "X-Gone: 1"))
    run = proxy(server.name)
    answer = run.get(server.url + "/a?token=secret&x=1", "Proxy-Authorization: Basic eA==", "X-Mine: 1")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert b"X-Kept: yes" in head
    assert b"X-Gone" not in head
    assert b"Keep-Alive" not in head
    assert server.heads[0].startswith(b"GET /a?token=secret&x=1 HTTP/1.1\r\nHost: " + server.name.encode())
    assert b"X-Mine: 1" in server.heads[0]
    assert b"Proxy-Authorization" not in server.heads[0]
    (fetch,) = run.wait()
    assert (fetch.method, fetch.verdict, fetch.status, fetch.size) == ("GET", "allowed", 200, 5)
    assert fetch.url == server.url + "/a?token=***&x=1"
    assert fetch.sha256 == sha256(b"hello")
    assert fetch.at > 1e9
    assert 0 <= fetch.seconds < 10


def test_keep_alive_uses_one_connection_on_both_sides(origin, proxy) -> None:
    server = origin(response(b"hello"))
    run = proxy(server.name)
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    for _ in range(5):
        client.request("GET", server.url + "/x")
        assert client.getresponse().read() == b"hello"
    client.close()
    assert len(run.wait(5)) == 5
    assert server.connections == 1


def test_pipelined_requests_are_answered_in_order(origin, proxy) -> None:
    def echo(connection: socket.socket, head: bytes) -> bool:
        connection.sendall(response(head.split(b" ")[1]))
        return True

    server = origin(echo)
    run = proxy(server.name)
    ask = "GET {}/{} HTTP/1.1\r\nHost: x\r\n{}\r\n"
    raw = "".join(ask.format(server.url, name, "Connection: close\r\n" if name == "c" else "") for name in "abc")
    answer = run.ask(raw.encode())
    assert [answer.index(path) for path in (b"/a", b"/b", b"/c")] == sorted(
        answer.index(p) for p in (b"/a", b"/b", b"/c")
    )
    assert [fetch.url[-2:] for fetch in run.wait(3)] == ["/a", "/b", "/c"]


def test_a_server_that_closed_the_kept_connection_is_dialled_again(origin, proxy) -> None:
    def once(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(response(b"hello"))
        return False

    server = origin(once)
    run = proxy(server.name)
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    for _ in range(3):
        client.request("GET", server.url)
        assert client.getresponse().read() == b"hello"
    client.close()
    assert server.connections == 3
    assert {fetch.verdict for fetch in run.wait(3)} == {"allowed"}


@pytest.mark.parametrize("sizes", [(5, 1, 3), (), (300_000, 1, 70_000)])
def test_chunked_bodies(origin, proxy, sizes: tuple[int, ...]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"
    server = origin(reply)
    run = proxy(server.name)
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    for _ in range(2):
        client.request("GET", server.url)
        assert client.getresponse().read() == b"".join(pieces)
    client.close()
    assert server.connections == 1
    assert {fetch.sha256 for fetch in run.wait(2)} == {sha256(b"".join(pieces))}


def test_an_http_1_0_client_gets_an_unchunked_body(origin, proxy) -> None:
    server = origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    run = proxy(server.name)
    answer = run.ask(f"GET {server.url} HTTP/1.0\r\n\r\n".encode())
    assert answer.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in answer


def test_a_body_to_the_end_of_the_connection(origin, proxy) -> None:
    def until_close(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nabc")
        return False

    server = origin(until_close)
    run = proxy(server.name)
    assert b"3\r\nabc\r\n0\r\n\r\n" in run.get(server.url)
    assert run.wait()[0].size == 3


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", "200 OK", 5), ("GET", "304 Not Modified", 5), ("GET", "204 No Content", 0)],
)
def test_answers_without_a_body(origin, proxy, method: str, status: str, length: int) -> None:
    server = origin(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: x\r\n\r\n".encode())
    run = proxy(server.name)
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    for _ in range(2):
        client.request(method, server.url)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (int(status[:3]), b"")
        assert answer.getheader("ETag") == "x"
    client.close()
    assert server.connections == 1
    assert [(fetch.verdict, fetch.size) for fetch in run.wait(2)] == [("allowed", 0)] * 2


@pytest.mark.parametrize("chunked", [True, False])
def test_a_request_body_is_passed_on(origin, proxy, chunked: bool) -> None:
    bodies: list[bytes] = []

    def take(connection: socket.socket, request: bytes) -> bool:
        body = request.partition(b"\r\n\r\n")[2]
        while len(body) < 300_000:
            body += connection.recv(1 << 16)
        bodies.append(body)
        connection.sendall(response(b"ok"))
        return False

    server = origin(take)
    run = proxy(server.name)
    data = os.urandom(300_000)
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    client.request("POST", server.url, body=iter([data]) if chunked else data, encode_chunked=chunked)
    assert client.getresponse().read() == b"ok"
    client.close()
    assert (b"chunked" in server.heads[0]) == chunked
    assert chunked or bodies == [data]
    assert run.wait()[0].sent == 300_000


def test_expect_100_continue_is_answered(origin, proxy) -> None:
    server = origin(response(b"ok"))
    run = proxy(server.name)
    with run.connect() as client:
        client.sendall(
            f"PUT {server.url} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert b"Expect" not in server.heads[0]


def test_the_digest_of_50_mb(origin, proxy) -> None:
    data = os.urandom(50 << 20)
    server = origin(response(data))
    run = proxy(server.name)
    answer = run.get(server.url)
    assert sha256(answer.partition(b"\r\n\r\n")[2]) == sha256(data) == run.wait()[0].sha256


def test_many_connections_at_once_and_more_than_there_are_places(origin, proxy) -> None:
    server = origin(response(b"x" * 10_000))
    run = proxy(server.name, limits=ProxyLimits(connections=8))
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: run.get(f"{server.url}/{number}"), range(96)))
    assert all(answer.endswith(b"x" * 10_000) for answer in answers)
    assert len({fetch.url for fetch in run.wait(96)}) == 96


def test_two_chained_proxies(origin, proxy) -> None:
    server = origin(response(b"hello"))
    outer = proxy(server.name)
    inner = proxy(server.name, upstream=outer.url.replace("//", "//me:pw@"))
    assert inner.get(server.url + "/x").endswith(b"hello")
    with inner.connect() as client:
        client.sendall(f"CONNECT {server.name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in client.recv(1000)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000).endswith(b"hello")
    assert [fetch.method for fetch in outer.wait(2)] == ["GET", "CONNECT"]
    assert outer.records[0].url == inner.wait(2)[0].url == server.url + "/x"


def test_a_refusal_of_the_upstream_is_a_failure_of_ours(proxy) -> None:
    outer = proxy()
    inner = proxy("example.invalid", upstream=outer.url)
    answer = inner.ask(b"CONNECT example.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert inner.wait()[0].reason == "the upstream proxy answered 403 for example.invalid:443"


@pytest.mark.parametrize("upstream", ["https://p:1", "p:1", "http://", "socks5://p:1"])
def test_a_wrong_upstream_is_rejected(upstream: str) -> None:
    with socket.socket() as listener, pytest.raises(Rejected):
        RecordingProxy(listener, (), lambda fetch: None, upstream=upstream)


def test_a_transfer_that_is_open_at_the_end_has_failed(origin) -> None:
    release = threading.Event()

    def stall(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return release.wait(5)

    server = origin(stall)
    listener = socket.create_server(("127.0.0.1", 0))
    records: list[Fetch] = []
    with socket.create_connection(listener.getsockname()) as client:
        with RecordingProxy(listener, (server.name,), records.append):
            client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while not client.recv(1000).endswith(b"abc"):
                pass
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    release.set()
    (fetch,) = records
    assert (fetch.verdict, fetch.reason, fetch.size) == ("failed", "the step ended", 3)


def test_the_end_does_not_wait_for_a_name_lookup() -> None:
    asleep, release = threading.Event(), threading.Event()

    def slow(host: str) -> list[str]:
        asleep.set()
        release.wait(10)
        return ["127.0.0.1"]

    listener = socket.create_server(("127.0.0.1", 0))
    records: list[Fetch] = []
    with socket.create_connection(listener.getsockname()) as client:
        with RecordingProxy(listener, ("slow.example",), records.append, resolver=slow):
            client.sendall(b"GET http://slow.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asleep.wait(5)
        release.set()
    assert records[0].reason == "the step ended"


def test_a_ledger_that_could_not_be_written_is_told_at_the_end(origin) -> None:
    def full(_: Fetch) -> None:
        raise OSError("disk full")

    server = origin(response(b"x"))
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        pytest.raises(Broken, match="not complete") as caught,
        RecordingProxy(listener, (server.name,), full),
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while client.recv(1000):
            pass
    assert "disk full" in caught.value.details[0]


def test_leaving_without_having_entered_is_safe() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    RecordingProxy(listener, (), lambda fetch: None, limits=SHORT).__exit__(None, None, None)
    assert listener.fileno() == -1
