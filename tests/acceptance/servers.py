"""Small servers of 127.0.0.1 that answer as servers on a bad day do."""

from __future__ import annotations

import contextlib
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[str], tuple[int, str, bytes]]  # path -> status, content type, body
MIRROR = "http://deb.debian.org/debian"
ERROR_PAGE = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>\n"


@contextlib.contextmanager
def serve(answer: Answer) -> Iterator[int]:
    """The port of a server that answers so, and whose every request is over when the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page(path: str) -> tuple[int, str, bytes]:
    """Whatever is asked for, a page that says sorry, and that all is well: seed 000's error pages were artifacts."""
    return 200, "text/html", ERROR_PAGE


def content(path: str) -> tuple[int, str, bytes]:
    return 200, "application/octet-stream", b"the content\n"


def overloaded(path: str) -> tuple[int, str, bytes]:
    return 503, "text/html", ERROR_PAGE


def in_mid_sync(path: str) -> tuple[int, str, bytes]:
    """Debian's own signed InRelease, and indexes that are not the ones it tells of."""
    name = path.removeprefix("/debian")
    if name.endswith("/InRelease"):
        with urllib.request.urlopen(MIRROR + name, timeout=30) as answer:
            return 200, "text/plain", answer.read()
    if "/by-hash/" in name or "/Packages" in name:
        return 200, "application/x-xz", b"\xfd7zXZ\0 of another sync\n" * 100
    return 404, "text/plain", b"not here (yet)\n"


ANSWERS: dict[str, Answer] = {
    "answers everything with a page that says sorry": page,
    "has the content": content,
    "answers 503": overloaded,
    "is in the middle of a sync": in_mid_sync,
}
