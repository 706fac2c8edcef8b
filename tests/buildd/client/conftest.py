"""Builders for the client to talk to, all on loopback, and a place to be their client in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from quirky import Quirky

from contractor.buildd.client import watch as client_watch


@pytest.fixture
def quirky(tmp_path: Path) -> Iterator[Quirky]:
    cache = tmp_path / "filecache"
    cache.mkdir()
    with Quirky(cache) as server:
        yield server


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Signals as they were; looks at a builder without long pauses; a folder to work in."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    monkeypatch.setattr(client_watch, "_PERIOD", 0.02)
    monkeypatch.chdir(tmp_path)
    yield
    for number, found in zip(numbers, before, strict=True):
        signal.signal(number, found)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(os.urandom(200_000))
    return path
