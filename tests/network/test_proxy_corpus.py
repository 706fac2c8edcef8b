"""A corpus of requests that two readers may read in two ways: the exact verdict of each, and what the server gets."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import SHORT

CORPUS = tomllib.loads((Path(__file__).parent / "smuggling.toml").read_text(encoding="utf-8"))["case"]
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Listening:
    """A server that keeps every byte that it gets; it answers each head, and knows nothing of bodies."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.got: list[bytes] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.got.append(b"")
                thread = threading.Thread(target=self._serve, args=(connection, len(self.got) - 1))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        answered = 0
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1 << 16):
                self.got[number] += data
                while self.got[number].count(b"\r\n\r\n") > answered < self.got[number].count(b" HTTP/1.1\r\n"):
                    answered += 1
                    connection.sendall(_OK)

    def end(self) -> bytes:
        """All that came, when nobody is connected any more."""
        with contextlib.suppress(OSError):  # it has been asked before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        return b"".join(self.got)


@pytest.fixture
def server() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.end()


def sent(case: dict[str, Any], server: Listening) -> bytes:
    send = case["send"]
    text = send if isinstance(send, str) else send[0] + send[1] * send[2] + send[3]
    return text.replace("SERVER", f"http://{server.name}").replace("NAME", server.name).encode("latin-1")


def exchange(run, data: bytes) -> bytes:
    """What comes back until the proxy is done with it; a reset counts as an end."""
    answer = b""
    with run.connect() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(1 << 16):
            answer += piece
    return answer


def test_the_corpus_is_one() -> None:
    names = [case["name"] for case in CORPUS]
    assert len(set(names)) == len(names) > 150
    refused = [case for case in CORPUS if case["verdicts"][-1] == "refused"]
    assert 100 < len(refused) < len(CORPUS)


@pytest.mark.parametrize("case", CORPUS, ids=[case["name"] for case in CORPUS])
def test_a_request_is_read_in_one_way_only(proxy, server: Listening, case: dict[str, Any]) -> None:
    run = proxy(server.name, limits=SHORT)
    answer = exchange(run, sent(case, server))
    run.running.__exit__(None, None, None)
    arrived = server.end()
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)] == case["answers"]
    assert [fetch.verdict for fetch in run.records] == case["verdicts"]
    wanted = case["arrives"].replace("NAME", server.name).encode("latin-1")
    if case["verdicts"][-1] == "allowed":
        assert arrived == wanted
    else:  # the connection was broken off: what was on its way may be lost, and nothing else has come
        assert wanted.startswith(arrived)
    assert all("smuggled" not in fetch.url or fetch.verdict == "refused" for fetch in run.records)
