"""Removing what a build left, whatever it is; measuring it."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from contractor.core.errors import Broken
from contractor.store.remove import remove_tree, usage

ROOT = os.geteuid() == 0


@pytest.fixture
def base(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_files_links_and_nothing(tmp_path, base):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/me").touch()
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to("keep")
    os.mkfifo(tmp_path / "p")
    for name in ("f", b"l", "p", "never was"):
        remove_tree(base, name)
    assert os.listdir(tmp_path) == ["keep"]
    assert os.listdir(tmp_path / "keep") == ["me"]


def test_links_inside_are_not_followed(tmp_path, base):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/me").touch()
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/up").symlink_to("..")
    (tmp_path / "t/d/keep").symlink_to(tmp_path / "keep")
    remove_tree(base, "t")
    assert os.listdir(tmp_path) == ["keep"]
    assert os.listdir(tmp_path / "keep") == ["me"]


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o200, 0o100, 0o400])
def test_modes_that_keep_the_owner_out(tmp_path, base, mode):
    deep = tmp_path / "t/a/b\nc"
    deep.mkdir(parents=True)
    (deep / os.fsdecode(b"\xff")).touch(mode=0)
    (tmp_path / "t/empty").mkdir()
    for path in (deep, tmp_path / "t/empty", tmp_path / "t/a", tmp_path / "t"):
        path.chmod(mode)
    remove_tree(base, "t")
    assert os.listdir(tmp_path) == []


def test_deeper_than_path_max_and_than_descriptors(tmp_path, base):
    fd = os.dup(base)
    for n in range(3000):
        os.mkdir("dd", dir_fd=fd)
        if n % 7 == 0:
            os.mkdir("side", dir_fd=fd)
            os.close(os.open("side/f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("dd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert usage(base, "dd")[1] == 3000 + 2 * 428  # the first side directory is beside the outermost "dd"
    remove_tree(base, "dd")
    assert os.listdir(tmp_path) == ["side"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_something_appears_meanwhile(tmp_path, base, monkeypatch):
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/f").touch()
    real, made = os.rmdir, []

    def late(name, *, dir_fd):
        if name == b"d" and len(made) == 1:
            (tmp_path / "t/d/late").touch()
        if name == b"d":
            made.append(name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", late)
    remove_tree(base, "t")
    assert len(made) == 3
    assert os.listdir(tmp_path) == []


def test_two_at_once(tmp_path, base):
    for d in range(30):
        (tmp_path / f"t/{d}/x").mkdir(parents=True)
        for n in range(20):
            (tmp_path / f"t/{d}/x/{n}").touch()
    errors = []

    def work():
        try:
            remove_tree(base, "t")
        except Broken as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == []


def test_what_stays_is_named_and_the_rest_removed(tmp_path, base, monkeypatch):
    (tmp_path / "t/d").mkdir(parents=True)
    for name in ("a", "held", "z"):
        (tmp_path / "t/d" / name).touch()
    real = os.unlink

    def unlink(name, *, dir_fd):
        if name == b"held":
            raise PermissionError(1, "Operation not permitted")
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(Broken, match="'t/d/held': Operation not permitted") as caught:
        remove_tree(base, "t")
    assert caught.value.hint
    assert os.listdir(tmp_path / "t/d") == ["held"]


@pytest.mark.skipif(not ROOT, reason="only root mounts and gives files away")
def test_mount_points_are_not_crossed(tmp_path, base):
    import subprocess

    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/me").touch()
    (tmp_path / "t/m").mkdir(parents=True)
    (tmp_path / "t/f").touch()
    os.chown(tmp_path / "t/f", 12345, 12345)
    if subprocess.run(["mount", "--bind", tmp_path / "keep", tmp_path / "t/m"], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        with pytest.raises(Broken, match="'t/m': Device or resource busy"):
            remove_tree(base, "t")
        assert os.listdir(tmp_path / "keep") == ["me"]
        assert os.listdir(tmp_path / "t") == ["m"]
    finally:
        subprocess.run(["umount", tmp_path / "t/m"], check=True)
    remove_tree(base, "t")


def test_usage_counts_blocks_once(tmp_path, base):
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "t/d/a", tmp_path / "t/b")
    (tmp_path / "t/l").symlink_to("/")
    with (tmp_path / "t/sparse").open("wb") as f:
        f.truncate(1 << 40)
    paths = [tmp_path / "t", *(tmp_path / "t").rglob("*")]
    blocks = {os.lstat(p).st_ino: os.lstat(p).st_blocks * 512 for p in paths}
    assert usage(base, "t") == (sum(blocks.values()), 5)
    assert usage(base, "t/d/a")[1] == 1
    assert usage(base, "missing") == (0, 0)


def test_usage_changes_nothing_and_tolerates_changes(tmp_path, base):
    for d in range(20):
        (tmp_path / f"t/{d}").mkdir(parents=True)
    (tmp_path / "t/0").chmod(0)
    stop = threading.Event()
    wrong = []

    def churn():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                (tmp_path / f"t/{n % 19 + 1}").rename(tmp_path / "t/moved")
                (tmp_path / "t/moved/f").touch()
                (tmp_path / "t/moved/f").unlink()
                (tmp_path / "t/moved").rename(tmp_path / f"t/{n % 19 + 1}")
            except OSError as error:
                wrong.append(error)
                return

    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(100):
        assert usage(base, "t")[1] > 10
    stop.set()
    thread.join()
    assert wrong == []
    assert stat.S_IMODE((tmp_path / "t/0").stat().st_mode) == 0
