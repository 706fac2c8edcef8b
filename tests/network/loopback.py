"""Loopback servers, and a proxy that tests can talk to: no test here leaves the machine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from contractor.core.fetch import Fetch
from contractor.network.dial import ProxyLimits
from contractor.network.proxy import RecordingProxy

SHORT = ProxyLimits(lookup=0.3, connect=0.5, idle=0.4)
Answer = Callable[[socket.socket, bytes], bool]  # (connection, request head) -> True to serve another request


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Origin:
    """A server that answers each request as told, and keeps the heads and the number of connections."""

    def __init__(self, answer: bytes | Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.heads: list[bytes] = []
        self.connections = 0
        self.port = self._listener.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.name}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    if not (data := connection.recv(65536)):
                        return
                    pending += data
                head, _, pending = pending.partition(b"\r\n\r\n")
                self.heads.append(head + b"\r\n\r\n")
                if isinstance(self._answer, bytes):
                    connection.sendall(self._answer)
                elif not self._answer(connection, head + b"\r\n\r\n" + pending):
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


class Proxy:
    """A running RecordingProxy, its records, and ways to talk to it."""

    def __init__(self, proxy: RecordingProxy, port: int, records: list[Fetch]) -> None:
        self.running = proxy
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.records = records

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, raw: bytes) -> bytes:
        """Send bytes, and return all that comes until the end; a reset raises ConnectionResetError."""
        with self.connect() as client:
            client.sendall(raw)
            return read_all(client)

    def get(self, url: str, *headers: str) -> bytes:
        lines = [f"GET {url} HTTP/1.1", "Host: ignored", *headers, "Connection: close", "", ""]
        return self.ask("\r\n".join(lines).encode())

    def wait(self, count: int = 1) -> list[Fetch]:
        """The records, once there are `count`."""
        end = time.monotonic() + 5
        while len(self.records) < count and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.records) == count, self.records
        return self.records


def read_all(client: socket.socket) -> bytes:
    pieces = []
    while data := client.recv(1 << 16):
        pieces.append(data)
    return b"".join(pieces)
