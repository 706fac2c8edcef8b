"""The builder proxy and the fetch service: credentials, the log's lines, the end of tokens; real sockets everywhere."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proxy_kit import ADMIN, FetchService, Service, TokenServer, basic, proxy_of

from contractor.buildd.arguments import Proxied
from contractor.buildd.daemon import revoke
from contractor.buildd.target import fetch_service
from contractor.buildd.target.forward import ENVIRONMENT, BuilderProxy
from contractor.core.errors import Rejected
from contractor.plan.environment import PROXY_URL


def call(place: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """A request of the manager's own: the JSON of its answer."""
    connection = http.client.HTTPConnection(place, timeout=10)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    with connection.getresponse() as response:
        data = response.read()
        assert response.status == 200, (response.status, data)
    connection.close()
    return json.loads(data) if data else None


class Web(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.heads.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Service]:
    with Service(Web) as service:
        yield service


@pytest.fixture
def tokens() -> Iterator[Service]:
    with Service(TokenServer) as service:
        yield service


@pytest.fixture
def control() -> Iterator[Service]:
    with Service(FetchService) as service:
        yield service


@pytest.fixture
def granted(tokens: Service) -> Iterator[tuple[Service, Proxied]]:
    """A proxy, and the arguments that a manager makes of a token for it."""
    with proxy_of(tokens) as proxy:
        found = call(tokens.place, "POST", "/tokens", {"username": "SNAPBUILD-7"}, Authorization=basic(*ADMIN))
        url = f"http://{found['username']}:{found['secret']}@{proxy.place}"
        endpoint = f"http://{tokens.place}/tokens/{found['username']}"
        yield proxy, Proxied(series="x", proxy_url=url, revocation_endpoint=endpoint)


class Inside:
    """What a command sees of the proxy: a listener on its loopback."""

    def __init__(self, builder_proxy: BuilderProxy) -> None:
        self._door = builder_proxy.door()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._door.open(listener)

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, *_error: object) -> None:
        self._door.__exit__()

    def get(self, url: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", url, headers={"Connection": "close"})
        with connection.getresponse() as response:
            found = response.status, response.read()
        connection.close()
        return found

    def tunnel(self, place: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        host, _, port = place.partition(":")
        connection.set_tunnel(host, int(port))
        return connection


def test_requests_go_to_the_builder_proxy_with_credentials_that_the_build_never_sees(
    granted: tuple[Service, Proxied], web: Service
) -> None:
    proxy, arguments = granted
    log: list[str] = []
    builder_proxy = BuilderProxy(arguments, log.append)
    with Inside(builder_proxy) as inside:
        assert inside.get(f"http://{web.place}/a?token=abc") == (200, b"page")
        connection = inside.tunnel(web.place)
        connection.request("GET", "/b", headers={"Connection": "close"})
        with connection.getresponse() as response:
            assert response.read() == b"page"
        connection.close()
    assert [line.split(" s")[0].rsplit(" ", 1)[0] for line in log] == [
        f"[proxy] GET http://{web.place}/a?token=*** 200 4 bytes",
        f"[proxy] CONNECT {web.place} 200 {_moved(log)} bytes",
    ]
    assert [head for head, _ in proxy.heads] == [f"GET http://{web.place}/a?token=abc", f"CONNECT {web.place}"]
    secret = arguments.proxy_url.split(":")[2].split("@")[0]
    assert all(
        base64.b64decode(headers["proxy-authorization"][6:]).decode() == f"SNAPBUILD-7:{secret}"
        for _, headers in proxy.heads
    )
    seen = "\n".join([*log, *(f"{name}={value}" for name, value in ENVIRONMENT.items())])
    assert secret not in seen and "SNAPBUILD-7" not in seen and proxy.place not in seen
    assert not any("proxy-authorization" in headers for _, headers in web.heads)


def _moved(log: list[str]) -> str:
    """The bytes of the tunnel: both requests' lines have them before "bytes"."""
    moved = log[1].split(" bytes")[0].rsplit(" ", 1)[1]
    assert int(moved) > 100
    return moved


def test_the_environment_of_a_command() -> None:
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    assert {ENVIRONMENT[name] for name in names} == {PROXY_URL}
    assert ENVIRONMENT["SNAPPY_STORE_NO_CDN"] == "1"


def test_a_proxy_that_says_no_is_in_the_log(granted: tuple[Service, Proxied], web: Service, tokens: Service) -> None:
    log: list[str] = []
    builder_proxy = BuilderProxy(granted[1], log.append)
    tokens.live.clear()
    with Inside(builder_proxy) as inside:
        assert inside.get(f"http://{web.place}/a")[0] == 407
        with pytest.raises(OSError, match="502"):
            inside.tunnel(web.place).connect()
    assert " 407 " in log[0] and "the upstream proxy answered 407" in log[1]
    assert web.heads == []


def test_a_token_of_the_builder_proxy_is_revoked_once(granted: tuple[Service, Proxied], tokens: Service) -> None:
    log: list[str] = []
    builder_proxy = BuilderProxy(granted[1], log.append)
    assert tokens.live
    builder_proxy.revoke()
    builder_proxy.revoke()
    assert tokens.live == {} and log == ["The proxy's token is revoked."]
    assert [head for head, _ in tokens.heads] == ["POST /tokens", "DELETE /tokens/SNAPBUILD-7"]


def test_a_token_of_the_fetch_service_is_revoked_by_its_body(control: Service) -> None:
    session = call(control.place, "POST", "/session", {"policy": "strict"})
    endpoint = f"http://{control.place}/session/{session['id']}/token"
    url = f"http://{session['id']}:{session['token']}@127.0.0.1:9"
    log: list[str] = []
    arguments = Proxied(series="x", proxy_url=url, revocation_endpoint=endpoint, use_fetch_service=True)
    BuilderProxy(arguments, log.append).revoke()
    assert log == ["The proxy's token is revoked."] and control.live == {}
    head, headers = control.heads[-1]
    assert head == f"DELETE /session/{session['id']}/token"
    assert headers["content-type"] == "application/json" and "authorization" not in headers
    for method, path in [("GET", "session"), ("DELETE", "session"), ("DELETE", "resources")]:  # the manager's part
        call(control.place, method, f"/{path}/{session['id']}")


def test_errors_of_a_revocation_are_logged_and_no_more(
    granted: tuple[Service, Proxied], tokens: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, endpoint = granted[1].proxy_url, granted[1].revocation_endpoint
    tokens.broken = True
    assert revoke.revoke(url, endpoint, fetch_service=False) == "HTTP status 500"
    assert "file" in revoke.revoke(url, "file:///etc/passwd", fetch_service=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(revoke, "TIMEOUT", 0.3)
        began = time.monotonic()
        assert "for 0.3 s" in revoke.revoke(url, f"http://{place}/tokens/x", fetch_service=False)
        assert time.monotonic() - began < 5
    assert "refused" in revoke.revoke(url, f"http://{place}/tokens/x", fetch_service=False)
    log: list[str] = []
    BuilderProxy(granted[1], log.append).revoke()
    assert log == ["The proxy's token could not be revoked: HTTP status 500"]
    assert BuilderProxy(Proxied(series="x", proxy_url=url), log.append).revoke() is None and len(log) == 1
    with pytest.raises(Rejected):
        BuilderProxy(Proxied(series="x", proxy_url="https://u:p@h"), log.append)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fetch"]
    subprocess.run([*make, "-keyout", "/dev/null", "-out", str(path)], check=True, capture_output=True)
    return path


class FakeTarget:
    """Where the certificate would be installed."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.written: dict[str, bytes] = {}
        self.ran: list[list[str]] = []

    def exists(self, path: str) -> bool:
        return path in self.there

    def write(self, path: str, data: bytes) -> None:
        self.written[path] = data

    def run(self, argv: list[str], *, check: bool) -> None:
        assert check
        self.ran.append(argv)


def test_the_certificate_of_the_fetch_service_is_installed(authority: Path) -> None:
    pem = authority.read_bytes()
    target = FakeTarget("/usr/sbin/update-ca-certificates")
    fetch_service.install(target, {fetch_service.SECRET: base64.b64encode(pem).decode()})  # type: ignore[arg-type]
    assert target.written == {"/usr/local/share/ca-certificates/local-ca.crt": pem}
    assert target.ran == [["/usr/sbin/update-ca-certificates"]]
    assert ssl.create_default_context(cadata=pem.decode()).cert_store_stats()["x509_ca"] == 1
    assert fetch_service.ENVIRONMENT["GOPROXY"] == "direct"


@pytest.mark.parametrize(
    "text", ["", "no base64!", base64.b64encode(b"hello").decode(), base64.b64encode(b"\xff" * 9).decode()]
)
def test_what_is_no_certificate_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Rejected, match=fetch_service.SECRET) as caught:
        fetch_service.certificate_of({fetch_service.SECRET: text})
    assert not text or text not in caught.value.message
