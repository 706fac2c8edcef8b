"""Bodies kept as they pass, and given again: the store answers in a server's place, and nobody gets other bytes."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable

import pytest
from loopback import response

from contractor.build.network import Access, Replay, _StoreShelf
from contractor.core.fetch import FROM_STORE, Fetch
from contractor.plan.lock import OLDER
from contractor.store.captured import Captured


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def captured(tmp_path) -> Captured:
    return Captured(str(tmp_path / "captured"))


@pytest.fixture
def shelf(captured) -> Callable[..., _StoreShelf]:
    def made(replay: Replay | None = None, *, offline: bool = False) -> _StoreShelf:
        return _StoreShelf(Access((), captured=captured, replay=replay, offline=offline))

    return made


def known(url: str, data: bytes, status: int = 200, **more) -> Fetch:
    return Fetch("GET", url, "allowed", status, len(data), sha(data), kept=True, **more)


def keep(captured: Captured, data: bytes) -> None:
    writer = captured.writer()
    writer.write(data)
    writer.commit(sha(data))


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("data", [b"", b"small", os.urandom(2 << 20), os.urandom(9 << 20)], ids=len)
def test_what_passes_is_kept_and_given_again_without_a_server(origin, proxy, shelf, captured, data) -> None:
    server = origin(response(data, "Content-Type: text/x", "Last-Modified: now", "Set-Cookie: no"))
    first = proxy(server.name, shelf=shelf())
    assert body(first.get(f"{server.url}/a")) == data
    (fetch,) = first.wait()
    assert fetch.kept and fetch.sha256 == sha(data)
    assert dict(fetch.headers) == {"content-type": "text/x", "last-modified": "now"}
    again = proxy("nobody.example", shelf=shelf(Replay.of([fetch], "the lock")))
    answer = again.get(f"{server.url}/a")
    assert body(answer) == data
    assert b"text/x" in answer and b"cookie" not in answer.lower()
    assert server.connections == 1
    (given,) = again.wait()
    assert (given.verdict, given.reason, given.kept, given.sha256) == ("allowed", FROM_STORE, True, sha(data))
    assert given.headers == fetch.headers


@pytest.mark.parametrize(
    ("status", "kept"),
    [("404 No", True), ("302 Found", True), ("206 Part", False), ("503 Busy", False), ("500 Oops", False)],
)
def test_only_answers_that_will_be_the_same_are_kept(origin, proxy, shelf, captured, status, kept) -> None:
    server = origin(response(b"text", status=status))
    run = proxy(server.name, shelf=shelf())
    run.get(server.url)
    assert run.wait()[0].kept == kept
    assert os.path.exists(captured.path(sha(b"text"))) == kept


def test_a_broken_off_body_is_not_kept(origin, proxy, shelf, tmp_path) -> None:
    def truncate(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return False

    server = origin(truncate)
    run = proxy(server.name, shelf=shelf())
    with pytest.raises(ConnectionResetError):
        run.get(server.url)
    assert not run.wait()[0].kept
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_replay_answers_what_it_knows_and_nothing_else(origin, proxy, shelf, captured) -> None:
    server = origin(response(b"live"))
    keep(captured, b"then")
    replay = Replay.of([known(f"{server.url}/a", b"then")], "the lock")
    run = proxy(server.name, shelf=shelf(replay))
    assert body(run.get(f"{server.url}/a")) == b"then"
    answer = run.get(f"{server.url}/b")
    assert answer.startswith(b"HTTP/1.1 404 ") and b"the lock has no answer for it" in answer
    post = f"POST {server.url}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
    assert run.ask(post).startswith(b"HTTP/1.1 404 ")
    assert run.ask(f"CONNECT {server.name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 403 ")
    assert server.connections == 0


def test_a_head_request_is_answered_without_the_body(proxy, shelf, captured) -> None:
    keep(captured, b"12345")
    run = proxy(shelf=shelf(Replay.of([known("http://a/x", b"12345")], "the lock")))
    answer = run.ask(b"HEAD http://a/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5" in answer and body(answer) == b""


def test_the_same_url_in_other_words_has_the_same_answer(proxy, shelf, captured) -> None:
    keep(captured, b"x")
    run = proxy(shelf=shelf(Replay.of([known("http://mirror.example/a?token=***", b"x")], "the lock")))
    assert body(run.get("http://Mirror.Example:80/a?token=secret")) == b"x"


def test_a_damaged_body_is_not_given(proxy, shelf, captured) -> None:
    keep(captured, b"right")
    with open(captured.path(sha(b"right")), "wb") as file:
        file.write(b"wrong")
    run = proxy(shelf=shelf(Replay.of([known("http://a/x", b"right")], "the lock")))
    assert b"which is not in the store" in run.get("http://a/x")


def test_offline_without_answers_is_refused(origin, proxy, shelf) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name, shelf=shelf(offline=True))
    assert b"the build runs offline" in run.get(server.url)
    assert server.connections == 0


# --- what the store has lost ---


@pytest.mark.parametrize("size", [3, 3 << 20])
def test_a_lost_package_is_fetched_again_and_must_be_the_same(origin, proxy, shelf, captured, size) -> None:
    data = os.urandom(size)
    server = origin(response(data))
    replay = Replay.of([known(f"{server.url}/a_1_all.deb", data)], "the lock").online(captured)
    assert replay.asks == "lost"
    run = proxy(server.name, shelf=shelf(replay))
    assert body(run.get(f"{server.url}/a_1_all.deb", "Range: bytes=1-", "If-Modified-Since: x")) == data
    assert b"Range" not in server.heads[0] and b"If-" not in server.heads[0]
    (fetch,) = run.wait()
    assert fetch.kept and fetch.reason == "as it was locked"


@pytest.mark.parametrize("framing", ["length", "chunked", "to the end"])
@pytest.mark.parametrize("size", [3, 3 << 20, 9 << 20])
def test_other_bytes_under_the_same_name_reach_nobody_whole(origin, proxy, shelf, captured, size, framing) -> None:
    data, other = os.urandom(size), os.urandom(size)

    def serve(connection: socket.socket, _: bytes) -> bool:
        head = {
            "length": f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode(),
            "chunked": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode(),
            "to the end": b"HTTP/1.0 200 OK\r\n\r\n",
        }[framing]
        connection.sendall(head + other + (b"\r\n0\r\n\r\n" if framing == "chunked" else b""))
        return False

    server = origin(serve)
    replay = Replay.of([known(f"{server.url}/a_1_all.deb", data)], "the lock").online(captured)
    run = proxy(server.name, shelf=shelf(replay))
    try:
        answer = run.get(f"{server.url}/a_1_all.deb")
    except ConnectionResetError:
        answer = b""
    assert other not in answer or framing != "length"
    assert not answer.endswith(b"\r\n0\r\n\r\n")
    (fetch,) = run.wait()
    assert (fetch.verdict, fetch.kept) == ("failed", False)
    assert fetch.reason == f"the server has other bytes: sha256 {sha(other)}, not {sha(data)}"
    assert captured.open(sha(other)) is None


def test_a_package_that_is_gone_is_a_404_in_the_ledger(origin, proxy, shelf, captured) -> None:
    server = origin(response(b"gone", status="404 Not Found"))
    replay = Replay.of([known(f"{server.url}/a_1_all.deb", b"data")], "the lock").online(captured)
    run = proxy(server.name, shelf=shelf(replay))
    assert run.get(f"{server.url}/a_1_all.deb").startswith(b"HTTP/1.1 404 ")
    assert (run.wait()[0].status, run.records[0].verdict) == (404, "allowed")


def test_without_its_indexes_a_lock_still_says_which_packages(origin, proxy, shelf, captured) -> None:
    """On another machine: today's index is asked for, and of the packages only those that the lock names."""
    server = origin(response(b"deb"))
    older = f"{OLDER}abc/{server.name}/b_1_all.deb"
    fetches = [known(f"{server.url}/dists/x/InRelease", b"then"), known(f"{server.url}/a_1_all.deb", b"deb")]
    replay = Replay.of([*fetches, known(older, b"deb")], "the lock").online(captured)
    assert replay.asks == "indexes"
    run = proxy(server.name, shelf=shelf(replay))
    assert body(run.get(f"{server.url}/dists/x/InRelease")) == b"deb"  # whatever it is today
    assert body(run.get(f"{server.url}/a_1_all.deb")) == b"deb"
    assert body(run.get(f"{server.url}/b_1_all.deb")) == b"deb"  # came from an earlier state of the same archive
    assert b"has no answer for it" in run.get(f"{server.url}/c_1_all.deb")


def test_while_some_packages_are_held_the_rest_is_asked_for(origin, proxy, shelf, captured) -> None:
    server = origin(response(b"today"))
    keep(captured, b"then")
    older = f"{OLDER}abc/{server.name}"
    replay = Replay.of([known(f"{older}/InRelease", b"then"), known(f"{older}/a_1_all.deb", b"today")], "the lock")
    run = proxy(server.name, shelf=shelf(replay._replace(asks="rest")))
    assert body(run.get(f"{older}/InRelease")) == b"then"
    assert body(run.get(f"{server.url}/InRelease")) == b"today"
    assert body(run.get(f"{older}/a_1_all.deb")) == b"today"  # lost, and fetched from where it once was
    assert b"has no answer for it" in run.get(f"{older}/other")
    assert all(OLDER.encode() not in head for head in server.heads)


class Slow:
    """A shelf whose disk takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.kept: list[str] = []

    def keep(self) -> Slow:
        return self

    def find(self, method: str, url: str) -> None:
        return None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def commit(self, digest: str) -> bool:
        time.sleep(self._seconds)
        self.kept.append(digest)
        return True

    def drop(self) -> None:
        pass


def test_a_slow_disk_holds_up_no_answer_and_loses_no_record(origin, proxy) -> None:
    server = origin(lambda connection, head: not connection.sendall(response(head.split(b" ")[1])))
    slow = Slow(0.05)
    run = proxy(server.name, shelf=slow)
    started = time.monotonic()
    with run.connect() as client:
        for number in range(20):
            client.sendall(f"GET {server.url}/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(1000).endswith(f"/{number}".encode())
    assert time.monotonic() - started < 0.7
    run.running.__exit__(None, None, None)  # the step ends while most of them wait
    assert [fetch.url for fetch in run.records] == [f"{server.url}/{number}" for number in range(20)]
    assert [fetch.sha256 for fetch in run.records] == slow.kept
    assert all(fetch.kept and fetch.verdict == "allowed" for fetch in run.records)


def test_not_too_many_bodies_wait_for_the_disk(origin, proxy) -> None:
    server = origin(response(b"x"))
    slow = Slow(0.002)
    run = proxy(server.name, shelf=slow)
    most = 0
    with run.connect() as client:
        for _ in range(200):
            client.sendall(f"GET {server.url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(1000).endswith(b"x")
            most = max(most, run.running._keeper._waiting)
    assert 1 < most <= 65
    assert len(run.wait(200)) == 200
