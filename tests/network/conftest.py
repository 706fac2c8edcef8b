"""Fixtures that start loopback servers and proxies, and stop them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import Answer, Origin, Proxy

from contractor.core.fetch import Fetch
from contractor.network.proxy import RecordingProxy


@pytest.fixture
def origin() -> Iterator[Callable[[bytes | Answer], Origin]]:
    with contextlib.ExitStack() as stack:

        def start(answer: bytes | Answer) -> Origin:
            server = Origin(answer)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """proxy("host:port", ...) starts one that allows these; keyword arguments are RecordingProxy's."""
    with contextlib.ExitStack() as stack:

        def start(*allow: str, **options: object) -> Proxy:
            listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            records: list[Fetch] = []
            running = RecordingProxy(listener, allow, records.append, **options)  # type: ignore[arg-type]
            return Proxy(stack.enter_context(running), listener.getsockname()[1], records)

        yield start


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    import subprocess

    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out"]
    subprocess.run([*make, str(cert), *subject], check=True, capture_output=True)
    return cert, key
