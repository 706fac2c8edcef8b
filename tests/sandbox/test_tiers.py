"""Each capability taken away in turn: refused with the fix before the first step, or degraded and named."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Account

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="hiding programs and files takes root, in a mount namespace")


def _build(account: Account, *what: str, store: str = "") -> tuple[int, str]:
    path = account.spec("id -u > id; echo ran")
    options = ["--store", store] if store else []
    command = account.command("build", path, "--fresh", "--plain", *options)
    script = "mount --make-rprivate /; " + "; ".join(what or ("true",)) + '; exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", *command], capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.decode(errors="replace")


def _over(path: str, by: str = "/dev/null") -> str:
    return f"mount --bind {by} {path}"


def test_no_bwrap(account: Account) -> None:
    code, text = _build(account, _over("/usr/bin/bwrap"))
    assert code == 5, text
    assert "apt-get install bubblewrap" in text
    assert "the-step" not in text


def test_bwrap_too_old(account: Account, tmp_path: Path) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(0o755)
    code, text = _build(account, _over("/usr/bin/bwrap", str(old)))
    assert code == 5, text
    assert "0.4.1" in text
    assert "0.8 is needed" in text
    assert "apt-get install bubblewrap" in text
    code, text = _build(account)
    assert code == 0, text  # nothing of it is remembered


@pytest.mark.parametrize(("owner", "mode"), [(1000, 0o755), (0, 0o775), (0, 0o757)])
def test_bwrap_that_others_may_change(account: Account, tmp_path: Path, owner: int, mode: int) -> None:
    copy = tmp_path / "bwrap"
    shutil.copy("/usr/bin/bwrap", copy)
    os.chown(copy, owner, 0)
    os.chmod(copy, mode)
    code, text = _build(account, _over("/usr/bin/bwrap", str(copy)))
    assert code == 5, text
    assert "sudo chown root:root /usr/bin/bwrap; sudo chmod 755 /usr/bin/bwrap" in text


def test_no_newuidmap(accounts: dict[str, Account]) -> None:
    code, text = _build(accounts["user"], _over("/usr/bin/newuidmap"))
    assert code == 5, text
    assert "apt-get install uidmap" in text


def test_newuidmap_without_its_privilege(accounts: dict[str, Account], tmp_path: Path) -> None:
    copy = tmp_path / "newuidmap"
    shutil.copy("/usr/bin/newuidmap", copy)
    os.chmod(copy, 0o755)
    code, text = _build(accounts["user"], _over("/usr/bin/newuidmap", str(copy)))
    assert code == 5, text
    assert "newuidmap refused" in text
    assert "chmod u+s /usr/bin/newuidmap" in text


def test_no_subordinate_ids_is_degraded_and_named(accounts: dict[str, Account], tmp_path: Path) -> None:
    empty = tmp_path / "subuid"
    empty.write_text("")
    empty.chmod(0o644)
    account = accounts["user"]
    code, text = _build(account, _over("/etc/subuid", str(empty)), _over("/etc/subgid", str(empty)))
    assert code == 0, text
    assert "one-id" in text
    newest = max((account.store / "builds").iterdir(), key=lambda folder: folder.stat().st_mtime)
    assert "one-id" in json.dumps(json.loads((newest / "record.json").read_text()))


def test_no_user_namespaces(accounts: dict[str, Account]) -> None:
    """In a namespace that allows no more of them: what user.max_user_namespaces=0 is on a whole machine."""
    account = accounts["root"]
    command = account.command("build", account.spec("true"), "--fresh", "--plain")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _unshare_user()
        os.write(write, b"u")
        while b"4294967295" not in Path("/proc/self/uid_map").read_bytes():
            pass
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.dup2(write, 2)
        os.execvp(command[0], command)
    os.read(read, 1)
    for kind in ("gid", "uid"):
        Path(f"/proc/{pid}/{kind}_map").write_text("0 0 4294967295\n")
    os.close(write)
    with open(read, "rb") as file:
        text = file.read().decode(errors="replace")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5, text
    assert "sysctl -w user.max_user_namespaces" in text


def _unshare_user() -> None:
    assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0


def test_store_on_overlayfs(account: Account, tmp_path: Path) -> None:
    for name in ("l", "u", "w", "m"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    mount = f"mount -t overlay o -o lowerdir={tmp_path}/l,upperdir={tmp_path}/u,workdir={tmp_path}/w {tmp_path}/m"
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        folder.chmod(0o755)
    code, text = _build(account, mount, f"chmod 777 {tmp_path}/m", store=f"{tmp_path}/m/store")
    assert code in (2, 5), text  # 2: the tree's artifact is not in that store; 5 once the overlay is tried first


def test_doctor_names_the_store_that_cannot(account: Account, tmp_path: Path) -> None:
    for name in ("l", "u", "w", "m"):
        (tmp_path / name).mkdir()
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        folder.chmod(0o755)
    mount = f"mount -t overlay o -o lowerdir={tmp_path}/l,upperdir={tmp_path}/u,workdir={tmp_path}/w {tmp_path}/m"
    command = account.command("doctor", "--store", f"{tmp_path}/m/store")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f'{mount}; chmod 777 {tmp_path}/m; exec "$@"', "sh", *command],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    text = done.stdout.decode()
    assert done.returncode == 5, text + done.stderr.decode()
    assert "CONTRACTOR_STORE" in text
    assert "overlay" in text


def test_doctor_as_it_is(account: Account) -> None:
    done = account.run("doctor", "--json")
    body = json.loads(done.stdout)
    assert done.returncode == 0, body
    assert body["tier"] == {"root": "root-range", "user": "id-range"}[account.kind]
    assert {check["name"] for check in body["checks"]} >= {"kernel", "bubblewrap", "ids", "namespaces", "system trees"}
