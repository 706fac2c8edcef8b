"""Servers that break off, clients that lie: nothing half is taken for whole, nothing gets round the allow-list."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import SHORT, response

from contractor.network.dial import ProxyLimits


def test_a_host_that_is_not_listed_is_refused(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy("example.org", server.name)
    answer = run.get("http://evil.example/?token=abc")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"the host evil.example is not on this step's allow-list" in answer
    (fetch,) = run.wait()
    assert (fetch.verdict, fetch.status, fetch.sha256) == ("refused", 403, "")
    assert fetch.url == "http://evil.example/?token=***"


def test_a_port_that_is_not_listed_is_refused(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy("127.0.0.1")
    assert f"port {server.port} of 127.0.0.1 is not on".encode() in run.get(server.url)
    assert server.connections == 0


def test_a_refused_upload_still_reads_its_answer(proxy) -> None:
    run = proxy()
    body = b"x" * 500_000
    raw = b"POST http://evil.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + body
    assert run.ask(raw).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("framing", ["Content-Length: 200000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("sent", [b"", b"1869f\r\n" + b"x" * 99_999])
def test_a_truncated_body_never_ends_cleanly(origin, proxy, framing: str, sent: bytes) -> None:
    def truncate(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + sent)
        return False

    server = origin(truncate)
    run = proxy(server.name)
    if sent:
        with pytest.raises(ConnectionResetError):
            run.get(server.url)
    else:  # nothing was passed on yet: the proxy can still say it in words
        assert run.get(server.url).startswith(b"HTTP/1.1 502 ")
    (fetch,) = run.wait()
    assert fetch.verdict == "failed"
    assert server.name in fetch.reason


def test_a_server_that_stalls_in_the_body(origin, proxy) -> None:
    release = threading.Event()

    def stall(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return release.wait(5)

    server = origin(stall)
    run = proxy(server.name, limits=SHORT)
    with pytest.raises(ConnectionResetError):
        run.get(server.url)
    release.set()
    assert run.wait()[0].reason == f"{server.name} sent nothing for 0.4 s"


def test_a_server_that_never_answers_is_504(origin, proxy) -> None:
    release = threading.Event()
    server = origin(lambda connection, head: release.wait(5))
    run = proxy(server.name, limits=SHORT)
    assert run.get(server.url).startswith(b"HTTP/1.1 504 ")
    release.set()
    assert run.wait()[0].verdict == "failed"


def test_no_server_is_502(proxy, closed_port: int) -> None:
    run = proxy(f"127.0.0.1:{closed_port}")
    answer = run.get(f"http://127.0.0.1:{closed_port}/")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Connection refused" in answer


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"\x16\x03\x01\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
def test_a_server_that_does_not_speak_http_is_502(origin, proxy, reply: bytes) -> None:
    def garble(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(reply)
        return False

    server = origin(garble)
    run = proxy(server.name)
    assert run.get(server.url).startswith(b"HTTP/1.1 502 ")
    assert run.wait()[0].verdict == "failed"


def test_bytes_after_an_answer_do_not_become_the_next_one(origin, proxy) -> None:
    server = origin(response(b"hello") + response(b"poison"))
    run = proxy(server.name)
    with run.connect() as client:
        for count in (1, 2):
            client.sendall(f"GET {server.url}/{count} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            time.sleep(0.1)
            assert client.recv(1000).endswith(b"hello")
    assert server.connections == 2


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 100,
                                     b"GET http://a/ HTTP/1.1\r\nAuthorization : Basic c2VjcmV0\r\n\r\n"])  # fmt: skip
def test_garbage_is_400_and_is_not_quoted(proxy, garbage: bytes) -> None:
    run = proxy("a")
    with run.connect() as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"c2VjcmV0" not in answer
    assert run.wait()[0].verdict == "refused"
    assert "c2VjcmV0" not in run.records[0].reason


@pytest.mark.parametrize("target", ["/", "*", "https://a/", "ftp://a/", "http://", "http://u:pw@a/", "http://a:x/",
                                    "http://a%2eb/", "http://[::1/", "http://a b/", "http:///x"])  # fmt: skip
def test_targets_that_name_no_server(proxy, target: str) -> None:
    run = proxy("a")
    assert run.get(target).startswith(b"HTTP/1.1 400 ")
    assert run.wait()[0].verdict == "refused"
    assert "pw" not in run.records[0].url


@pytest.mark.parametrize("size", [70_000, 400_000])
@pytest.mark.parametrize("line", [b"A: %s\r\n", b"X%s"])
def test_an_oversized_head_is_431(proxy, size: int, line: bytes) -> None:
    run = proxy("a")
    raw = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + line % (b"x" * size) + b"\r\n"
    assert run.ask(raw).startswith(b"HTTP/1.1 431 ")
    assert run.wait()[0].status == 431


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_leave_the_proxy_alive(proxy, data: bytes) -> None:
    run = proxy()
    with run.connect() as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100)[:9] in (b"HTTP/1.1 ", b"")


def test_a_slow_head_is_cut(proxy) -> None:
    run = proxy("a", limits=SHORT)
    started = time.monotonic()
    with run.connect() as client:
        client.sendall(b"GET http://a/ HTTP/1.1\r\n")
        for _ in range(3):  # a byte now and then is no progress
            time.sleep(0.1)
            client.sendall(b"X")
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 2
    assert run.wait()[0].verdict == "failed"


def test_a_silent_client_is_closed_without_a_word(proxy) -> None:
    run = proxy("a", limits=SHORT)
    with run.connect() as client:
        assert client.recv(10) == b""
    assert run.records == []


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\n 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length : 5",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\x0bchunked",
        "X: a\r\r\nContent-Length: 5",
        "Host: other",
    ],
)
def test_a_request_of_doubtful_length_never_reaches_a_server(origin, proxy, headers: str) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    raw = f"POST {server.url} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\nGET http://x/ HTTP/1.1\r\n\r\n"
    assert run.ask(raw.encode())[9:12] in (b"400", b"501")
    assert server.connections == 0


def test_http_1_0_with_a_transfer_encoding_is_refused(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    raw = f"POST {server.url} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert run.ask(raw.encode()).startswith(b"HTTP/1.1 400 ")
    assert server.connections == 0


def test_a_folded_header_arrives_unfolded(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    run.get(server.url, "X-Folded: a\r\n\tb")
    assert b"X-Folded: a b\r\n" in server.heads[0]


def test_connection_cannot_take_the_framing_away(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    headers = "Host: x\r\nConnection: close, content-length, host\r\nContent-Length: 3"
    raw = f"POST {server.url} HTTP/1.1\r\n{headers}\r\n\r\nabc"
    assert run.ask(raw.encode()).endswith(b"x")
    assert b"Content-Length: 3" in server.heads[0]
    assert f"Host: {server.name}".encode() in server.heads[0]


def test_the_uri_wins_over_the_host_header(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    run.ask(f"GET {server.url}/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert b"evil" not in server.heads[0]
    assert f"Host: {server.name}".encode() in server.heads[0]


def test_a_broken_chunk_in_an_upload_reaches_no_end(origin, proxy) -> None:
    server = origin(lambda connection, head: bool(connection.recv(100)))
    run = proxy(server.name)
    raw = f"POST {server.url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n"
    assert run.ask(raw.encode()).startswith(b"HTTP/1.1 400 ")
    assert run.wait()[0].verdict == "refused"


def test_a_wildcard_does_not_reach_private_addresses(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(f"*.example.org:{server.port}", resolver=lambda host: ["8.8.8.8", "127.0.0.1"])
    answer = run.get(f"http://a.example.org:{server.port}/")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"127.0.0.1 is not a public address" in answer
    assert server.connections == 0


def test_a_name_is_looked_up_once(origin, proxy) -> None:
    asked: list[str] = []

    def rebind(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    server = origin(response(b"x"))
    run = proxy(f"mirror.example:{server.port}", resolver=rebind)
    for _ in range(3):
        assert run.get(f"http://Mirror.example.:{server.port}/").endswith(b"x")
    assert asked == ["mirror.example"]


def test_a_failed_lookup_is_told_and_tried_again(origin, proxy) -> None:
    answers = [OSError("Temporary failure in name resolution"), ["127.0.0.1"]]

    def resolve(host: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    server = origin(response(b"x"))
    run = proxy(f"mirror.example:{server.port}", resolver=resolve)
    url = f"http://mirror.example:{server.port}/"
    assert b"no address found for mirror.example: Temporary failure" in run.get(url)
    assert run.get(url).endswith(b"x")


def test_a_slow_lookup_says_what_it_waited_for(proxy) -> None:
    release = threading.Event()

    def slow(host: str) -> list[str]:
        release.wait(5)
        return []

    run = proxy("slow.example", limits=SHORT, resolver=slow)
    answer = run.get("http://slow.example/")
    release.set()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"waited 0.3 s for the address of slow.example" in answer


def test_the_second_address_is_tried(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(f"two.example:{server.port}", resolver=lambda host: ["::1", "127.0.0.1"])
    assert run.get(f"http://two.example:{server.port}/").endswith(b"x")


def test_a_client_that_leaves_is_a_failed_transfer(origin, proxy) -> None:
    data = os.urandom(20 << 20)
    server = origin(response(data))
    run = proxy(server.name)
    with run.connect() as client:
        client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(10)
    (fetch,) = run.wait()
    assert fetch.verdict == "failed"
    assert "the client" in fetch.reason
    assert fetch.size < len(data)


def test_a_client_that_takes_nothing_is_cut(origin, proxy) -> None:
    server = origin(response(os.urandom(20 << 20)))
    run = proxy(server.name, limits=ProxyLimits(idle=0.5))
    with run.connect() as client:
        client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert run.wait()[0].reason == "the client took nothing for 0.5 s"
