"""A server and a client that take as little time as they can: what is between them is what is measured.

python -m bench.proxy_load serve SIZE            prints its port, and answers every GET with SIZE bytes
python -m bench.proxy_load proxy PORT STORE      prints its port: the recording proxy, which keeps all bodies in a store
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIECE = 1 << 20
_CONNECTIONS = 4


def serve(size: int) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n".encode()
    data = bytes(range(256)) * (min(size, _PIECE) // 256 + 1)
    small = data[16:size] if size < _PIECE else b""

    def answer(client: socket.socket) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                if not (piece := client.recv(65536)):
                    return
                pending += piece
            _head, _, pending = pending.partition(b"\r\n\r\n")
            if small:
                client.sendall(head + os.urandom(16) + small)  # no two are the same: each is kept
                continue
            client.sendall(head)
            left = size
            while left:
                left -= client.send(data[: min(left, _PIECE)])

    _listen(answer)


def proxy(port: int, folder: str) -> None:
    from contractor.build.network import Access, _StoreShelf
    from contractor.network.proxy import RecordingProxy
    from contractor.store.captured import Captured

    shelf = _StoreShelf(Access((), captured=Captured(folder)))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with RecordingProxy(listener, (f"127.0.0.1:{port}",), lambda _fetch: None, shelf=shelf):
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()


def _listen(answer) -> None:  # type: ignore[no-untyped-def]
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=answer, args=(client,), daemon=True).start()


@contextmanager
def running(*arguments: str) -> Iterator[int]:
    """One of the two in a process of its own; its port."""
    argv = [sys.executable, "-m", "bench.proxy_load", *arguments]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def fetch(port: int, url: str, count: int, size: int) -> float:
    """Seconds for so many GETs on each of some connections (one, if only one is wanted), keep-alive."""
    threads = [
        threading.Thread(target=_fetch, args=(port, url, count // _CONNECTIONS or 1, size))
        for _ in range(min(_CONNECTIONS, count))
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _fetch(port: int, url: str, count: int, size: int) -> None:
    buffer = memoryview(bytearray(_PIECE))
    request = f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(count):
            client.sendall(request)
            left = -1
            head = b""
            while left:
                got = client.recv_into(buffer)
                assert got, "the connection ended"
                if left < 0:
                    head += bytes(buffer[:got])
                    start, end, rest = head.partition(b"\r\n\r\n")
                    if end:
                        assert start.startswith(b"HTTP/1.1 200"), start
                        left = size - len(rest)
                else:
                    left -= got


if __name__ == "__main__":
    {"serve": lambda size: serve(int(size)), "proxy": lambda port, folder: proxy(int(port), folder)}[sys.argv[1]](
        *sys.argv[2:]
    )
