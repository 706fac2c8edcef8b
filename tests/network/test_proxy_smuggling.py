"""Targets, answers, redirects, loops and names that try to get round the list. (Requests: smuggling.toml.)"""

from __future__ import annotations

import contextlib
import socket

import pytest
from loopback import SHORT, response

from contractor.build.names import Names
from contractor.network import dial

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def exchange(run, data: bytes) -> bytes:
    """What comes back until the proxy is done with it; a reset counts as an end."""
    with run.connect() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
        return answer
    return b""


def test_a_body_is_a_body_even_if_it_looks_like_a_request(origin, proxy) -> None:
    seen: list[bytes] = []

    def take(connection: socket.socket, request: bytes) -> bool:
        seen.append(request)
        connection.sendall(response(b"ok"))
        return True

    server = origin(take)
    run = proxy(server.name, limits=SHORT)
    head = f"POST {server.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(HIDDEN)}\r\n\r\n".encode()
    exchange(run, head + HIDDEN)
    (fetch,) = run.wait()
    assert (fetch.url, fetch.sent) == (f"{server.url}/", len(HIDDEN))
    assert f"Content-Length: {len(HIDDEN)}".encode() in seen[0]


TARGETS = [
    "http://NAME@evil.example/", "http://evil.example@NAME/", "http://NAME\\@evil.example/", "http://NAME\\.evil.example/",
    "http://NAME%00.evil.example/", "http://NAME%2eevil.example/", "http://NAME:80:80/", "http://NAME,evil.example/",
    "http:///NAME/", "http:/NAME/", "http:NAME/", "//NAME/", "NAME/", "http://NAME;evil.example/", "http://*NAME/",
    "HTTPS://NAME/", "http://[NAME]/", "http://evil.example#@NAME/", "http://evil.example?@NAME/",
    "http://evil.example/http://NAME/", "http://0x7f.1:PORT/", "http://2130706433:PORT/", "http://017700000001:PORT/",
    "http://127.1:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[::1%25lo]:PORT/",
    "http://127.0.0.1:0PORT00/", "http://127.0.0.1:+PORT/", "http://127.0.0.1:/", "gopher://NAME/", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_no_spelling_of_a_target_gets_round_the_list(origin, proxy, target: str) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name, limits=SHORT)
    spelled = target.replace("NAME", server.name).replace("PORT", str(server.port))
    answer = run.get(spelled)
    assert answer[9:12] in (b"400", b"403"), answer
    assert server.connections == 0
    assert [fetch.verdict for fetch in run.wait()] == ["refused"]


REPLIES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\npoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 8\r\n\r\nokpoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 8\r\n\r\nokpoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nokpoison",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokpoison",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nokpoison",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nokpoison",
]


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_what_a_server_appends_is_never_the_next_answer(origin, proxy, reply: bytes) -> None:
    def serve(connection: socket.socket, head: bytes) -> bool:
        connection.sendall(response(b"second") if b"/2" in head.split(b"\r\n")[0] else reply)
        return True

    server = origin(serve)
    run = proxy(server.name, limits=SHORT)
    with run.connect() as client:
        client.settimeout(5)
        client.sendall(f"GET {server.url}/1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        first = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := client.recv(1 << 16):
                first += piece
                if b"ok" in first or b"\r\n\r\n" in first:
                    break
    assert b"poison" not in first or b"Connection: close" in first or b"chunked" in first
    assert run.get(f"{server.url}/2").endswith(b"second")


def test_a_redirect_to_a_host_that_is_not_allowed_leads_nowhere(origin, proxy) -> None:
    elsewhere = origin(response(b"secret"))
    server = origin(response(b"", f"Location: {elsewhere.url}/x", status="302 Found"))
    run = proxy(server.name)
    answer = run.get(server.url)
    assert answer.startswith(b"HTTP/1.1 302 ")
    assert run.get(f"{elsewhere.url}/x").startswith(b"HTTP/1.1 403 ")
    assert elsewhere.connections == 0
    assert [fetch.verdict for fetch in run.wait(2)] == ["allowed", "refused"]


def test_a_loop_of_proxies_is_told(proxy) -> None:
    """An upstream that sends everything back here; and one that is a proxy of its own kind."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    listener.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        first = proxy("example.invalid", upstream=f"http://127.0.0.1:{port}", limits=SHORT)
    back = proxy("example.invalid", upstream=first.url, limits=SHORT)
    first.running._dialer.upstream = dial.parse_upstream(back.url)
    answer = first.get("http://example.invalid/")
    assert answer.startswith(b"HTTP/1.1 508 ")
    assert b"a loop" in answer
    assert len(first.records) + len(back.records) < 10


def test_a_request_to_the_proxy_itself_is_no_loop(proxy) -> None:
    run = proxy("127.0.0.1:1")
    own = proxy(f"127.0.0.1:{run.port}")
    assert own.get(f"{run.url}/").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("allow", ["::1", "[::1]"])
def test_ipv6_literals(proxy, allow: str) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = listener.getsockname()[1]
    listener.close()
    run = proxy(f"[::1]:{port}" if allow == "[::1]" else f"[0:0:0:0:0:0:0:1]:{port}", limits=SHORT)
    assert run.get(f"http://[::1]:{port}/").startswith(b"HTTP/1.1 502 ")  # allowed: and nobody listens any more
    assert run.get(f"http://[0:0::1]:{port}/").startswith(b"HTTP/1.1 502 ")
    assert run.get(f"http://[::2]:{port}/").startswith(b"HTTP/1.1 403 ")
    assert run.ask(f"CONNECT [::2]:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 403 ")


def test_a_name_is_looked_up_once_a_build(origin, proxy, monkeypatch) -> None:
    """Each step has a proxy of its own; a name that is pointed elsewhere meanwhile leads nowhere else."""
    asked: list[str] = []

    def rebind(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    monkeypatch.setattr(dial, "system_resolver", rebind)
    names = Names()
    server = origin(response(b"x"))
    for _ in range(3):
        run = proxy(f"mirror.example:{server.port}", resolver=names.look_up, limits=SHORT)
        assert run.get(f"http://mirror.example:{server.port}/").endswith(b"x")
    assert asked == ["mirror.example"]


def test_a_failed_lookup_is_not_kept(monkeypatch) -> None:
    answers = [OSError("no"), [], ["127.0.0.1"], ["192.0.2.1"]]

    def resolve(host: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(dial, "system_resolver", resolve)
    names = Names()
    with pytest.raises(OSError, match="no"):
        names.look_up("a")
    assert names.look_up("a") == ()
    assert names.look_up("a") == ("127.0.0.1",)
    assert names.look_up("a") == ("127.0.0.1",)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "::1", "fd00::1"])
def test_a_private_mirror_works_when_it_is_named_and_never_by_a_wildcard(proxy, address: str) -> None:
    exact = proxy("mirror.example", resolver=lambda host: [address])
    wild = proxy("*.example", resolver=lambda host: [address])
    assert b"is not a public address" in wild.get("http://mirror.example/")
    assert exact.running._dialer.check("mirror.example", 80).host == "mirror.example"


@pytest.mark.parametrize("count", [2000, 20_000])
def test_many_headers_are_431(proxy, count: int) -> None:
    run = proxy("a", limits=SHORT)
    head = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(count)) + b"\r\n"
    answer = exchange(run, head)
    assert answer[9:12] in (b"431", b"502") or answer == b""
    assert count < 10_000 or b"431" in answer[:20] or answer == b""
