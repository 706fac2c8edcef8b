"""Damaged, missing, interrupted and half-written states: told by name, before anything is written."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from statechain import ROOT, Chain, listing, opened

from contractor.core.errors import Broken
from contractor.store import states
from contractor.store.states import EMPTY, Target
from contractor.store.states_format import Entry, Manifest, closing


@pytest.fixture
def chain(tmp_path):
    made = Chain(Path(tempfile.mkdtemp(dir=tmp_path)))
    yield made
    made.close()


def three(chain: Chain) -> None:
    for n in range(3):
        (chain.work / f"f{n}").write_bytes(b"content" * 500)
        chain.save()


def refused(chain: Chain, states_: list[Path], match: str) -> Broken:
    to = Path(tempfile.mkdtemp(dir=chain.base))
    fd = opened(to)
    with pytest.raises(Broken, match=match) as caught:
        states.restore(fd, states_)
    os.close(fd)
    assert os.listdir(to) == []
    return caught.value


def test_every_truncation_is_found(chain):
    three(chain)
    chain_ = [chain.store / n for n in chain.names]
    whole = chain_[1].read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        chain_[1].write_bytes(whole[:length])
        assert refused(chain, chain_, "s1").hint
        with pytest.raises(Broken, match="s1"):
            states.info(chain_[1])


def test_every_flipped_byte_of_the_metadata_is_found(chain):
    three(chain)
    chain_ = [chain.store / n for n in chain.names]
    whole = chain_[1].read_bytes()
    start = whole.rindex(b"content") + 7
    for at in range(start, len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 0x55
        chain_[1].write_bytes(broken)
        refused(chain, chain_, "s1")


def test_missing_and_wrong_order(chain):
    three(chain)
    a, b, c = [chain.store / n for n in chain.names]
    refused(chain, [a, c], "does not follow")
    refused(chain, [b, c], "does not follow")
    refused(chain, [c, b, a], "does not follow")
    refused(chain, [], "no root")
    b.unlink()
    refused(chain, [a, b, c], "s1 is missing")


def test_only_into_an_empty_directory(chain):
    three(chain)
    with pytest.raises(Broken, match="empty"):
        states.restore(chain.work_fd, [chain.store / "s0"])


def test_chain_of_descriptors(chain):
    three(chain)
    fds = [os.open(chain.store / n, os.O_RDONLY) for n in chain.names]
    to = Path(tempfile.mkdtemp(dir=chain.base))
    at = opened(to)
    states.restore(at, fds)
    assert listing(to) == chain.seen[-1]
    for fd in [*fds, at]:
        os.close(fd)


def test_names_that_lead_outside_are_refused(chain):
    for bad in (b"../x", b"/x", b"a/../../x", b".", b"x\0y", b"missing/x", b"f/x"):
        top, file = Entry(stat.S_IFDIR | 0o755, os.getuid(), os.getgid(), 0), Entry(stat.S_IFREG, 0, 0, 0)
        end, _ = closing("s", None, Manifest({b"": top, b"f": file, bad: file}, {}, [], []), 0)
        (chain.store / "s").write_bytes(end)
        refused(chain, [chain.store / "s"], "no directory to be in")
    file = Entry(stat.S_IFREG, 0, 0, 0, 10, 0, [(0, 10, 5)])
    end, _ = closing("s", None, Manifest({b"": top, b"f": file}, {}, [], []), 0)
    (chain.store / "s").write_bytes(end)
    refused(chain, [chain.store / "s"], "outside of the file")


def test_a_parent_needs_its_scan(chain):
    with pytest.raises(Broken, match="if and only if"):
        states.save(chain.work_fd, EMPTY, Target(chain.store_fd, "s"), "parent")
    chain.save()
    with pytest.raises(Broken, match="if and only if"):
        states.save(chain.work_fd, chain.scan, Target(chain.store_fd, "s"), None)


def test_killed_while_saving_nothing_is_findable(chain):
    (chain.work / "f").write_bytes(b"x" * 1000)
    pid = os.fork()
    if pid == 0:
        os.rename = lambda *_, **__: os.kill(os.getpid(), 9)
        chain.save()
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    (left,) = os.listdir(chain.store)
    assert left.startswith(".s0.")
    chain.save()
    assert listing(chain.restore()) == chain.seen[-1]


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_full_disk_leaves_nothing(chain, monkeypatch, size):
    (chain.work / "f").write_bytes(b"x" * size)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(Broken, match=r"cannot store state s0: No space left") as caught:
        chain.save()
    assert "contractor gc" in caught.value.hint
    assert os.listdir(chain.store) == []


def test_a_file_that_shrinks_meanwhile_is_told(chain, monkeypatch):
    (chain.work / "f").write_bytes(b"x" * 1000)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: real(fd, min(n, 10), at) if at < 10 else b"")
    with pytest.raises(Broken, match="'f' of the workspace changed"):
        chain.save()
    assert os.listdir(chain.store) == []


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_owner_of_the_state(chain):
    states.save(chain.work_fd, EMPTY, Target(chain.store_fd, "s", (7, 8)))
    found = (chain.store / "s").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (7, 8, 0o600)
