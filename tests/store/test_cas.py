"""Blobs: a name means verified content; nothing unfinished is findable."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from contractor.core.errors import Broken, Rejected
from contractor.store.cas import Blobs, Encoding


def inflate(stream: BinaryIO) -> Iterator[bytes]:
    yield zlib.decompress(stream.read())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "a/blobs"


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_round_trip(root):
    blobs = Blobs(root)
    data = os.urandom(3 << 20)
    with blobs.writer() as blob:
        assert blob.write(data[:10]) == 10
        blob.write(bytearray(data[10:20]))
        blob.write(memoryview(data)[20:])
        digest, size = blob.commit()
    assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert blobs.has(digest)
    assert blobs.path(digest) == root / "sha256" / digest[:2] / digest
    with blobs.open(digest) as stream:
        assert stream.read() == data
    blobs.verify(digest)
    assert list(blobs.digests()) == [digest]
    blobs.remove(digest)
    blobs.remove(digest)
    assert not blobs.has(digest)
    assert files(root) == []


def test_empty_store_and_empty_blob(root):
    blobs = Blobs(root)
    assert list(blobs.digests()) == []
    assert not root.exists()
    digest = blobs.add_bytes(b"")
    assert digest == hashlib.sha256(b"").hexdigest()
    assert blobs.add_bytes(b"") == digest


def test_modes(root):
    old = os.umask(0)
    try:
        digest = Blobs(root).add_bytes(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(Blobs(root).path(digest).stat().st_mode) == 0o600
    for path in (root, root / "tmp", root / "sha256", root / "sha256" / digest[:2]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_wrong_digest_is_rejected(root):
    blobs = Blobs(root)
    with pytest.raises(Rejected, match="has the digest"), blobs.writer() as blob:
        blob.write(b"an error page")
        blob.commit("0" * 64)
    assert files(root) == []
    with blobs.writer() as blob:
        blob.write(b"good")
        blob.commit(hashlib.sha256(b"good").hexdigest())


def test_exception_or_no_commit_leaves_nothing(root):
    blobs = Blobs(root)
    with pytest.raises(KeyError), blobs.writer() as blob:
        blob.write(b"half")
        assert len(files(root)) == 1
        assert list(blobs.digests()) == []
        raise KeyError
    with blobs.writer() as blob:
        blob.write(b"half")
    assert files(root) == []


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_full_disk(root, monkeypatch, call):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(Broken, match="No space left") as caught:
        Blobs(root).add_bytes(b"x")
    assert "contractor gc" in caught.value.hint
    monkeypatch.undo()
    assert files(root) == []


def test_damaged_is_moved_aside(root):
    blobs = Blobs(root)
    digest = blobs.add_bytes(b"content")
    blobs.path(digest).write_bytes(b"c0ntent")
    with pytest.raises(Broken, match=f"{digest} is damaged"):
        blobs.verify(digest)
    assert not blobs.has(digest)
    assert list(blobs.digests()) == []
    assert [name.startswith(f"damaged/{digest}.") for name in files(root)] == [True]
    with pytest.raises(Broken, match="not in the store"):
        blobs.verify(digest)
    assert blobs.add_bytes(b"content") == digest
    blobs.verify(digest)


def test_writing_again_heals(root):
    blobs = Blobs(root)
    digest = blobs.add_bytes(b"content")
    blobs.path(digest).write_bytes(b"c0ntent")
    blobs.add_bytes(b"content")
    blobs.verify(digest)


def test_encoded_blobs(root):
    plain, encoded = Blobs(root), Blobs(root, Encoding(".z", inflate))
    digest = hashlib.sha256(b"artifact").hexdigest()
    stored = zlib.compress(b"artifact")
    with encoded.writer() as blob:
        blob.write(stored)
        assert blob.commit(name=digest) == (digest, len(stored))
    assert encoded.path(digest) == root / "sha256" / digest[:2] / f"{digest}.z"
    assert (list(encoded.digests()), list(plain.digests())) == ([digest], [])
    assert not plain.has(digest)
    encoded.verify(digest)
    for damage in (zlib.compress(b"another"), b"garbage", b""):
        encoded.add_bytes(damage, digest)
        with pytest.raises(Broken, match="is damaged"):
            encoded.verify(digest)
        assert not encoded.has(digest)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 64 + "/x"])
def test_names_that_are_no_digests(root, name):
    blobs = Blobs(root)
    for act in (blobs.path, blobs.has, blobs.open, blobs.verify, blobs.remove):
        with pytest.raises(Rejected, match="not a sha256 digest"):
            act(name)
    if name:
        with pytest.raises(Rejected):
            blobs.add_bytes(b"x", name)
        assert files(root) == []


def test_foreign_names_are_not_listed(root):
    blobs = Blobs(root)
    digest = blobs.add_bytes(b"x")
    (root / "sha256" / digest[:2] / "README").touch()
    assert list(blobs.digests()) == [digest]
