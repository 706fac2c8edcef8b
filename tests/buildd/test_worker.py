"""Whole builds by a worker, in an image whose tools are our own scripts: aborts, kills, and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from target_kit import Account, image_of, kinds, small_tree
from worker_kit import Worker

MARK = f"4242.{os.getpid()}"  # a number of seconds that no other sleep has
# What the build types call. `git clone` is where a build hangs, with a child that ignores signals and one that left the
# session.
SCRIPTS = {
    "apt-get": "exit 0",
    "git": f"""case "$1" in
clone) echo cloning; (trap '' TERM HUP INT; setsid sleep {MARK}) & sleep {MARK} & trap '' TERM; sleep {MARK};;
esac""",
}
URL = "http://user:s3cret@127.0.0.1:1/team/project"


@pytest.fixture(scope="module")
def image(top: Path) -> Path:
    small_tree(top / "tree", SCRIPTS)
    return image_of(top / "tree", top / "image")


@pytest.fixture(scope="module")
def accounts(top: Path) -> dict[str, Account]:
    return {kind: Account(kind, top / kind) for kind in kinds()}


@pytest.fixture(params=kinds())
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    return accounts[request.param]


def _start(account: Account, image: Path, **arguments: Any) -> Worker:
    given = {"git_repository": URL, **arguments}
    return Worker(account.folder, "translation-templates", image, given, prefix=account.prefix)


def _sleepers() -> list[str]:
    """Processes of a build that hangs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if MARK.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2:-1]:
                found.append(pid)
        except OSError:
            continue
    return found


def _until(what: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def _hanging(account: Account, image: Path, **arguments: Any) -> Worker:
    worker = _start(account, image, **arguments)
    _until(lambda: len(_sleepers()) >= 3)
    return worker


def test_an_abort_ends_all_that_a_build_started(account: Account, image: Path) -> None:
    worker = _hanging(account, image)
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert done.status == "ABORTED", done
    assert time.monotonic() - began < 10
    assert done.steps[-3:] == ["REAP", "UMOUNT", "CLEANUP"]
    assert _sleepers() == []
    assert account.leftovers() == []
    assert "s3cret" not in done.log and "://127.0.0.1:1/team/project" in done.log


def test_two_signals_are_one_abort(accounts: dict[str, Account], image: Path) -> None:
    worker = _hanging(accounts["user"], image)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        worker.process.send_signal(number)
    done = worker.finish()
    assert (done.status, done.code) == ("ABORTED", 0), done
    assert accounts["user"].leftovers() == []


def test_nothing_outlives_a_worker_that_is_killed(account: Account, image: Path) -> None:
    worker = _hanging(account, image)
    worker.process.kill()
    done = worker.finish()
    assert done.ended == {}
    _until(lambda: not _sleepers())
    assert len(account.leftovers()) == 1
    again = _hanging(account, image)  # the next build removes what the killed one left
    assert len(account.leftovers()) == 1
    again.process.send_signal(signal.SIGTERM)
    assert again.finish().status == "ABORTED"
    assert account.leftovers() == []


def test_an_abort_while_an_image_is_unpacked(accounts: dict[str, Account], top: Path) -> None:
    account = accounts["user"]
    large = top / "large"
    (top / "big").mkdir()
    for name in ("usr/bin", "dev", "proc", "tmp", "run", *(f"d{i}" for i in range(200))):
        (top / "big" / name).mkdir(parents=True)
    for i in range(6000):
        (top / "big" / f"d{i % 200}" / f"f{i}").write_bytes(b"x" * 100)
    image_of(top / "big", large, compression="none")
    worker = _start(account, large)
    while worker.event().get("step") != "UNPACK":
        pass
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert done.status == "ABORTED", done
    assert account.leftovers() == []
    said = account.target(large, "say([t.unpacked, len(t.list('/d7'))])")
    assert said.values[0] == [True, 30], said  # the half of it was not found


def test_fast_cleanup_leaves_the_tree(accounts: dict[str, Account], image: Path) -> None:
    account = accounts["user"]
    worker = _hanging(account, image, fast_cleanup=True)
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert (done.status, done.steps[-1]) == ("ABORTED", "REAP")
    assert len(account.leftovers()) == 1
    assert _sleepers() == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"git_repository": "file:///etc"}, "PACKAGEFAIL", "none of http, https or git"),
        ({"git_repository": "ext::sh -c id"}, "PACKAGEFAIL", "none of http, https or git"),
        ({"git_repository": "", "branch": "lp:x"}, "CHROOTFAIL", "this builder has no Bazaar"),
        ({"trusted_keys": ["aGVsbG8="]}, "CHROOTFAIL", "trusted key 1 is no OpenPGP public key"),
    ],
)
def test_what_cannot_be_built(
    accounts: dict[str, Account], image: Path, arguments: dict[str, Any], status: str, words: str
) -> None:
    done = _start(next(iter(accounts.values())), image, **arguments).finish()
    assert done.status == status, done
    assert words in done.log


def test_an_image_that_is_none(accounts: dict[str, Account], top: Path) -> None:
    page = top / "page"
    page.write_text("<html>404</html>" * 100)
    page.chmod(0o644)
    done = _start(next(iter(accounts.values())), page).finish()
    assert done.status == "CHROOTFAIL", done
    assert "this is no tar archive" in done.log
    assert done.steps == ["INIT", "UNPACK", "REAP", "UMOUNT", "CLEANUP"]


def test_the_archives_replace_those_of_the_image(accounts: dict[str, Account], top: Path, image: Path) -> None:
    show = "echo; cat /etc/apt/sources.list /etc/apt/preferences.d/*; ls /etc/apt/sources.list.d; exit 0"
    small_tree(top / "showing", {"apt-get": show, "git": "exit 1"})
    (top / "showing/etc/apt/sources.list.d/other.sources").write_text("Types: deb\n")
    archives = ["deb http://127.0.0.1:1/debian bookworm main", "deb http://127.0.0.1:1/debian bookworm-backports main"]
    done = _start(
        next(iter(accounts.values())), image_of(top / "showing", top / "showing.tar"), archives=archives
    ).finish()  # fmt: skip
    assert done.status == "PACKAGEFAIL", done
    assert "\n".join(archives) in done.log
    assert "Pin: release a=*-backports" in done.log
    assert "other.sources" not in done.log
    assert done.steps[:5] == ["INIT", "UNPACK", "MOUNT", "SOURCES", "UPDATE"]


def _preparing(account: Account, image: Path, top: Path) -> Worker:
    """A worker in an installation's own builder-prep, which hangs: with a child, and one that left the session."""
    share = top / "share" / "bin"
    share.mkdir(parents=True, exist_ok=True)
    script = f"echo preparing http://u:s3cret@h/\nsleep {MARK} & setsid sleep {MARK} &\ntrap '' TERM; sleep {MARK}\n"
    (share / "builder-prep").write_text(f"#!/bin/sh\n{script}")
    (share / "builder-prep").chmod(0o755)
    worker = Worker(
        account.folder, "translation-templates", image, {"git_repository": URL}, prefix=account.prefix,
        share_path=str(share.parent),
    )  # fmt: skip
    _until(lambda: len(_sleepers()) >= 3)
    return worker


def test_an_abort_ends_builder_prep_at_once(account: Account, image: Path, top: Path) -> None:
    worker = _preparing(account, image, top)
    _until(lambda: "preparing" in worker.log)  # it is seen while it runs
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert done.status == "ABORTED", done
    assert time.monotonic() - began < 5
    assert _sleepers() == []
    assert "s3cret" not in done.log


def test_builder_prep_does_not_outlive_a_worker_that_is_killed(account: Account, image: Path, top: Path) -> None:
    worker = _preparing(account, image, top)
    worker.process.kill()
    assert worker.finish().ended == {}
    _until(lambda: not _sleepers(), 5)


def test_a_builder_prep_that_fails(accounts: dict[str, Account], image: Path, top: Path) -> None:
    share = top / "failing" / "bin"
    share.mkdir(parents=True)
    (share / "builder-prep").write_text("#!/bin/sh\necho no clock\nexit 3\n")
    (share / "builder-prep").chmod(0o755)
    account = accounts["user"]
    given = {"git_repository": URL}
    done = Worker(
        account.folder, "translation-templates", image, given, prefix=account.prefix, share_path=str(share.parent)
    ).finish()
    assert (done.status, done.steps[0]) == ("BUILDERFAIL", "INIT"), done
    assert "no clock\n" in done.log and "builder-prep failed with exit code 3" in done.log


def test_a_step_begins_within_a_third_of_a_second(accounts: dict[str, Account], image: Path) -> None:
    account = next(iter(accounts.values()))
    _start(account, image, git_repository="file:///etc").finish()
    best = 9.0
    for _ in range(5):
        began = time.monotonic()
        worker = _start(account, image, git_repository="file:///etc")
        while worker.event().get("step") != "TRANSLATION_TEMPLATES":
            pass
        best = min(best, time.monotonic() - began)
        worker.finish()
    assert best < 0.3
