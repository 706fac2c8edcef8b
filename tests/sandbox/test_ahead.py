"""A sandbox that is set up while a step runs: used when its turn comes, given up in every other case, never left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Account
from contractor.sandbox import syscalls
from contractor.sandbox.hosttree import mounts
from contractor.sandbox.local import choose
from contractor.sandbox.memory import MemoryGroup
from contractor.sandbox.namespace import Inside, Supervisor
from contractor.sandbox.run import run
from contractor.sandbox.spec import Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import WORKSPACE, make_stage
from contractor.sandbox.step import run_inside
from contractor.spec.model import Limits


def _begin(_inside: Inside, args: dict[str, Any], _fds: list[int]) -> None:
    """A new workspace in place of the one before."""
    if not os.path.ismount(WORKSPACE):
        make_stage()
    else:
        syscalls.umount(WORKSPACE)
    syscalls.bind(args["folder"], WORKSPACE)


def _look(inside: Inside, _args: dict[str, Any], _fds: list[int]) -> dict[str, int]:
    for pid in inside.state.get("ending", set()):  # the kernel takes down what is left of a sandbox
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    found = {name: len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")}
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        found["mounts"] = len(file.readlines())
    found["processes"] = sum(name.isdigit() for name in os.listdir("/proc"))
    return found


def _run(inside: Inside, args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    return run_inside(inside, args, fds, lambda: (0, 0))


def _save(_inside: Inside, _args: dict[str, Any], _fds: list[int]) -> None:
    """What a build asks for between two steps."""


class Field:
    """A supervisor with a workspace, and steps in the host's tree."""

    def __init__(self, supervisor: Supervisor, group: MemoryGroup, top: Path) -> None:
        self.supervisor = supervisor
        self.group = group
        self.top = top
        self.begin("first")
        for _ in range(2):
            self.run(step("true"), step("exit 0"))  # what is made once a build, is made
        self.run(step("exit 0"))
        self.quiet = self.look()

    def begin(self, name: str) -> None:
        (self.top / name).mkdir()
        (self.top / name).chmod(0o777)
        self.supervisor.call("begin", {"folder": str(self.top / name)})

    def look(self) -> dict[str, int]:
        """How much there is of everything that could be left; ends what waits."""
        return self.supervisor.call("look", {})  # type: ignore[no-any-return]

    def run(
        self, spec: SandboxSpec, then: SandboxSpec | None = None, tick: Callable[[], None] | None = None
    ) -> tuple[Exit, str]:
        said: list[bytes] = []
        caller = Caller(said.append, tick=tick, following=lambda: then)
        exit_ = run(self.supervisor, spec, caller, self.group, "/")
        return exit_, b"".join(said).decode()

    def sandboxes(self) -> list[int]:
        """The running bwraps, as they are known here."""
        return [pid for pid in _children(self.supervisor.pid) if _lives(pid)]


def step(script: str, **limits: Any) -> SandboxSpec:
    return SandboxSpec(
        argv=("/bin/sh", "-euc", script),
        mounts=(*mounts(), Mount("bind", "/workspace", WORKSPACE)),
        env={"PATH": "/usr/bin:/bin"},
        limits=Limits(**{"time": 20.0, **limits}),
    )


@pytest.fixture
def field() -> Iterator[Field]:
    operations = {"begin": _begin, "run": _run, "save": _save, "look": _look}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as top:
        Path(top).chmod(0o755)
        with choose().start(operations) as (supervisor, group):
            yield Field(supervisor, group, Path(top))


BORN = "cut -d' ' -f22 /proc/1/stat"  # when its pid 1 was made, in 1/100 s since the machine's start
NOW = "cut -d' ' -f1 /proc/uptime"


def test_it_is_set_up_while_the_other_runs(field: Field) -> None:
    second = step(f"{BORN}; cat file")
    done, ended = field.run(step(f"sleep 0.4; echo written later > file; {NOW}"), second)
    assert done.code == 0
    field.supervisor.call("save", {})
    done, said = field.run(second)
    assert done.code == 0
    assert said.splitlines()[1:] == ["written later"]
    assert int(said.split()[0]) / 100 < float(ended) - 0.2
    assert field.look() == field.quiet


def test_another_step_than_expected(field: Field) -> None:
    field.run(step("sleep 0.1"), step("echo never > never; echo never"))
    done, said = field.run(step("ls; echo other"))
    assert (done.code, said) == (0, "other\n")
    assert field.look() == field.quiet


def test_another_workspace(field: Field) -> None:
    second = step("ls; echo second > file")
    field.run(step("sleep 0.1; echo old > old"), second)
    field.begin("other")
    done, said = field.run(second)
    assert (done.code, said) == (0, "")
    assert (field.top / "other" / "file").exists()
    assert not (field.top / "first" / "file").exists()
    assert field.look() == field.quiet


@pytest.mark.parametrize("script", ["sleep 0.2; exit 3", "sleep 0.2; kill -9 $$", "exit 1", "sleep 9"])
def test_nothing_waits_behind_a_step_that_fails(field: Field, script: str) -> None:
    done, _said = field.run(step(script, time=1.0), step("echo never > never"))
    assert done.code
    _wait_for(lambda: field.sandboxes() == [], seconds=0.5)  # the failed one's pid 1 may be ending
    assert field.look() == field.quiet
    assert os.listdir(field.top / "first") == []


def test_stopped(field: Field) -> None:
    began = time.monotonic()

    def tick() -> None:
        if time.monotonic() > began + 0.3:
            assert len(field.sandboxes()) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        field.run(step("sleep 9"), step("echo never > never"), tick)
    _wait_for(lambda: field.sandboxes() == [], seconds=0.5)
    assert field.look() == field.quiet
    assert field.run(step("ls; echo on"))[1] == "on\n"


@pytest.mark.parametrize("which", ["bwrap", "pid 1"])
def test_killed_while_it_waits(field: Field, which: str) -> None:
    second = step("echo second; exit 0")
    began = time.monotonic()
    killed: list[int] = []

    def tick() -> None:
        if not killed and time.monotonic() > began + 0.3:
            waiting = max(field.sandboxes())
            killed.extend([waiting] if which == "bwrap" else _children(waiting))
            os.kill(killed[0], signal.SIGKILL)

    done, _said = field.run(step("sleep 0.8"), second, tick)
    assert done.code == 0
    assert killed
    done, said = field.run(second)
    assert (done.code, said) == (0, "second\n")
    assert field.look()["fd"] == field.quiet["fd"]


def test_time_counts_from_its_turn(field: Field) -> None:
    second = step("sleep 0.3", time=1.0)
    field.run(step("sleep 1.2"), second)
    done, _said = field.run(second)
    assert (done.code, done.limit) == (0, "")
    assert 0.25 < done.seconds < 1


def test_its_own_limits_hold(field: Field) -> None:
    slow, large = step("sleep 9", time=0.5), step("head -c 20M /dev/zero > large", file_size=1 << 20)
    field.run(step("sleep 0.1"), slow)
    assert field.run(slow)[0].limit == "time"
    field.run(step("sleep 0.1"), large)
    assert field.run(large)[0].limit == "file-size"


FORKS = """exec python3 -c '
import os, time
time.sleep(0.3)
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
        count += 1
except OSError:
    print(count)
'"""


def test_who_waits_is_no_process_of_who_runs(field: Field) -> None:
    forks = step(FORKS, processes=30)
    alone = field.run(forks)[1]
    before_another = field.run(forks, forks)[1]
    as_the_next = field.run(forks)[1]
    assert alone == before_another == as_the_next
    assert 20 < int(alone) < 30


def test_it_has_what_every_step_has(field: Field) -> None:
    look = step("""
        for pid in self 1; do
            for fd in /proc/$pid/fd/*; do readlink $fd | sed 's/:.*//; /proc/d'; done
            grep 'id:\\|Groups\\|Cap\\|Sig\\|NoNew\\|Seccomp' /proc/$pid/status | grep -v 'TracerPid\\|^Pid\\|SigQ'
            sort /proc/$pid/limits; cat /proc/$pid/oom_score_adj /proc/$pid/environ
        done
        umask; pwd; ls -la / /workspace /dev | sed 's/ [0-9][0-9]:.*[0-9] / /; / proc$/d'
        cut -d' ' -f4- /proc/self/mountinfo | sed 's/bindfile......//'
    """)
    field.run(step("sleep 0.2"), look)
    waited, anew = field.run(look)[1], field.run(look)[1]
    assert len(waited) > 3000
    assert waited.splitlines() == anew.splitlines()


def test_two_hundred_leave_nothing(field: Field) -> None:
    here = len(os.listdir("/proc/self/fd"))
    steps = [step(f"echo {number}") for number in range(200)]
    for this, then in zip(steps, [*steps[1:], None], strict=True):
        done, said = field.run(this, then)
        assert (done.code, said) == (0, this.argv[-1].removeprefix("echo ") + "\n")
        field.supervisor.call("save", {})
    assert field.look() == field.quiet
    assert len(os.listdir("/proc/self/fd")) == here


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 7, 15, 300])
@pytest.mark.parametrize("whose", ["contractor", "supervisor"])
def test_killed_at_any_moment(account: Account, milliseconds: int, whose: str) -> None:
    path = account.home / "killed.yaml"
    shells = [{"shell": f"echo 0 > ready; sleep 3600 # {time.monotonic()}"}, {"shell": "echo never > never"}]
    body = {"contractor": 1, "name": "killed", "steps": [{"create-systree": {"artifact": account.tree}}, *shells]}
    path.write_text(json.dumps(body))
    running = account.start("build", str(path), "--plain")
    work = account.store / "work"
    _wait_for(lambda: list(work.glob("*/place/ws/ready")))
    (ready,) = work.glob("*/place/ws/ready")
    time.sleep(milliseconds / 1000)
    everyone = _descendants(running.pid)
    assert len(everyone) >= 4  # the supervisor, bwrap, its pid 1, the shell
    os.kill(running.pid if whose == "contractor" else _children(running.pid)[0], signal.SIGKILL)
    running.communicate(timeout=20)
    _wait_for(lambda: not [pid for pid in everyone if _lives(pid)])
    assert not (ready.parent / "never").exists()
    for name in account.leftovers():
        os.utime(work / name, (0, 0))
    assert account.run("gc").returncode == 0
    assert account.leftovers() == []


def test_ahead_in_a_real_build(account: Account) -> None:
    """Shell steps in one tree, and what comes between."""
    body = {
        "contractor": 1,
        "name": "real",
        "steps": [
            {"create-systree": {"artifact": account.tree}},
            {"shell": "sleep 0.4; python3 -c 'print(open(\"/proc/uptime\").read().split()[0])'"},
            {"shell": "python3 -c 'print(int(open(\"/proc/1/stat\").read().split()[21]) / 100)'; echo 1 > kept"},
            {"empty-workspace": None},
            {"shell": "test ! -e kept; echo 2 > file; sleep 0.1"},
            {"shell": "cat file; echo 3 >> file; exit $(($(cat file | head -1) - 2))"},
            {"shell": "sleep 0.1; exit 5"},
            {"shell": "echo never"},
        ],
    }
    path = account.home / "real.yaml"
    path.write_text(json.dumps(body))
    done = account.run("build", str(path), "--fresh", "--plain", "--verbose")
    text = done.stderr.decode()
    assert done.returncode == 1, text
    assert "never" not in text.partition("✗")[0].replace("echo never", "")
    numbers = [float(line) for line in text.splitlines() if line.replace(".", "", 1).isdigit() and "." in line]
    assert numbers[1] < numbers[0] - 0.2, text
    assert account.leftovers() == []


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
    return []


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    return found + [below for child in found for below in _descendants(child)]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _wait_for(what: Callable[[], object], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.001)
