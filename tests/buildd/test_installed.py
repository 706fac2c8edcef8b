"""An installation's own in-target: a script that unpacks with tar, and notes what it was given."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from target_kit import Account, image_of, kinds, member, small_tree
from test_worker import MARK, _sleepers, _until
from worker_kit import Worker

URL = "https://git.example.org/x"
OPTIONS = ["--backend=chroot", "--series=bookworm", "--arch=amd64", "--constraint=gpu", "TEST-1"]
ARCHIVES = ["deb http://127.0.0.1:1/debian bookworm main", "deb http://127.0.0.1:1/debian bookworm-updates main"]
# The build's own step, in the target: git clones an empty tree, and tells what in-target left.
GIT = f"""case "$*" in
clone*) mkdir -p /home/buildd/source-tree;;
*rev-parse*) echo {"5" * 40};;
*) cat /from-in-target; echo "in mnt: $(ls /mnt).";;
esac"""
TOOLS = {"apt-get": "exit 0", "find": "exit 0", "git": GIT}
# `fail` and `hang` beside the script name operations.
SCRIPT = f"""#!/bin/sh
here=${{0%/*}}/..; operation=$1
{{ for word; do printf '%s\\n' "$word"; done; echo; }} >>$here/notes
echo "HOME=$HOME PATH=$PATH" >>$here/surroundings; env >>$here/environment
echo "working on $operation http://user:s3cret@host/"
tree=$HOME/build-TEST-1
case "$operation" in
unpack-chroot) for image; do :; done; tar -C $tree --no-same-owner -xf $image --exclude '*/dev/mem' || exit 9;;
mount-chroot) mkdir $tree/chroot-autobuild/mnt
    [ "$(id -u)" != 0 ] || mount --bind $here/bin $tree/chroot-autobuild/mnt
    echo 'seen by the build' >$tree/chroot-autobuild/from-in-target;;
add-trusted-keys) cat >$here/keys;;
umount-chroot) [ "$(id -u)" != 0 ] || umount $tree/chroot-autobuild/mnt || :;;
remove-build) rm -rf $tree;;
esac
case " $(cat $here/hang 2>/dev/null) " in *" $operation "*)
    sleep {MARK} & setsid sleep {MARK} & trap '' TERM; sleep {MARK};; esac
case " $(cat $here/fail 2>/dev/null) " in *" $operation "*) exit 3;; esac
exit 0
"""


@pytest.fixture(scope="module")
def image(top: Path) -> Path:
    small_tree(top / "tree", TOOLS)
    return image_of(top / "tree", top / "image")


class Installation:
    """An installation with an in-target, of an account's own."""

    def __init__(self, account: Account, folder: Path) -> None:
        self.account = account
        self.share, self.home = folder / "share", folder / "home"
        (self.share / "bin").mkdir(parents=True)
        self.home.mkdir()
        program = self.share / "bin/in-target"
        program.write_text(SCRIPT)
        program.chmod(0o755)
        if account.prefix:
            subprocess.run(["chown", "-R", "--reference", account.folder, folder], check=True)

    def start(self, image: Path, tag: str = "translation-templates", **arguments: Any) -> Worker:
        given = {"git_repository": URL, "builder_constraints": ["gpu"], **arguments}
        prefix = self.account.prefix
        more = {"share_path": str(self.share), "home": str(self.home), "abort_timeout": 12.0}
        return Worker(self.account.folder, tag, image, given, prefix=prefix, **more)

    @property
    def calls(self) -> list[list[str]]:
        text = (self.share / "notes").read_text() if (self.share / "notes").exists() else ""
        return [call.splitlines() for call in text.split("\n\n") if call]

    @property
    def operations(self) -> list[str]:
        return [call[0] for call in self.calls]

    def require_clean(self) -> None:
        assert os.listdir(self.home) == []
        assert self.account.leftovers() == []
        assert _sleepers() == []
        assert str(self.home) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture(params=kinds())
def installation(request: pytest.FixtureRequest, top: Path) -> Installation:
    folder = top / f"{request.param}-{os.urandom(4).hex()}"
    folder.mkdir()
    return Installation(Account(request.param, folder / "account"), folder)


CLEANING = ["scan-for-processes", "umount-chroot", "remove-build"]


def test_a_whole_build(installation: Installation, image: Path) -> None:
    keys = [base64.b64encode(name).decode() for name in (b"one key", b"another")]
    done = installation.start(image, archives=ARCHIVES, trusted_keys=keys).finish()
    assert done.status == "OK", done
    assert installation.calls == [
        ["unpack-chroot", *OPTIONS, "--image-type", "chroot", str(image)],
        ["mount-chroot", *OPTIONS],
        ["override-sources-list", *OPTIONS, *ARCHIVES],
        ["add-trusted-keys", *OPTIONS],
        ["update-debian-chroot", *OPTIONS],
        *([name, *OPTIONS] for name in CLEANING),
    ]
    assert (installation.share / "keys").read_text() == "".join(f"{key}\n" for key in keys)
    assert "seen by the build" in done.log and "in mnt: .\n" in done.log
    assert "working on update-debian-chroot" in done.log and "s3cret" not in done.log
    names = {line.partition("=")[0] for line in (installation.share / "environment").read_text().splitlines()}
    assert names <= {"HOME", "PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"}
    installation.require_clean()


@pytest.mark.parametrize("operation", ["unpack-chroot", "mount-chroot", "update-debian-chroot", *CLEANING])
def test_an_operation_that_fails(installation: Installation, image: Path, operation: str) -> None:
    (installation.share / "fail").write_text(operation)
    done = installation.start(image).finish()
    before = operation not in CLEANING
    expected = "CHROOTFAIL" if before else "OK" if operation == "scan-for-processes" else "BUILDERFAIL"
    assert done.status == expected, done
    assert f"in-target {operation} failed with exit code 3" in done.log
    assert ("TRANSLATION_TEMPLATES" in done.steps) is not before
    assert installation.operations[-3:] == CLEANING
    installation.require_clean()


def test_an_abort_while_it_unpacks(installation: Installation, image: Path) -> None:
    (installation.share / "hang").write_text("unpack-chroot")
    worker = installation.start(image)
    _until(lambda: len(_sleepers()) >= 3 and "working on unpack-chroot" in worker.log)
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert done.status == "ABORTED", done
    assert time.monotonic() - began < 5
    assert installation.operations == ["unpack-chroot", *CLEANING]
    installation.require_clean()


def test_what_cleans_up_after_an_abort_has_little_time(installation: Installation, image: Path) -> None:
    (installation.share / "hang").write_text("unpack-chroot scan-for-processes")
    worker = installation.start(image)
    _until(lambda: len(_sleepers()) >= 3)
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    done = worker.finish()
    assert done.status == "ABORTED", done
    assert 2 <= time.monotonic() - began < 12
    assert "in-target did not end in time" in done.log
    installation.require_clean()


def test_a_worker_that_is_killed_and_the_build_again(installation: Installation, image: Path) -> None:
    (installation.share / "hang").write_text("mount-chroot")
    worker = installation.start(image)
    _until(lambda: len(_sleepers()) >= 3)
    worker.process.kill()
    assert worker.finish().ended == {}
    _until(lambda: not _sleepers(), 5)
    assert os.listdir(installation.home) == ["build-TEST-1"]
    (installation.share / "hang").unlink()
    done = installation.start(image).finish()
    assert done.status == "OK" and "it is removed" in done.log, done
    installation.require_clean()


def test_fast_cleanup_removes_nothing(installation: Installation, image: Path) -> None:
    done = installation.start(image, fast_cleanup=True).finish()
    assert done.status == "OK" and installation.operations[-1] == "scan-for-processes", done
    subprocess.run(["umount", installation.home / "build-TEST-1/chroot-autobuild/mnt"], check=False)


def test_a_password_of_an_archive_is_in_no_argument(installation: Installation, image: Path) -> None:
    done = installation.start(image, archives=["deb http://user:s3cret@127.0.0.1:1/debian bookworm main"]).finish()
    assert done.status == "OK", done
    assert installation.operations == ["unpack-chroot", "mount-chroot", *CLEANING]
    assert "s3cret" not in (installation.share / "notes").read_text() + done.log
    assert "An archive has a password" in done.log
    installation.require_clean()


def test_lxd_is_not_its(installation: Installation, image: Path) -> None:
    done = installation.start(image, image_type="lxd").finish()
    assert done.status == "OK" and installation.calls == [], done
    assert "in-target is not used" in done.log


def _hostile(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for item in members:
            archive.addfile(item, io.BytesIO(b""))
    path.chmod(0o644)
    return path


def _link(name: str, to: str) -> tarfile.TarInfo:
    return member(name, type=tarfile.SYMTYPE, linkname=to)


def test_links_are_no_way_out(installation: Installation, top: Path) -> None:
    folder = member("chroot-autobuild/dev", type=tarfile.DIRTYPE, mode=0o755)
    image = _hostile(top / "proc-is-a-link", folder, _link("chroot-autobuild/proc", "/etc"))
    done = installation.start(image).finish()
    assert done.status == "CHROOTFAIL" and "the system tree has no directory /proc" in done.log, done
    installation.require_clean()


def test_a_tree_that_is_a_link(installation: Installation, top: Path) -> None:
    done = installation.start(_hostile(top / "tree-is-a-link", _link("chroot-autobuild", "/"))).finish()
    assert done.status == "CHROOTFAIL", done
    assert f"no directory {installation.home}/build-TEST-1/chroot-autobuild" in done.log
    installation.require_clean()


def test_no_tree(installation: Installation, top: Path) -> None:
    done = installation.start(_hostile(top / "no-tree", member("rootfs"))).finish()
    assert done.status == "CHROOTFAIL", done
    assert f"no directory {installation.home}/build-TEST-1/chroot-autobuild" in done.log
    assert installation.operations == ["unpack-chroot", *CLEANING]
    installation.require_clean()


def test_a_tree_that_cannot_be_read(top: Path, image: Path) -> None:
    folder = top / "unreadable"
    folder.mkdir()
    installation = Installation(Account("user", folder / "account"), folder)
    program = installation.share / "bin/in-target"
    program.write_text(SCRIPT.replace("*/dev/mem' ", "*/dev/mem' && chmod 0 $tree/chroot-autobuild/etc/passwd "))
    done = installation.start(image).finish()
    assert done.status == "CHROOTFAIL", done
    assert "cannot read 'etc/passwd'" in done.log and "hint: run the daemon as root" in done.log
    installation.require_clean()
