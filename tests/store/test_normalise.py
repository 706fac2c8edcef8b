"""A tree that was packed and normalised is the tree that its archive unpacks to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contractor.store.normalise import normalise
from contractor.store.pack import PackOptions, pack
from contractor.store.unpack import UnpackOptions, unpack

EPOCH = 1_600_000_000


def make_tree(root: Path) -> None:
    (root / "usr/bin").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o700)
    (root / "usr/bin/new").write_bytes(b"later than the epoch")
    (root / "usr/bin/old").write_bytes(b"before it, with a part of a second")
    os.utime(root / "usr/bin/old", ns=(1, 1_234_567_890_123_456_789))
    os.link(root / "usr/bin/old", root / "usr/linked")
    os.symlink("usr/bin/new", root / "link")
    os.mkfifo(root / "fifo")
    os.chmod(root / "usr/bin/new", 0o4755)
    os.chmod(root / "usr", 0o555)


def described(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        names = tuple(os.listxattr(path, follow_symlinks=False))
        found[str(path.relative_to(root))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink, content, names,
        )  # fmt: skip
    return found


def test_is_what_unpacking_makes(tmp_path: Path) -> None:
    packed, unpacked = tmp_path / "packed", tmp_path / "unpacked"
    packed.mkdir()
    unpacked.mkdir()
    make_tree(packed)
    archive = bytearray()
    root = os.open(packed, os.O_RDONLY)
    pack(root, None, PackOptions(mtime_limit=EPOCH, owners=True), archive.extend)
    view = memoryview(bytes(archive))
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        data = bytes(view[position : position + size])
        position += len(data)
        return data

    target = os.open(unpacked, os.O_RDONLY)
    try:
        unpack(read, target, UnpackOptions(max_bytes=1 << 20, max_files=100, links="any", tree=True))
        assert described(packed) != described(unpacked)
        normalise(root, EPOCH)
    finally:
        os.close(root)
        os.close(target)
    assert described(packed) == described(unpacked)


def test_takes_orders_to_overlayfs_away(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    try:
        os.setxattr(file, "user.overlay.opaque", b"y")
        os.setxattr(file, "user.kept", b"1")
    except OSError:
        pytest.skip("this file system has no user attributes")
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        normalise(root, EPOCH)
    finally:
        os.close(root)
    assert os.listxattr(file) == ["user.kept"]
