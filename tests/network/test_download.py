"""Downloads: only the right bytes come back as a success, whatever the server does."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import response

from contractor.core.errors import Broken, OutOfLimits, Rejected
from contractor.network import download as module
from contractor.network.download import download
from contractor.network.location import next_location, parse_location


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def in_turn(*answers: bytes) -> Callable[[socket.socket, bytes], bool]:
    """Each connection gets the next answer, the last one for ever, and is closed."""
    left = list(answers)

    def answer(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])
        return False

    return answer


def redirect(target: str) -> bytes:
    return response(b"", f"Location: {target}", status="302 Found")


def fetch(url: str, data: bytes, **options: object) -> bytes:
    """Download and return what the sink got, with a restart that empties it."""
    got = bytearray()
    result = download(url, got.extend, sha256=sha256(data), on_restart=got.clear, **options)  # type: ignore[arg-type]
    assert (result.verdict, result.status, result.size, result.sha256) == ("allowed", 200, len(data), sha256(data))
    return bytes(got)


def test_the_bytes_arrive(origin) -> None:
    data = os.urandom(3 << 20)
    server = origin(response(data))
    assert fetch(server.url + "/a b?x=ä#top", data) == data
    assert server.heads[0].startswith(b"GET /a%20b?x=%C3%A4 HTTP/1.1\r\nHost: " + server.name.encode())
    assert b"Accept-Encoding: identity" in server.heads[0]


def test_chunked_and_to_the_end(origin) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert fetch(origin(chunked).url, b"abcde") == b"abcde"
    assert fetch(origin(in_turn(b"HTTP/1.0 200 OK\r\n\r\nabcde")).url, b"abcde") == b"abcde"
    assert fetch(origin(response(b"")).url, b"") == b""


def test_another_digest_is_rejected_with_both(origin) -> None:
    server = origin(response(b"other"))
    with pytest.raises(Rejected) as caught:
        download(f"http://me:pw@{server.name}/?token=abc", bytearray().extend, sha256=sha256(b"meant"))
    details = "\n".join(caught.value.details)
    assert sha256(b"meant") in details
    assert sha256(b"other") in details
    assert "5 bytes" in details
    assert "web page" not in details
    assert "pw" not in caught.value.message
    assert "abc" not in caught.value.message


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Not found", b"\n <HTML><body>"])
def test_a_web_page_is_called_one(origin, page: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        fetch(origin(response(page)).url, b"meant")
    assert "the server sent a web page" in caught.value.details


def test_redirects_are_followed(origin) -> None:
    server = origin(in_turn(redirect("/b"), redirect("c?x=1"), response(b"x")))
    result = download(server.url + "/d/a", bytearray().extend, sha256=sha256(b"x"))
    assert [head.split()[1] for head in server.heads] == [b"/d/a", b"/b", b"/c?x=1"]
    assert result.reason == f"redirected to {server.url}/c?x=1"


def test_credentials_are_sent_but_not_to_where_a_redirect_leads(origin) -> None:
    server = origin(in_turn(redirect("/b"), response(b"x")))
    fetch(f"http://me:p%40w@{server.name}/a", b"x")
    assert b"Authorization: Basic bWU6cEB3" in server.heads[0]
    assert b"Authorization" not in server.heads[1]


def test_a_redirect_loop_ends(origin) -> None:
    server = origin(in_turn(redirect("/again")))
    with pytest.raises(Broken, match="more than 5 redirects"):
        fetch(server.url, b"x")
    assert len(server.heads) == 6


def test_a_redirect_must_not_leave_https() -> None:
    with pytest.raises(Rejected, match="from https to"):
        next_location(parse_location("https://a.org/x"), "http://a.org/y")
    assert next_location(parse_location("https://a.org/x"), "//b.org/y").url == "https://b.org/y"
    assert next_location(parse_location("http://a.org/x"), "https://b.org/y").url == "https://b.org/y"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://a/", "javascript:x", "http://a:b:c/"])
def test_a_redirect_must_stay_with_http(origin, target: str) -> None:
    with pytest.raises(Rejected):
        fetch(origin(in_turn(redirect(target))).url, b"x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://a/x", "http://", "http://a:b:c/", ""])
def test_only_http_urls(url: str) -> None:
    with pytest.raises(Rejected):
        fetch(url, b"x")


@pytest.mark.parametrize("rest", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"])
def test_a_truncated_body_is_never_a_success(origin, rest: bytes) -> None:
    server = origin(in_turn(b"HTTP/1.1 200 OK\r\n" + rest))
    with pytest.raises(Broken) as caught:
        fetch(server.url, b"abc")
    assert server.url in caught.value.message
    assert server.connections == 3


def test_a_truncated_body_is_fetched_again_into_an_empty_sink(origin) -> None:
    server = origin(in_turn(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", response(b"abcde")))
    assert fetch(server.url, b"abcde") == b"abcde"


def test_without_a_restart_a_begun_body_is_not_repeated(origin) -> None:
    server = origin(in_turn(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", response(b"abcde")))
    with pytest.raises(Broken, match="ended after 2 of 5 bytes"):
        download(server.url, bytearray().extend, sha256=sha256(b"abcde"))
    assert server.connections == 1


def test_503_and_then_success(origin) -> None:
    busy = response(b"busy", status="503 Service Unavailable")
    assert fetch(origin(in_turn(busy, busy, response(b"x"))).url, b"x") == b"x"


def test_503_for_ever(origin) -> None:
    server = origin(in_turn(response(b"busy", status="503 Busy")))
    with pytest.raises(Broken, match="the server answered 503 Busy") as caught:
        fetch(server.url, b"busy")
    assert server.connections == 3
    assert caught.value.details == ("3 attempts",)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden"])
def test_a_4xx_is_the_author_s_turn_and_not_repeated(origin, status: str) -> None:
    server = origin(in_turn(response(b"x", status=status)))
    with pytest.raises(Rejected, match=status):
        fetch(server.url, b"x")
    assert server.connections == 1


def test_any_other_status_is_no_success(origin) -> None:
    with pytest.raises(Broken, match="206"):
        fetch(origin(response(b"x", status="206 Partial Content")).url, b"x")


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_the_limit_holds_with_and_without_a_length(origin, length: str) -> None:
    body = b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n" if "chunked" in length else b"x" * 100
    got = bytearray()
    server = origin(in_turn(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode() + body))
    with pytest.raises(OutOfLimits, match="99 bytes"):
        download(server.url, got.extend, sha256=sha256(b"x" * 100), limit=99)
    assert got == b""
    assert fetch(server.url, b"x" * 100, limit=100) == b"x" * 100


def test_no_server_is_broken_and_says_why(closed_port: int) -> None:
    with pytest.raises(Broken, match="Connection refused") as caught:
        fetch(f"http://127.0.0.1:{closed_port}/x", b"x")
    assert caught.value.hint


def test_a_silent_server_is_broken(origin) -> None:
    release = threading.Event()
    server = origin(lambda connection, head: release.wait(5))
    with pytest.raises(Broken, match=r"did not answer within 0\.2 s"):
        fetch(server.url, b"x", timeout=0.2)
    release.set()


def test_a_sink_s_own_error_passes_and_is_not_repeated(origin) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    server = origin(response(b"x"))
    with pytest.raises(OSError, match="No space left"):
        download(server.url, full, sha256=sha256(b"x"), on_restart=lambda: None)
    assert server.connections == 1


def test_through_an_upstream_proxy(origin, proxy) -> None:
    server = origin(response(b"x"))
    run = proxy(server.name)
    assert fetch(server.url + "/y", b"x", upstream=run.url) == b"x"
    assert run.wait()[0].url == server.url + "/y"


def serve_tls(connection: socket.socket, context: ssl.SSLContext) -> None:
    with connection:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1000)
                secure.sendall(response(b"secret"))
        except OSError:
            return


@pytest.fixture
def tls_port(certificate: tuple[Path, Path]) -> object:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            serve_tls(connection, context)

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_https_with_a_trusted_certificate(tls_port: int, certificate, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert fetch(f"https://127.0.0.1:{tls_port}/", b"secret") == b"secret"


def test_https_through_an_upstream_proxy(tls_port: int, certificate, monkeypatch, proxy) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    run = proxy(f"127.0.0.1:{tls_port}")
    assert fetch(f"https://127.0.0.1:{tls_port}/", b"secret", upstream=run.url) == b"secret"
    assert run.wait()[0].method == "CONNECT"


def test_https_with_an_unknown_certificate(tls_port: int) -> None:
    with pytest.raises(Broken, match="is not trusted"):
        fetch(f"https://127.0.0.1:{tls_port}/", b"secret")


def test_importing_it_imports_no_client() -> None:
    code = "import sys, contractor.network.download; print([m for m in ('ssl', 'http.client') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
