"""Who builds: root, and an ordinary user (made with useradd if this machine has none), each with an own home."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

USER = "tester"
_PACKAGES = ("contractor", "msgspec", "yaml", "_yaml", "h11", "zstandard", "inotify_simple")


class Account(NamedTuple):
    """top: its folder of this test run; store: shared by its scenarios, with the debian-12 base in it."""

    kind: str  # root or user
    name: str
    uid: int
    top: Path
    command: tuple[str, ...]

    @property
    def store(self) -> Path:
        return self.top / "store"

    @property
    def environment(self) -> dict[str, str]:
        home = self.top / "home"
        of_tests = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # of another checkout
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {"HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8", **of_tests}

    def popen(self, argv: list[str], **more: object) -> subprocess.Popen[bytes]:
        """Start a program as this account, with nothing of the test's own environment."""
        if self.uid != os.geteuid():
            more |= {"user": self.uid, "group": pwd.getpwnam(self.name).pw_gid, "extra_groups": []}
        environment = {**self.environment, **more.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.Popen(argv, env=environment, start_new_session=True, **more)  # type: ignore[call-overload]

    def own(self, path: Path) -> None:
        """Give a file or folder and what is in it to the account."""
        for found in (path, *path.rglob("*")):
            self.own_one(found)

    def own_one(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.uid, pwd.getpwnam(self.name).pw_gid, follow_symlinks=False)


def kinds() -> list[str]:
    """Which accounts this test run can be: root can be both, a user only itself."""
    return ["root", "user"] if os.geteuid() == 0 else ["user"]


def make_account(kind: str, top: Path) -> Account:
    self = kind == "root" or os.geteuid() != 0
    entry = pwd.getpwuid(os.geteuid()) if self else _ordinary_user()
    folder = top / kind
    (folder / "home").mkdir(parents=True, exist_ok=True)
    account = Account(kind, entry.pw_name, entry.pw_uid, folder, _command())
    for made in (folder, folder / "home"):
        account.own_one(made)
    if not _works(account):
        account = account._replace(command=_copied_command(top))
        assert _works(account), f"{account.name} cannot run contractor"
    return account


def _ordinary_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", USER], check=True)
        return pwd.getpwnam(USER)


def _command() -> tuple[str, ...]:
    script = Path(sys.prefix, "bin", "contractor")
    start = "from contractor.cli.main import run; run()"
    return (str(script),) if script.exists() else (sys.executable, "-c", start)


def _works(account: Account) -> bool:
    try:
        process = account.popen([*account.command, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except PermissionError:
        return False
    return process.wait() == 0


def _copied_command(top: Path) -> tuple[str, ...]:
    """For a checkout in a folder that the user may not enter: what is installed, copied to where he may."""
    copy = top / "installed"
    if not copy.exists():
        for name in _PACKAGES:
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.submodule_search_locations:
                shutil.copytree(next(iter(spec.submodule_search_locations)), copy / name)
            elif spec is not None and spec.origin:  # a module that is one file
                shutil.copy(spec.origin, copy)
    start = f"import sys; sys.path.insert(0, {str(copy)!r}); from contractor.cli.main import run; run()"
    return ("/usr/bin/python3", "-c", start)
