"""Real sandboxes, as root and as an ordinary user, offline: a small tree is made of this machine's own programs.

Never skipped silently: without bubblewrap or a user to become, the tests fail and say so.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinary_user import ordinary_user

ROOT = Path(__file__).parents[2]
PROGRAM = "from contractor.cli.main import run; run()"
PROGRAMS = ("bash", "sh", "cat", "chmod", "head", "id", "ln", "ls", "mkdir", "mkfifo", "printf", "rm", "sleep", "true",
            "yes", "touch", "dd", "env", "setsid", "python3.11", "seq")  # fmt: skip
UNNEEDED = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "idlelib", "tkinter", "lib2to3", "dist-packages", "ensurepip", "pydoc_data",
    "config-*", "unittest", "distutils", "asyncio", "email", "multiprocessing", "xml*", "sqlite3", "turtledemo",
)  # fmt: skip


class Account:
    """One who calls contractor: `root` or `user`, with a store that has the small tree."""

    def __init__(self, kind: str, top: Path) -> None:
        self.kind = kind
        self.home = top / kind
        self.home.mkdir()
        self.store = self.home / "store"
        self.tree = ""
        self.prefix: list[str] = []
        self.name = pwd.getpwuid(os.getuid()).pw_name
        if kind == "user" and os.getuid() == 0:
            self.name = ordinary_user()
            entry = pwd.getpwnam(self.name)
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def command(self, *argv: str, env: dict[str, str] | None = None, wrap: tuple[str, ...] = ()) -> list[str]:
        values = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
        values.update({"CONTRACTOR_STORE": str(self.store), "SECRET_TOKEN": "s3cr3t-of-the-host", **(env or {})})
        pairs = [f"{name}={value}" for name, value in values.items()]
        return [*self.prefix, "env", "-i", *pairs, *wrap, sys.executable, "-c", PROGRAM, *argv]

    def run(self, *argv: str, timeout: float = 120.0, **more: object) -> subprocess.CompletedProcess[bytes]:
        command = self.command(*argv, **more)  # type: ignore[arg-type]
        return subprocess.run(command, capture_output=True, timeout=timeout, cwd=self.home, check=False)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.home, start_new_session=True
        )

    def spec(self, script: str, name: str = "t", **top: object) -> str:
        """Write a specification of one shell step; its path. JSON is YAML."""
        body: dict[str, object] = {"contractor": 1, "name": name, **top}
        if self.tree:
            body["steps"] = [{"create-systree": {"artifact": self.tree}}, {"shell": script, "name": "the-step"}]
        path = self.home / f"{name}.yaml"
        path.write_text(json.dumps(body))
        path.chmod(0o644)
        return str(path)

    def build(self, script: str, *options: str, **top: object) -> Done:
        """Build one shell step, with its events."""
        path = self.spec(script, **top)  # type: ignore[arg-type]
        done = self.run("build", path, "--fresh", "--plain", "--events", "-", *options)
        return Done(done.returncode, done.stderr.decode(errors="replace"), _events(done.stdout))

    def leftovers(self) -> list[str]:
        """What builds left in work/."""
        work = self.store / "work"
        return sorted(os.listdir(work)) if work.is_dir() else []


class Done:
    def __init__(self, code: int, text: str, events: list[dict[str, object]]) -> None:
        self.code = code
        self.text = text
        self.events = events

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.text[-3000:]}"


def _events(data: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]


def kinds() -> tuple[str, ...]:
    return ("root", "user") if os.getuid() == 0 else ("user",)


@pytest.fixture(scope="session")
def accounts() -> Iterator[dict[str, Account]]:
    assert shutil.which("bwrap"), "bubblewrap is not installed: sudo apt-get install bubblewrap"
    top = Path(tempfile.mkdtemp(prefix="contractor-sandbox-", dir="/var/tmp"))
    top.chmod(0o755)
    tree = make_tree(top / "tree")
    made = {}
    try:
        for kind in kinds():
            made[kind] = Account(kind, top)
            add_tree(made[kind], tree)
        yield made
    finally:
        for account in made.values():
            kill_left(account)
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "rm", "-rf", top], check=False, capture_output=True)
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(params=kinds())
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    return accounts[request.param]


def make_tree(tree: Path) -> Path:
    """A tree with a shell, some tools and Python, copied from this machine."""
    for name in ("usr/bin", "usr/lib", "etc", "tmp", "var/tmp", "proc", "dev", "sys", "run", "root"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to("usr/lib" if name.startswith("lib") else "usr/bin")
    for program in PROGRAMS:
        path = shutil.which(program, path="/usr/bin:/bin")
        assert path, f"{program} is not on this machine"
        shutil.copy2(path, tree / "usr/bin" / program)
        for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith("/"):
                shutil.copy2(word, tree / "usr/lib" / Path(word).name)
    (tree / "usr/bin/python3").symlink_to("python3.11")
    shutil.copytree("/usr/lib/python3.11", tree / "usr/lib/python3.11", ignore=UNNEEDED, symlinks=False)
    for library in ("libffi.so.8", "libnss_files.so.2", "libnss_dns.so.2"):
        for folder in Path("/usr/lib").glob(f"*-linux-gnu/{library}"):
            shutil.copy2(folder, tree / "usr/lib" / library)
    shutil.copytree("/usr/lib/locale/C.utf8", tree / "usr/lib/locale/C.utf8")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    subprocess.run(["chmod", "-R", "a+rX", tree], check=True)
    return tree


def add_tree(account: Account, tree: Path) -> None:
    spec = tree.parent / "tree.yaml"
    steps = [{"create-artifact": {"name": "tree"}}]
    body = {"contractor": 1, "name": "tree", "source": {"path": tree.name}, "steps": steps}
    spec.write_text(json.dumps(body))
    done = account.run("build", str(spec), "--plain", "--events", "-")
    assert done.returncode == 0, done.stderr.decode()
    for event in _events(done.stdout):
        artifact = event.get("artifact")
        if isinstance(artifact, dict):
            account.tree = artifact["digest"]
    assert account.tree, done.stdout.decode()


def processes(mark: str) -> list[int]:
    """The processes whose command line has a mark, zombies apart."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and int(pid) != os.getpid():
                found.append(int(pid))
        except OSError:
            continue
    return found


def kill_left(account: Account) -> None:
    for pid in processes(str(account.home)):
        os.kill(pid, signal.SIGKILL)
