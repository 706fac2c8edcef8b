"""Files for a builder to fetch: a small HTTP server on the address of this machine that the builder reaches.

Only who knows a file's URL gets it: there is a random word in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import secrets
import socket
import stat
import threading
from typing import NamedTuple

from contractor.core.errors import Broken, Rejected
from contractor.network.allow import join_authority

_PIECE = 1 << 20
_SILENCE = 60  # seconds
_CONNECTIONS = 32


class Offered(NamedTuple):
    """name: its sha1, under which the builder keeps it."""

    path: str
    name: str
    size: int
    fd: int


def open_file(path: str) -> Offered:
    """A file with its digest; it stays open, so that what is sent is what was read. Raises Rejected."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Rejected(
            f"{path} cannot be read: {error.strerror}", hint="name a file, or a sha1 in the cache"
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Rejected(f"{path} is no file", hint="name a file, or a sha1 in the cache")
    with open(fd, "rb", closefd=False) as file:
        digest = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return Offered(path, digest, os.fstat(fd).st_size, fd)


def address_towards(host: str, port: int) -> str:
    """The address of this machine from which packets to a host go out; nothing is sent. Raises Broken."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Broken(
            f"there is no way from here to {host}: {error.strerror or error}",
            hint="see whether the builder's URL is right",
        ) from error


class Offer:
    """A context manager: while it is open, the files can be fetched at `url(name)`."""

    def __init__(self, files: list[Offered], address: str, port: int = 0) -> None:
        self._word = secrets.token_urlsafe(18)
        self._paths = {f"/{self._word}/{file.name}": file for file in files}
        self._address = address
        self.asked: set[str] = set()  # names that somebody fetched, or began to
        try:
            self._server = _Server((address, port), self._paths, self.asked)
        except OSError as error:
            raise Rejected(
                f"files cannot be offered at {join_authority(address, port)}: {error.strerror}",
                hint="choose an address of this machine with --offer ADDRESS[:PORT]",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def url(self, name: str) -> str:
        return f"http://{join_authority(self._address, self._server.server_address[1])}/{self._word}/{name}"

    @property
    def place(self) -> str:
        return join_authority(self._address, self._server.server_address[1])

    def __enter__(self) -> Offer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], paths: dict[str, Offered], asked: set[str]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.paths = paths
        self.asked = asked
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, _Visit)

    def process_request_thread(self, request: object, client_address: object) -> None:
        with contextlib.ExitStack() as stack:
            if self._places.acquire(blocking=False):
                stack.callback(self._places.release)
                super().process_request_thread(request, client_address)  # type: ignore[arg-type]
            else:
                self.shutdown_request(request)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no news."""


class _Visit(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENCE
    server_version, sys_version = "contractor", ""

    def do_GET(self) -> None:
        if (file := self._head()) is None:
            return
        at = 0
        while at < file.size and (data := os.pread(file.fd, _PIECE, at)):
            self.wfile.write(data)
            at += len(data)

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> Offered | None:
        file = self.server.paths.get(self.path)
        if file is None:
            self.send_error(404)
            return None
        self.server.asked.add(file.name)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(file.size))
        self.end_headers()
        return file

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
