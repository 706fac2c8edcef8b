"""The daemon's own life: signals in each state, kill -9 at any point, two at once, an abort that fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builder_kit import Daemon, sha1
from scripted_worker import BODY

Start = Callable[..., Daemon]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def bring_to(daemon: Daemon, state: str) -> list[int]:
    """The daemon in a state; the pids of its workers."""
    if state != "IDLE":
        daemon.build({"BUILDING": "say-wait", "ABORTING": "say-deaf", "WAITING": "say-result-ok"}[state])
        if state == "WAITING":
            daemon.wait()
        else:
            daemon.until(lambda status: bool(status["logtail"].data))
    workers = daemon.children()
    if state == "ABORTING":
        daemon.rpc.abort()
    return workers


STATES = ["IDLE", "BUILDING", "ABORTING", "WAITING"]
AFTER = {"IDLE": None, "BUILDING": "BUILDERFAIL", "ABORTING": "ABORTED", "WAITING": "OK"}


@pytest.mark.parametrize("state", STATES)
def test_kill_9_in_each_state(start: Start, state: str) -> None:
    daemon = start()
    workers = bring_to(daemon, state)
    assert len(workers) == (state in ("BUILDING", "ABORTING"))
    before = daemon.rpc.status()
    daemon.kill()
    again = start()
    assert not any(alive(pid) for pid in workers)
    status = again.rpc.status()
    assert status.get("build_status") == (f"BuildStatus.{AFTER[state]}" if AFTER[state] else None)
    assert status.get("build_id") == before.get("build_id")
    if state in ("IDLE", "WAITING"):
        assert status == before
    if state == "WAITING":
        assert again.get("/filecache/" + status["filemap"]["hello.deb"])[0] == 200
    if state != "IDLE":
        log = again.get("/filecache/buildlog")[2]
        assert log.startswith(b"hello") and (b"started again" in log) is (state != "WAITING")
        assert again.rpc.clean() == "BuilderStatus.IDLE"
    assert again.build("ok")[0] == "BuilderStatus.BUILDING"
    assert again.wait()["build_status"] == "BuildStatus.OK"


@pytest.mark.parametrize("state", STATES)
def test_sighup_and_sigterm_in_each_state(start: Start, tmp_path: Path, state: str) -> None:
    daemon = start(abort_timeout=30)
    workers = bring_to(daemon, state)
    if state == "ABORTING":  # a deaf worker would take the whole time it is given
        os.kill(workers[0], signal.SIGSTOP)
    before = daemon.rpc.status()
    daemon.log.rename(tmp_path / "daemon.log.1")
    os.kill(daemon.process.pid, signal.SIGHUP)
    assert daemon.rpc.status() == before
    assert daemon.rpc.ensurepresent("x", "nonsense", "", "")[0] is False
    assert "ensurepresent x" in daemon.log.read_text()
    if state == "ABORTING":
        os.kill(workers[0], signal.SIGKILL)
        daemon.wait()
    assert daemon.end(signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in workers)
    status = start().rpc.status()
    assert status.get("build_status") == {
        "IDLE": None, "BUILDING": "BuildStatus.ABORTED", "ABORTING": "BuildStatus.ABORTED", "WAITING": "BuildStatus.OK",
    }[state]  # fmt: skip


@pytest.mark.parametrize(("state", "status"), [("BUILDING", "BUILDERFAIL"), ("ABORTING", "ABORTED")])
def test_sigterm_ends_what_does_not_listen(start: Start, state: str, status: str) -> None:
    daemon = start(limits={"building._STOPPED_WITHIN": 0.2})
    daemon.build("say-result-deaf")
    daemon.until(lambda status: bool(status["logtail"].data) and (daemon.cache / sha1(BODY)).exists())
    if state == "ABORTING":
        daemon.rpc.abort()
    workers = daemon.children()
    assert len(workers) == 1
    assert daemon.end(signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in workers)
    again = start()
    assert again.rpc.status()["build_status"] == f"BuildStatus.{status}"
    assert b"\nThe builder is being stopped.\n" in again.get("/filecache/buildlog")[2]
    assert again.rpc.clean() == "BuilderStatus.IDLE"
    assert not (again.cache / sha1(BODY)).exists()


def test_two_builds_at_once(daemon: Daemon) -> None:
    """Many clients ask for a build in the same moment: one is taken, and it is the one that runs."""
    clients = [xmlrpc.client.ServerProxy(f"{daemon.url}/rpc") for _ in range(8)]
    image = daemon.put(b"an image")
    given = {"series": "noble", "suite": "noble", "ogrecomponent": "main"}

    def ask(number: int) -> str:
        try:
            answer: Any = clients[number].build(
                "wait-" * number + "wait", "binarypackage", image, {"x.dsc": image}, given
            )
        except xmlrpc.client.Fault as fault:
            assert (fault.faultCode, fault.faultString) == (8002, "error")
            return ""
        finally:
            clients[number]("close")()
        return str(answer[1])

    with ThreadPoolExecutor(8) as pool:
        taken = [build for build in pool.map(ask, range(8)) if build]
    assert len(taken) == 1
    status = daemon.rpc.status()
    assert status["build_id"] == taken[0]
    assert len(daemon.children()) == 1


def test_an_abort_that_fails(start: Start) -> None:
    daemon = start(abort_timeout=0.3)
    bring_to(daemon, "ABORTING")
    assert daemon.rpc.status()["builder_status"] == "BuilderStatus.ABORTING"
    status = daemon.wait()
    assert status["build_status"] == "BuildStatus.BUILDERFAIL" and "filemap" not in status
    assert b"\nABORTING: Failed to kill all processes.\n" in daemon.get("/filecache/buildlog")[2]
    assert daemon.children() == []


def test_a_worker_that_does_not_go_is_killed(start: Start) -> None:
    daemon = start(limits={"building._ENDED_WITHIN": 0.2})
    daemon.build("say-result-linger")
    status = daemon.wait()
    assert status["build_status"] == "BuildStatus.OK" and "hello.deb" in status["filemap"]
    assert daemon.children() == []


def test_an_abort_of_a_build_that_has_just_ended(daemon: Daemon) -> None:
    for _ in range(20):
        daemon.build("ok")
        with contextlib.suppress(xmlrpc.client.Fault):
            daemon.rpc.abort()
        assert daemon.wait()["build_status"] in ("BuildStatus.OK", "BuildStatus.ABORTED")
        daemon.rpc.clean()


def test_one_cache_has_one_daemon(start: Start, tmp_path: Path) -> None:
    start()
    with pytest.raises(AssertionError, match="another builder uses"):
        start()


def test_a_port_that_is_taken(start: Start, tmp_path: Path) -> None:
    port = start().port
    with pytest.raises(AssertionError, match=f"port {port}"):
        start(port=port, cache=str(tmp_path / "other"))


def test_localhost_is_one_port_on_every_address_that_it_has(start: Start) -> None:
    daemon = start(host="localhost")
    for host in ("127.0.0.1", "localhost"):
        with xmlrpc.client.ServerProxy(f"http://{host}:{daemon.port}/rpc") as client:
            assert client.echo(host) == [host]
    assert f"127.0.0.1:{daemon.port}" in daemon.log.read_text()


def test_a_host_that_is_not_here(start: Start) -> None:
    with pytest.raises(AssertionError, match=r"192\.0\.2\.1 port 0"):
        start(host="192.0.2.1")


def test_a_damaged_state_is_told(start: Start) -> None:
    daemon = start()
    daemon.kill()
    (daemon.cache / ".state.json").write_bytes(b"{")
    with pytest.raises(AssertionError, match=r"state\.json cannot be read"):
        start()


def test_the_command_line_path_has_none_of_it() -> None:
    """What `contractor build` imports has neither the daemon nor its dependencies."""
    code = (
        "import sys, contractor.cli.main, contractor.build.prepare, contractor.cli.commands.build; print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "contractor.cli.commands.build" in found
    assert not [name for name in found if name.partition(".")[0] in ("aiohttp", "defusedxml", "asyncio", "xmlrpc")]
    assert not [name for name in found if name.startswith("contractor.buildd")]
