"""What steps with network fetched: a name means verified content, and gc knows what needs it."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from gckit import add_build, age, key_of, make_result, put, run_gc

from contractor.core.errors import Broken
from contractor.core.fetch import Fetch
from contractor.store.captured import Captured
from contractor.store.layout import Store
from contractor.store.lock_roots import remember, roots
from contractor.store.results import Results


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep(captured: Captured, data: bytes) -> str:
    writer = captured.writer()
    writer.write(data)
    writer.commit(sha(data))
    return sha(data)


@pytest.fixture
def captured(tmp_path) -> Captured:
    return Captured(str(tmp_path / "captured"))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(3 << 20)])
def test_what_was_kept_comes_back(captured, data):
    digest = keep(captured, data)
    with captured.open(digest) as body:
        assert body.read() == data
    assert os.stat(captured.path(digest)).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"half", b"h" * (1 << 20)], ids=len)
def test_what_was_dropped_or_never_there_does_not(captured, tmp_path, data):
    writer = captured.writer()
    writer.write(data)
    assert captured.open(sha(data)) is None
    writer.drop()
    assert captured.open(sha(data)) is None
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("damage", [b"", b"x" * 100, b"Y"])
def test_a_damaged_body_is_as_none(captured, damage):
    digest = keep(captured, b"x" * 50)
    Path(captured.path(digest)).write_bytes(damage)
    assert captured.open(digest) is None


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "A" * 64, "a" * 63])
def test_no_other_name_becomes_a_path(captured, name):
    with pytest.raises(Broken, match="not a digest"):
        captured.path(name)


def test_several_may_keep_the_same_at_once(captured):
    data = os.urandom(1 << 20)
    threads = [threading.Thread(target=keep, args=(captured, data)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with captured.open(sha(data)) as body:
        assert body.read() == data


@pytest.mark.parametrize("size", [0, 10, 256 << 10, (256 << 10) + 1, 1 << 20])
@pytest.mark.parametrize("step", [100_000, 1 << 20])
def test_a_body_is_the_same_whatever_pieces_it_came_in(captured, tmp_path, size, step):
    data, reused = os.urandom(size), bytearray(step)
    writer = captured.writer()
    for start in range(0, size, step):
        piece = data[start : start + step]
        reused[: len(piece)] = piece
        writer.write(memoryview(reused)[: len(piece)])  # whose memory has something else in it soon
    assert writer.commit(sha(data))
    with captured.open(sha(data)) as body:
        assert body.read() == data
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [sha(data)]


def test_a_body_that_is_there_is_not_written_again_unless_it_is_damaged(captured):
    digest = keep(captured, b"x" * 50)
    path = Path(captured.path(digest))
    age(path)
    before = path.stat()
    keep(captured, b"x" * 50)
    assert (path.stat().st_ino, path.stat().st_mtime > before.st_mtime) == (before.st_ino, True)
    path.write_bytes(b"")  # as a power cut leaves it
    keep(captured, b"x" * 50)
    assert path.read_bytes() == b"x" * 50


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_full_disk_is_told(captured, monkeypatch, size):
    def full(path: str, *rest) -> int:
        return real("/dev/full", os.O_WRONLY) if "/tmp/" in path else real(path, *rest)

    real = os.open
    writer = captured.writer()
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(Broken, match="No space left") as caught:
        writer.write(b"x" * size)
        writer.commit(sha(b"x" * size))
    assert "gc" in caught.value.hint
    writer.drop()


# --- gc ---


def captured_of(store: Store, text: str) -> str:
    """A body in the store that is old enough to go; its digest."""
    digest = keep(store.captured, text.encode())
    age(Path(store.captured.path(digest)))
    return digest


def result_with(store: Store, name: str, *digests: str) -> str:
    key = key_of(name)
    fetches = tuple(Fetch("GET", f"http://x/{d}", "allowed", 200, 1, d, kept=True) for d in digests)
    Results(store, "x").add(make_result(key, fetches=fetches))
    return key


def test_what_a_result_was_made_of_stays_with_it(store):
    needed, lost = captured_of(store, "needed"), captured_of(store, "lost")
    result_with(store, "apt", needed)
    report = run_gc(store)
    assert [(item.path, item.why) for item in report.removed] == [(f"captured/{lost[:2]}/{lost}", "nothing names it")]
    assert report.account.kinds["captured"].count == 1
    assert run_gc(store, size=0).results == 1
    assert not os.path.exists(store.captured.path(needed))


def test_a_young_body_may_be_about_to_be_named(store):
    digest = keep(store.captured, b"just now")
    assert run_gc(store).removed == ()
    assert os.path.exists(store.captured.path(digest))


def test_a_blob_that_a_result_names_beside_its_fetches_stays(store):
    name = key_of("archive of a commit")
    blob = put(store, f"blobs/sha256/{name[:2]}/{name}.zst")
    Results(store, "x").add(make_result(key_of("source"), blobs=(name,)))
    assert run_gc(store).removed == ()
    assert run_gc(store, size=0).results == 1
    assert not blob.exists()


def test_what_a_crash_left_goes_when_it_is_old(store):
    for path, old in (("captured/tmp/abc", True), ("captured/tmp/young", False), ("git/.new", True)):
        put(store, path, old=old)
    assert {item.path for item in run_gc(store).removed} == {"captured/tmp/abc", "git/.new"}


def test_a_commit_whose_archive_is_gone_goes(store):
    name = key_of("archive")
    put(store, f"blobs/sha256/{name[:2]}/{name}.zst", old=False)
    for commit, text in (("a" * 40, name), ("b" * 40, key_of("gone")), ("c" * 40, "no digest")):
        put(store, f"git/{commit}", data=text.encode())
    gone = {item.path: item.why for item in run_gc(store).removed}
    assert gone == {f"git/{letter * 40}": "its archive is gone" for letter in "bc"}


def test_what_a_lock_names_stays_as_long_as_the_lock_is_there(store, tmp_path):
    digest = captured_of(store, "locked")
    lock = tmp_path / "contractor.lock"
    lock.write_text("{}")
    remember(store, str(lock), [digest])
    report = run_gc(store, size=0)
    assert report.removed == ()
    assert report.account.held["locked"] > 0
    assert report.account.rows[-1].why[-1] == f"locked by {lock}"
    lock.unlink()
    gone = {item.path for item in run_gc(store).removed}
    assert {f"captured/{digest[:2]}/{digest}"} <= gone
    assert roots(store) == []


def test_a_root_that_cannot_be_read_holds_nothing(store):
    put(store, "locked/abc.json", data=b"{")
    (root,) = roots(store)
    assert not root.here and root.digests == frozenset()
    assert [item.why for item in run_gc(store).removed] == ["its lock is gone"]


def test_builds_are_told_what_they_hold(store):
    digest = captured_of(store, "x" * 100_000)
    key = result_with(store, "apt", digest)
    add_build(store, "b", 1, "succeeded", [{"key": key, "outcome": "succeeded"}])
    row = next(row for row in run_gc(store).account.rows if row.build)
    assert row.size >= 100_000
