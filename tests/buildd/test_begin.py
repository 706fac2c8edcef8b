"""The beginning of a build: what its worker is given, and that what goes wrong leaves the builder idle."""

from __future__ import annotations

import os
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

import pytest
from builder_kit import Daemon
from test_lifecycle import bring_to

Start = Callable[..., Daemon]


def test_a_worker_that_cannot_be_started_leaves_the_builder_idle(daemon: Daemon) -> None:
    (daemon.cache / "buildlog").mkdir()
    try:
        with pytest.raises(xmlrpc.client.Fault, match="error"):
            daemon.build("ok")
        assert daemon.rpc.status()["builder_status"] == "BuilderStatus.IDLE"
    finally:
        (daemon.cache / "buildlog").rmdir()
    assert daemon.build("ok")[0] == "BuilderStatus.BUILDING"


@pytest.mark.parametrize("what", ["building.Worker", "live_log.mark_alive", "running._watched"])
def test_whatever_happens_at_the_start_leaves_the_builder_idle(start: Start, what: str) -> None:
    """Here the code itself is broken (what is called is no function)."""
    daemon = start(limits={what: None})
    before = daemon.rpc.status()
    for _ in range(2):
        with pytest.raises(xmlrpc.client.Fault, match="error"):
            daemon.build("say-wait")
        assert daemon.rpc.status() == before
        assert not (daemon.cache / "buildlog").exists()
    assert "TypeError" in daemon.log.read_text()
    daemon.kill()
    assert start().rpc.status() == before  # on the disk too


@pytest.mark.parametrize("build_id", ["unspeakable", "deep"])
def test_an_extra_status_that_nobody_can_be_told(daemon: Daemon, build_id: str) -> None:
    daemon.build(f"{build_id}-deaf")
    status = daemon.wait()
    assert status["build_status"] == "BuildStatus.BUILDERFAIL" and "large" not in status


def test_the_worker_is_not_spared_by_the_oom_killer_and_knows_nothing(start: Start) -> None:
    daemon = start()
    (worker,) = bring_to(daemon, "BUILDING")
    assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "0\n"
    environment = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    assert sorted(name.partition(b"=")[0] for name in environment if name) == [b"LC_ALL", b"PATH", b"PYTHONPATH"]
    assert os.getsid(worker) == worker
    targets = sorted(os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd"))
    assert [target for target in targets if target.startswith("socket")] == []
