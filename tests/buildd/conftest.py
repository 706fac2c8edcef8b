"""Fixtures that start daemons, and stop them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builder_kit import SCRIPTED, Daemon
from file_server import Librarian
from target_kit import folder_for_all


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A folder that ordinary users reach as well."""
    with folder_for_all() as folder:
        yield folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """start(**options of the configuration): a daemon on the folder of this test; again, after the last has ended."""
    running: list[Daemon] = []

    def begin(worker: list[str] | None = None, **options: Any) -> Daemon:
        daemon = Daemon(tmp_path, worker or [SCRIPTED], **options)
        running.append(daemon)
        return daemon

    yield begin
    for daemon in running:
        if daemon.process.returncode is None:
            daemon.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests of a module that leave it idle."""
    daemon = Daemon(tmp_path_factory.mktemp("shared"), [SCRIPTED])
    yield daemon
    daemon.end(signal.SIGKILL)


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """The shared one, idle before and after."""
    yield shared
    state = shared.rpc.status()["builder_status"]
    if state == "BuilderStatus.BUILDING":
        shared.rpc.abort()
    if state != "BuilderStatus.IDLE":
        shared.wait()
        shared.rpc.clean()


@pytest.fixture
def librarian() -> Iterator[Librarian]:
    with contextlib.closing(Librarian()) as server:
        yield server
