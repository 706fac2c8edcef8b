"""States of a workspace: what comes back is what was there."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from statechain import ROOT, Chain, listing, opened

from contractor.core.errors import OutOfLimits
from contractor.store import states
from contractor.store.extents import ALIGN
from contractor.store.scan import settle
from contractor.store.states import EMPTY, Target
from contractor.store.states_format import Entry, Manifest, closing


@pytest.fixture
def chain(tmp_path):
    made = Chain(Path(tempfile.mkdtemp(dir=tmp_path)))
    yield made
    made.close()


def test_unchanged_is_tiny(chain):
    for n in range(200):
        (chain.work / f"f{n}").write_bytes(b"x" * 1000)
    settle()
    assert chain.save().entries == 201
    again = chain.save()
    assert (again.entries, again.removed) == (0, 0)
    assert again.size < 200


def test_renamed_directory_stores_no_content_again(chain):
    (chain.work / "old").mkdir()
    (chain.work / "old/big").write_bytes(b"x" * 500_000)
    os.link(chain.work / "old/big", chain.work / "name")
    settle()
    chain.save()
    (chain.work / "old").rename(chain.work / "new")
    assert chain.save().size < 1000
    got = chain.restore()
    assert listing(got) == chain.seen[-1]
    assert (got / "new/big").stat().st_ino == (got / "name").stat().st_ino


def test_swapped_directories_keep_links_to_what_stayed(chain):
    for name in "ab":
        (chain.work / name).mkdir()
        (chain.work / name / "x").write_text(name)
    os.link(chain.work / "a/x", chain.work / "y")
    settle()
    chain.save()
    (chain.work / "a").rename(chain.work / "t")
    (chain.work / "b").rename(chain.work / "a")
    (chain.work / "t").rename(chain.work / "b")
    chain.save()
    got = chain.restore()
    assert (got / "b/x").stat().st_ino == (got / "y").stat().st_ino
    assert (got / "a/x").stat().st_nlink == 1


def test_the_same_inode_number_in_two_states_is_two_inodes(chain):
    """After a restore all numbers are new: they may be those that other files had in an earlier state."""
    top = Entry(stat.S_IFDIR | 0o755, os.getuid(), os.getgid(), 0)
    file = Entry(stat.S_IFREG | 0o644, os.getuid(), os.getgid(), 0, group=5)
    manifests = [
        Manifest({b"": top, b"a": file, b"b": file}, {}, [], []),
        Manifest({b"x": file}, {b"c": b"b"}, [b"b"], []),
    ]
    for name, parent, manifest in zip(("s0", "s1"), (None, "s0"), manifests, strict=True):
        (chain.store / name).write_bytes(closing(name, parent, manifest, 0)[0])
        chain.names.append(name)
    got = chain.restore()
    assert sorted(os.listdir(got)) == ["a", "c", "x"]
    assert (got / "a").samefile(got / "c")
    assert not (got / "a").samefile(got / "x")


def test_save_after_restore_is_tiny(chain):
    for n in range(20):
        (chain.work / f"f{n}").write_bytes(b"x" * 1000)
    chain.save()
    to = Path(tempfile.mkdtemp(dir=chain.base))
    fd = opened(to)
    before = states.restore(fd, [chain.store / "s0"])
    _, info = states.save(fd, before, Target(chain.store_fd, "s1"), "s0")
    os.close(fd)
    assert (info.entries, info.removed) == (0, 0)


def test_chain_goes_on_after_restore(chain):
    """The inode numbers of a restored tree mean other files than the same numbers did before."""
    for n in range(20):
        (chain.work / f"f{n}").write_text(str(n))
        os.link(chain.work / f"f{n}", chain.work / f"l{n}")
    chain.save()
    got = chain.restore()
    os.close(chain.work_fd)
    chain.work, chain.work_fd = got, opened(got)
    chain.scan = states.scan(chain.work_fd)
    for n in range(20):
        os.link(got / f"f{n}", got / f"m{n}")
        (got / f"new{n}").write_text("n")
        os.link(got / f"new{n}", got / f"newer{n}")
    chain.save()
    assert listing(chain.restore()) == chain.seen[-1]


def test_same_tick_same_size_same_mtime_is_seen(chain):
    path = chain.work / "f"
    for n in range(30):
        path.write_text(f"{n:04}")
        os.utime(path, ns=(1, 1))
        chain.save()
    for n in range(30):
        assert (chain.restore(n + 1) / "f").read_text() == f"{n:04}"


def test_sparse_stays_sparse_and_big_extents_are_aligned(chain):
    with (chain.work / "f").open("wb") as f:
        f.write(b"a" * 10)
        f.seek(50 << 20)
        f.write(b"b" * (256 << 10))
        f.truncate(100 << 20)
    (chain.work / "all hole").touch()
    os.truncate(chain.work / "all hole", 1 << 40)
    assert states.save(chain.work_fd, EMPTY, Target(chain.store_fd, "s0"))[1].size < 1 << 20
    chain.names.append("s0")
    got = chain.restore(known=False)
    assert (got / "f").stat().st_blocks * 512 < 1 << 20
    assert (got / "all hole").stat().st_size == 1 << 40
    assert (got / "f").read_bytes() == (chain.work / "f").read_bytes()
    stored = (chain.store / "s0").read_bytes()
    assert stored.index(b"b" * 100_000) % ALIGN == 0


def test_copies_without_copy_file_range(chain, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (chain.work / "f").write_bytes(os.urandom(300_001))
    chain.save()
    assert listing(chain.restore()) == chain.seen[-1]


def test_sockets_fifos_setuid_and_root_directory(chain):
    where = os.getcwd()
    os.chdir(chain.work)  # a socket's path may have 108 bytes
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("sock")
    os.chdir(where)
    os.mkfifo(chain.work / "fifo", 0o640)
    os.link(chain.work / "fifo", chain.work / "fifo2")
    (chain.work / "su").touch()
    os.chmod(chain.work / "su", 0o6755)
    os.chmod(chain.work, 0o3711)
    os.utime(chain.work, ns=(5, 5))
    chain.save()
    got = chain.restore()
    assert listing(got) == chain.seen[-1]
    assert stat.S_ISSOCK((got / "sock").stat().st_mode)
    assert stat.S_IMODE((got / "su").stat().st_mode) == 0o6755
    assert (got.stat().st_mtime_ns, stat.S_IMODE(got.stat().st_mode)) == (5, 0o3711)


def test_attributes_of_overlayfs_are_dropped(chain):
    (chain.work / "d").mkdir()
    try:
        os.setxattr(chain.work / "d", "user.overlay.opaque", b"y")
        os.setxattr(chain.work / "d", "user.mine", b"y")
    except OSError:
        pytest.skip("no user attributes on this file system")
    chain.save()
    assert os.listxattr(chain.restore() / "d") == ["user.mine"]


@pytest.mark.skipif(not ROOT, reason="only root can make devices")
def test_devices_are_skipped_and_told(chain):
    (chain.work / "n").write_text("was a file")
    (chain.work / "d").mkdir()
    chain.save()
    (chain.work / "n").unlink()
    try:
        os.mknod(chain.work / "n", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(chain.work / "d/n", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this root may not make devices")
    assert chain.save().skipped == 2
    assert not (chain.restore() / "n").exists()
    (chain.work / "d").rename(chain.work / "e")
    settle()
    assert chain.save().skipped >= 1
    shutil.rmtree(chain.work / "e")
    chain.save()
    assert os.listdir(chain.restore()) == []


def nest(fd: int, depth: int, name: str) -> None:
    fd = os.dup(fd)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_paths_beyond_path_max(chain):
    nest(chain.work_fd, 600, "directory")
    (chain.work / "directory/side").write_text("x")
    before, _ = states.save(chain.work_fd, EMPTY, Target(chain.store_fd, "s0"))
    chain.names.append("s0")
    fd = opened(chain.restore(known=False))
    after = states.scan(fd)
    os.close(fd)
    assert any(path.endswith(b"/end") and len(path) > 5000 for path in after.entries)
    assert {p: s[:5] for p, s in after.entries.items()} == {p: s[:5] for p, s in before.entries.items()}
    nest(chain.work_fd, 600, "x" * 200)
    with pytest.raises(OutOfLimits, match="too deeply"):
        states.save(chain.work_fd, before, Target(chain.store_fd, "s1"), "s0")
    assert os.listdir(chain.store) == ["s0"]


def test_type_changes(chain):
    (chain.work / "a").mkdir()
    (chain.work / "a/b").write_text("x")
    (chain.work / "f").write_text("x")
    chain.save()
    shutil.rmtree(chain.work / "a")
    (chain.work / "a").write_text("now a file")
    (chain.work / "f").unlink()
    (chain.work / "f").mkdir()
    (chain.work / "f/g").symlink_to("/etc/passwd")
    chain.save()
    for count in (1, 2):
        assert listing(chain.restore(count)) == chain.seen[count - 1]
