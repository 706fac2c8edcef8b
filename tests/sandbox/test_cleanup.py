"""Nothing is left: no workspace, no process, no mount, however a build ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import Account, processes

HARD = """mkdir -p deep/locked/in; touch deep/locked/in/file; ln -s /etc/passwd link; mkfifo pipe
mkdir readonly; touch readonly/file 'with space' $'new\\nline' $'\\377'; chmod 555 readonly; chmod 000 deep/locked
"""


def _mounts() -> set[str]:
    return {
        line.split(" - ")[1] for line in Path("/proc/self/mountinfo").read_text().splitlines() if "contractor" in line
    }


def _wait_until(what: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("end", "code"), [("exit 0", 0), ("exit 3", 1), ("kill -9 $$", 1), ("sleep 60", 4), ("sleep 60 & exit 0", 0)]
)
def test_workspace_goes(account: Account, end: str, code: int) -> None:
    done = account.build(HARD + end, limits={"time": "1s"})
    assert done.code == code, done
    assert account.leftovers() == []
    assert not _mounts()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workspace_goes_when_it_is_stopped(account: Account, number: signal.Signals) -> None:
    running = _started(account)
    _signal(account, running, number)
    running.communicate(timeout=20)
    assert running.returncode == 130
    assert account.leftovers() == []
    _wait_until(lambda: not _ours(account))  # what makes results lasting goes on for a moment


def test_kill_leaves_no_process_and_gc_removes_the_rest(account: Account) -> None:
    running = _started(account)
    _signal(account, running, signal.SIGKILL)
    running.communicate(timeout=10)
    _wait_until(lambda: not _ours(account))
    assert not _mounts()
    left = account.leftovers()
    assert len(left) == 1
    os.utime(account.store / "work" / left[0], (0, 0))  # gc leaves what may just be starting
    done = account.run("gc")
    assert done.returncode == 0, done.stderr.decode()
    assert account.leftovers() == []


def test_killed_supervisor_ends_the_build(account: Account) -> None:
    running = _started(account)
    children = _children(_contractor(account, running))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    _out, err = running.communicate(timeout=20)
    assert running.returncode == 6, err.decode()
    _wait_until(lambda: not _ours(account))
    _forget(account)


def test_keep_keeps_and_clean_up_is_possible(account: Account) -> None:
    done = account.build("echo kept > file; exit 1", "--keep")
    assert done.code == 1, done
    left = account.leftovers()
    assert len(left) == 1
    assert (account.store / "work" / left[0] / "place" / "ws" / "file").exists()
    done = account.run("clean", left[0])
    assert done.returncode == 0, done.stderr.decode()
    assert account.leftovers() == []


def _started(account: Account) -> subprocess.Popen[bytes]:
    path = account.spec(HARD + "setsid sleep 31536 &\n trap '' INT TERM; echo ready > ready; sleep 31536", name="slow")
    running = account.start("build", path, "--fresh", "--plain")
    _wait_until(lambda: _sleepers(account) or running.poll() is not None)
    assert running.poll() is None, running.communicate()
    return running


def _forget(account: Account) -> None:
    """Have gc remove what a killed build left."""
    for name in account.leftovers():
        os.utime(account.store / "work" / name, (0, 0))
    assert account.run("gc").returncode == 0
    assert account.leftovers() == []


def _sleepers(account: Account) -> list[int]:
    return [pid for pid in processes("31536") if pid not in processes("contractor.cli")]


def _ours(account: Account) -> list[int]:
    """What still runs, zombies apart."""
    return [pid for pid in (*_sleepers(account), *processes(str(account.home / "slow.yaml"))) if not _zombie(pid)]


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _contractor(account: Account, running: subprocess.Popen[bytes]) -> int:
    return running.pid  # setpriv and env replace themselves by it


def _signal(account: Account, running: subprocess.Popen[bytes], number: signal.Signals) -> None:
    os.kill(_contractor(account, running), number)


FAULTY = """
from contractor.build.steps import shell
def fault(*_all, **_more): raise ValueError("s3cr3t value")
shell.run.__globals__["command"] = fault
from contractor.cli.main import run
run()
"""


def test_a_fault_of_contractor_itself_ends_a_build_like_any_other(account: Account) -> None:
    command = account.command("build", account.spec("true"), "--fresh", "--plain")
    command[command.index("-c") + 1] = FAULTY
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=account.home, check=False)
    text = done.stderr.decode()
    assert done.returncode == 6, text
    assert "a fault in Contractor itself: ValueError" in text
    assert "in fault" in text
    assert "please report it" in text
    assert "s3cr3t" not in text
    assert "Traceback" not in text
    assert account.leftovers() == []
    assert not _mounts()
