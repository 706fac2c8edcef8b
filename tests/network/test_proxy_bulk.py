"""Long bodies, which pass outside of the proxy's loop: whole, in order, counted, and broken off as any other."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time

import pytest
from loopback import SHORT, read_all, response

from contractor.core.errors import Broken
from contractor.network.bulk import LANES, LONG

BIG = 3 * LONG + 12_345
DATA = os.urandom(BIG)
SHA = hashlib.sha256(DATA).hexdigest()


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "a body" in thread.name or "a stage" in thread.name]


class Sink:
    """What a shelf keeps, in memory; raises when it has `full` bytes."""

    def __init__(self, full: int = 1 << 40) -> None:
        self.data = bytearray()
        self.ended = ""
        self._full = full

    def keep(self) -> Sink:
        return self

    def find(self, method: str, url: str) -> None:
        return None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(self.data) + len(data) > self._full:
            raise Broken("what was fetched cannot be kept: no room")
        self.data += data

    def commit(self, digest: str) -> bool:
        self.ended = digest
        return True

    def drop(self) -> None:
        self.ended = "dropped"


@pytest.mark.parametrize("size", [LONG, LONG + 1, LONG + (64 << 10), LONG + (64 << 10) + 1, LONG + (300 << 10), BIG])
def test_a_long_body_arrives_as_it_is_and_is_kept(origin, proxy, size: int) -> None:
    server = origin(response(DATA[:size]))
    sink = Sink()
    run = proxy(server.name, shelf=sink)
    assert body(run.get(server.url)) == DATA[:size]
    (fetch,) = run.wait()
    assert (fetch.size, fetch.sha256) == (size, hashlib.sha256(DATA[:size]).hexdigest())
    assert (bytes(sink.data), sink.ended) == (DATA[:size], fetch.sha256)


def test_the_connection_takes_further_requests(origin, proxy) -> None:
    server = origin(response(DATA))
    run = proxy(server.name)
    with run.connect() as client:
        for number in range(2):
            last = "Connection: close\r\n" if number else ""
            client.sendall(f"GET {server.url}/{number} HTTP/1.1\r\nHost: x\r\n{last}\r\n".encode())
            got = b""
            while len(body(got)) < BIG:
                got += client.recv(1 << 20)
            assert body(got) == DATA
        assert client.recv(1) == b""
    assert server.connections == 1
    assert [(fetch.verdict, fetch.sha256) for fetch in run.wait(2)] == [("allowed", SHA)] * 2


def test_more_at_once_than_there_are_lanes(origin, proxy) -> None:
    server = origin(response(DATA))
    run = proxy(server.name)
    found: list[bytes] = []
    clients = [
        threading.Thread(target=lambda: found.append(hashlib.sha256(body(run.get(server.url))).digest()))
        for _ in range(2 * LANES + 1)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert [digest.hex() for digest in found] == [SHA] * len(clients)
    assert {fetch.sha256 for fetch in run.wait(len(clients))} == {SHA}


@pytest.mark.parametrize("sent", [LONG, 2 * LONG, BIG - 70_000, BIG - 1])
def test_a_server_that_breaks_off(origin, proxy, sent: int) -> None:
    def truncate(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(response(DATA)[: len(response(DATA)) - BIG + sent])
        return False

    server = origin(truncate)
    sink = Sink()
    run = proxy(server.name, shelf=sink)
    with pytest.raises(ConnectionResetError):
        run.get(server.url)
    (fetch,) = run.wait()
    assert fetch.reason == f"{server.name} closed the connection {BIG - sent} bytes before the body's end"
    assert (fetch.verdict, fetch.size) == ("failed", sent)
    assert fetch.sha256 == hashlib.sha256(DATA[:sent]).hexdigest()
    assert sink.ended == "dropped"


def test_a_server_that_stalls(origin, proxy) -> None:
    release = threading.Event()

    def stall(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(response(DATA)[: 2 * LONG])
        return release.wait(5)

    server = origin(stall)
    run = proxy(server.name, limits=SHORT)
    with pytest.raises(ConnectionResetError):
        run.get(server.url)
    release.set()
    assert run.wait()[0].reason == f"{server.name} sent nothing for 0.4 s"


def test_a_client_that_leaves_and_one_that_takes_nothing(origin, proxy) -> None:
    server = origin(response(DATA * 2))
    run = proxy(server.name, limits=SHORT)
    request = f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with run.connect() as client:
        client.sendall(request)
        while len(client.recv(1 << 20)) > 0 and not threads():
            pass
    assert "the client failed" in run.wait(1)[0].reason
    with run.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request)
        assert run.wait(2)[1].reason == "the client took nothing for 0.4 s"


def test_a_step_that_ends_meanwhile_is_told_and_leaves_no_thread(origin, proxy) -> None:
    release = threading.Event()

    def stall(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(response(DATA)[: 2 * LONG])
        return release.wait(10)

    server = origin(stall)
    run = proxy(server.name)
    with run.connect() as client:
        client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        left = 2 * LONG
        while left > 0:
            left -= len(client.recv(1 << 20))
        assert threads()
        started = time.monotonic()
        run.running.__exit__(None, None, None)
        assert time.monotonic() - started < 1.5
        with pytest.raises(ConnectionResetError):
            read_all(client)
    release.set()
    (fetch,) = run.records
    assert (fetch.verdict, fetch.reason) == ("failed", "the step ended")
    assert fetch.sha256 == hashlib.sha256(DATA[: fetch.size]).hexdigest()
    assert threads() == []


def test_what_cannot_be_kept_breaks_the_build(origin, proxy) -> None:
    server = origin(response(DATA))
    run = proxy(server.name, shelf=Sink(full=2 * LONG))
    with pytest.raises(ConnectionResetError):
        run.get(server.url)
    with pytest.raises(Broken, match="record of the network") as caught:
        run.running.__exit__(None, None, None)
    assert "no room" in caught.value.details[0]
    assert threads() == []
    run.running._failure = None  # it has been told
