"""A builder proxy with its token server, and a fetch service, as the page describes them, on loopback.

token server   POST /tokens {"username"} with the admin's Basic -> username, secret, timestamp; DELETE /tokens/NAME
fetch service  POST /session {"policy"} -> id, token; GET, DELETE /session/ID; DELETE /session/ID/token {"token"};
               DELETE /resources/ID
proxy          plain requests and CONNECT, with Proxy-Authorization of a token that lives
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import secrets
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

ADMIN = ("admin", "adm:in")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Service(http.server.ThreadingHTTPServer):
    """A context manager. live: user -> token. heads: what was asked for, with its headers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, visit: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), visit)
        self.live: dict[str, str] = {}
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.broken = False
        self.place = f"127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class _Visit(http.server.BaseHTTPRequestHandler):
    server: Service

    def reply(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> Any:
        """Note the request; its JSON body."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.heads.append((f"{self.command} {self.path}", headers))
        data = self.rfile.read(int(headers.get("content-length", 0)))
        return json.loads(data) if data else None

    def log_message(self, format: str, *args: object) -> None:
        pass


class TokenServer(_Visit):
    def do_POST(self) -> None:
        body = self.begin()
        if self.headers.get("Authorization") != basic(*ADMIN) or self.path != "/tokens":
            return self.reply(401)
        self.server.live[body["username"]] = secrets.token_hex(8)
        found = {"username": body["username"], "secret": self.server.live[body["username"]], "timestamp": "now"}
        return self.reply(200, found)

    def do_DELETE(self) -> None:
        self.begin()
        name = self.path.removeprefix("/tokens/")
        if self.server.broken:
            return self.reply(500)
        if self.headers.get("Authorization") != basic(name, self.server.live.get(name, "")):
            return self.reply(401)
        del self.server.live[name]
        return self.reply(200)


class FetchService(_Visit):
    def do_POST(self) -> None:
        body = self.begin()
        if body["policy"] not in ("strict", "permissive"):
            return self.reply(400)
        name = secrets.token_hex(4)
        self.server.live[name] = secrets.token_hex(8)
        return self.reply(200, {"id": name, "token": self.server.live[name]})

    def do_GET(self) -> None:
        self.begin()
        self.reply(200, {"artefacts": []})

    def do_DELETE(self) -> None:
        body = self.begin()
        kind, name, *rest = self.path.strip("/").split("/")
        if kind == "session" and rest == ["token"]:
            if "authorization" in self.server.heads[-1][1] or body != {"token": self.server.live.get(name)}:
                return self.reply(401)
            del self.server.live[name]
        return self.reply(200)


class Proxy(_Visit):
    """tokens is set by `proxy_of`: the service whose tokens it takes."""

    tokens: Service

    def _allowed(self) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.heads.append((f"{self.command} {self.path}", headers))
        if headers.get("proxy-authorization") in [basic(*item) for item in self.tokens.live.items()]:
            return True
        self.reply(407)
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        url = urlsplit(self.path)
        connection = http.client.HTTPConnection(url.netloc, timeout=10)
        connection.request("GET", url.path)
        with contextlib.closing(connection), connection.getresponse() as response:
            data = response.read()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_CONNECT(self) -> None:
        if not self._allowed():
            return
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(server, self.connection))
            back.start()
            _pump(self.connection, server)
            back.join()
        self.close_connection = True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def proxy_of(tokens: Service) -> Service:
    return Service(type("ProxyOf", (Proxy,), {"tokens": tokens}))
