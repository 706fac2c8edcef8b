"""The daemon with the real worker: programs that run in a target, and what a kill -9 and an abort leave of them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builder_kit import Daemon
from target_kit import folder_for_all, image_of, small_tree

from contractor.buildd.daemon.running import WORKER

ARCHIVES = ["deb http://archive.invalid/debian bookworm main"]
GIVEN = {"series": "bookworm", "suite": "bookworm", "ogrecomponent": "main", "archives": ARCHIVES}
NAP = "86399"  # seconds that nobody else sleeps


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """Its apt-get says that it is there, and then sleeps, traps and forks."""
    with folder_for_all() as folder:
        script = f"trap '' TERM INT HUP; echo it runs; (setsid sleep {NAP} &); sleep {NAP}"
        small_tree(folder / "tree", {"apt-get": script, "setsid": 'exec "$@"'})
        yield image_of(folder / "tree", folder / "image")


@pytest.fixture
def real(tmp_path: Path, image: Path) -> Iterator[Callable[..., Daemon]]:
    running: list[Daemon] = []

    def begin(**options: Any) -> Daemon:
        running.append(Daemon(tmp_path, [*WORKER], **options))
        return running[-1]

    (tmp_path / "filecache").mkdir()
    os.link(image, tmp_path / "filecache" / "image") if os.stat(image).st_dev == os.stat(tmp_path).st_dev else (
        tmp_path / "filecache" / "image"
    ).write_bytes(image.read_bytes())
    (tmp_path / "filecache" / "source").write_text("Source: x\n")
    yield begin
    for daemon in running:
        if daemon.process.returncode is None:
            daemon.end(signal.SIGKILL)


def asleep() -> list[int]:
    """The processes of the build."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", NAP.encode()]:
                found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def begin(daemon: Daemon) -> None:
    answer = daemon.rpc.build("REAL-1", "binarypackage", "image", {"x.dsc": "source"}, GIVEN)
    assert answer == ["BuilderStatus.BUILDING", "REAL-1"]
    wait_until(lambda: b"it runs" in daemon.get("/filecache/buildlog")[2])
    wait_until(asleep)


def test_kill_9_of_the_daemon_leaves_nothing_running(real: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = real()
    begin(daemon)
    daemon.kill()
    again = real()
    assert asleep() == []
    status = again.rpc.status()
    assert (status["builder_status"], status["build_status"]) == ("BuilderStatus.WAITING", "BuildStatus.BUILDERFAIL")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    again.rpc.clean()
    begin(again)  # and it goes on
    again.rpc.abort()
    again.wait()
    assert os.listdir(tmp_path / "store" / "work") == []


def test_an_abort_ends_what_traps_and_forks(real: Callable[..., Daemon]) -> None:
    daemon = real()
    begin(daemon)
    began = time.monotonic()
    assert daemon.rpc.abort() == "BuilderStatus.ABORTING"
    status = daemon.wait()
    assert status["build_status"] == "BuildStatus.ABORTED"
    assert time.monotonic() - began < 20
    assert asleep() == []
    assert daemon.rpc.clean() == "BuilderStatus.IDLE"
    state = json.loads((daemon.cache / ".state.json").read_bytes())
    assert state["state"] == "IDLE"


def test_a_stopped_daemon_ends_its_build(real: Callable[..., Daemon]) -> None:
    daemon = real()
    begin(daemon)
    assert daemon.end(signal.SIGTERM) == 0
    assert asleep() == []
    assert real().rpc.status()["build_status"] == "BuildStatus.ABORTED"
