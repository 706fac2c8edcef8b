"""CONNECT: bytes both ways to an allowed host and port, nowhere else, and their ends."""

from __future__ import annotations

import socket
import time

import pytest
from loopback import SHORT, response


def connected(run, server) -> socket.socket:
    client = run.connect()
    client.sendall(f"CONNECT {server.name} HTTP/1.1\r\nHost: {server.name}\r\n\r\n".encode())
    assert client.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    return client


def test_a_tunnel_carries_bytes_both_ways(origin, proxy) -> None:
    server = origin(response(b"y" * 1_000_000))
    run = proxy(server.name)
    with connected(run, server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        received = 0
        while data := client.recv(1 << 16):
            received += len(data)
    (fetch,) = run.wait()
    assert (fetch.method, fetch.url, fetch.verdict, fetch.status) == ("CONNECT", server.name, "allowed", 200)
    assert (fetch.size, fetch.sent, fetch.sha256) == (received, 18, "")


@pytest.mark.parametrize("target", ["evil.example:443", "127.0.0.1:22", "127.0.0.1", "user:pw@a:443", "http://a/"])
def test_a_tunnel_elsewhere_is_refused(proxy, target: str) -> None:
    run = proxy("127.0.0.1:443")
    assert run.ask(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[9:12] in (b"400", b"403")
    assert run.wait()[0].verdict == "refused"
    assert "pw" not in run.records[0].url


def test_bytes_sent_with_the_connect_are_not_lost(origin, proxy) -> None:
    server = origin(response(b"hello"))
    run = proxy(server.name)
    with run.connect() as client:
        client.sendall(f"CONNECT {server.name} HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(1000):
            answer += data
    assert answer.endswith(b"hello")


def test_a_silent_tunnel_is_cut(origin, proxy) -> None:
    server = origin(response(b"hello"))
    run = proxy(server.name, limits=SHORT)
    with connected(run, server) as client, pytest.raises(ConnectionResetError):
        client.recv(10)
    assert run.wait()[0].verdict == "failed"


def test_one_silent_direction_is_no_silent_tunnel(origin, proxy) -> None:
    def drip(connection: socket.socket, _: bytes) -> bool:
        for _ in range(10):
            connection.sendall(b"x")
            time.sleep(0.1)
        return False

    server = origin(drip)
    run = proxy(server.name, limits=SHORT)
    with connected(run, server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = b""
        while data := client.recv(100):
            received += data
    assert received == b"x" * 10
    assert run.wait()[0].verdict == "allowed"
