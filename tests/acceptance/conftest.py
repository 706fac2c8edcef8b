"""Documents that run: each scenario of features/ drives the real command, as root and as an ordinary user.

A scenario runs for every account that this test run can be, unless its tags say for which (@root-only, @user-only) or
that it is about both at once (@both). What needs mounts has @root-only: they are made in a mount namespace of the
tests' own, so that nothing of them is seen or left outside.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, kinds, make_account
from world import World

from contractor.build.removal import removal

_STEPS = (
    "steps_given",
    "steps_files",
    "steps_machine",
    "steps_run",
    "steps_interrupt",
    "steps_then",
    "steps_secrets",
    "steps_examples",
    "steps_jobs",
    "steps_iuk",
    "steps_debug_retry",
    "steps_shell",
    "steps_lock",
    "steps_builder",
)
_BASE = "contractor: 1\nname: base\nsteps:\n  - create-systree: {base: debian-12}\n"
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 1 << 14, 1 << 18


def pytest_configure(config: pytest.Config) -> None:
    for name in _STEPS:
        if not config.pluginmanager.has_plugin(name):
            config.pluginmanager.import_plugin(name)
    config.addinivalue_line("markers", "root-only: as root alone")
    config.addinivalue_line("markers", "user-only: as an ordinary user alone")
    config.addinivalue_line("markers", "both: root and an ordinary user in one scenario")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test an account; no account that this test run can be means that pytest shows it as skipped."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "_pytest_bdd_example" not in metafunc.fixturenames or "both" in marks:
        return
    wanted = kinds()
    if "root-only" in marks:
        wanted = [kind for kind in wanted if kind == "root"]
    elif "user-only" in marks:
        wanted = ["user"]
    metafunc.fixturenames.append("account")
    metafunc.parametrize("account", wanted, indirect=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Scenarios of an account share its store, so they run one after another, beside those of the other account.

    What is of both accounts runs beside root's scenarios, documents beside the ordinary user's. By our own scheduler,
    because groups of pytest-xdist 3.8 are not seen by pytest 9.2: every worker would make every account's base.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByAccount(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "user" if "[user" in nodeid or "test_documents.py" in nodeid else "root"

    return ByAccount(config, log)


class Accounts(dict[str, Account]):
    """Each account, made when it is first asked for, with a store that has the base: by the command itself."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def __missing__(self, kind: str) -> Account:
        made = make_account(kind, self._top)
        world = World(made, "base")
        world.specification(_BASE)
        done = world.start().wait()
        assert done.code == 0, done
        self[kind] = made
        return made


@pytest.fixture(scope="session")
def accounts() -> Iterator[Accounts]:
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(_CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
        assert libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) == 0, os.strerror(ctypes.get_errno())
    kept = os.environ.get("ACCEPTANCE_STORES", "")  # a folder: used again the next time, while tests are being written
    part = os.environ.get("PYTEST_XDIST_WORKER", "")
    top = Path(kept, part) if kept else Path(tempfile.mkdtemp(prefix="contractor-acceptance-", dir="/var/tmp"))
    top.mkdir(exist_ok=True, parents=True)
    top.chmod(0o755)
    try:
        yield Accounts(top)
    finally:
        if not kept:
            _remove(top)


def _remove(top: Path) -> None:
    if os.geteuid() == 0:
        shutil.rmtree(top)
    else:  # the store has files of the user's subordinate ids
        with removal() as hands:
            assert hands.remove(str(top.parent), [top.name]) == []


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    return accounts[request.param]


@pytest.fixture
def world(account: Account, request: pytest.FixtureRequest) -> World:
    return World(account, request.node.originalname)
