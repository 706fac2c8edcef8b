"""A librarian of the tests: an HTTP server on loopback that gives files, and everything that goes wrong with it."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Librarian(ThreadingHTTPServer):
    """files: path -> body. Paths that do more: see Answers. asked: the paths, with what Authorization said."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.go_on = threading.Event()
        self.began = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are no news."""


class Answers(BaseHTTPRequestHandler):
    server: Librarian
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path
        self.server.asked.append((path, self._user()))
        if path.startswith("/to/"):  # a redirect to what follows
            return self._head(302, 0, Location=path.removeprefix("/to/"))
        if path == "/round":
            return self._head(302, 0, Location="/round")
        if path.startswith("/page"):  # an error page that says 200
            return self._body(b"<!doctype html><title>Sorry</title>")
        if path.startswith("/private/") and not self._user():
            return self._head(401, 0, WWW_Authenticate='Basic realm="x"')
        body = self.server.files.get("/" + path.rpartition("/")[2])
        if body is None:
            return self._head(404, 0)
        if path.startswith("/slow/"):  # a half of it, and the rest when the test says so
            self._head(200, len(body))
            self.wfile.write(body[: len(body) // 2])
            self.server.began.set()
            self.server.go_on.wait(20)
            self.wfile.write(body[len(body) // 2 :])
        elif path.startswith("/short/"):  # the connection ends early
            self._head(200, len(body))
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif path.startswith("/zipped/"):
            self._head(200, len(body), Content_Encoding="gzip")
            self.wfile.write(body)
        else:
            self._body(body)
        return None

    def _user(self) -> str:
        value = self.headers.get("Authorization", "")
        return base64.b64decode(value.removeprefix("Basic ")).decode() if value else ""

    def _head(self, status: int, size: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        self._head(200, len(body))
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
