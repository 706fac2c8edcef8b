"""The audit journal: what is appended is there, whole and in order, whatever happens; and what happened is told."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from journalkit import Kit

from contractor.core.errors import Broken, Rejected
from contractor.proof import journal as journal_module
from contractor.proof.audit import accept, judge, look
from contractor.proof.journal import Journal, read_head
from contractor.proof.journal_check import IN_STORE, check
from contractor.proof.journal_line import parse_line
from contractor.proof.keyring import Keyring
from contractor.proof.keys import by_id


@pytest.fixture
def kit(tmp_path) -> Kit:
    return Kit(tmp_path)


def kinds(kit: Kit) -> list[str]:
    return [parse_line(line).kind for line in kit.lines()]


def test_what_is_appended_is_there_in_order(kit: Kit) -> None:
    kit.open().append("first", {"a": 1})
    kit.open().append_all([("second", {"b": [1, "ü"]}), ("third", {})])
    entries = [parse_line(line) for line in kit.lines()]
    assert [(entry.seq, entry.kind) for entry in entries] == [(1, "opened"), (2, "first"), (3, "second"), (4, "third")]
    assert entries[2].body == {"b": [1, "ü"]}
    report = kit.report(every=True)
    assert report.whole
    assert not report.notes
    assert report.entries == 4
    assert list(report.signed.values()) == [4]


def test_prev_is_what_sha256sum_says_of_the_line_before(kit: Kit) -> None:
    kit.fill(5)
    lines = kit.lines()
    for before, line in pairwise(lines):
        assert parse_line(line).prev == hashlib.sha256(before).hexdigest()
    assert parse_line(lines[0]).prev == "0" * 64


def test_the_journal_is_the_owners_alone(kit: Kit) -> None:
    kit.fill(1)
    for path in (kit.journal, kit.head, Path(kit.files.lock)):
        assert path.stat().st_mode & 0o077 == 0


def test_a_head_is_kept_in_and_outside_of_the_store(kit: Kit) -> None:
    kit.fill(6)
    assert kit.head.read_bytes() == Path(kit.files.outside).read_bytes()
    assert kit.journal.read_bytes().endswith(kit.head.read_bytes())


def test_without_a_folder_for_heads_outside_there_is_none(tmp_path) -> None:
    kit = Kit(tmp_path, outside=False)
    kit.fill(3)
    assert kit.report().whole
    assert not (tmp_path / "heads").exists()


def test_a_head_outside_that_cannot_be_written_stops_nothing_and_is_told(kit: Kit, tmp_path) -> None:
    (tmp_path / "heads").write_text("no folder")
    kit.fill(2)
    report = kit.report()
    assert report.whole
    assert [note for note in report.notes if "there is no head outside" in note]


# --- kill -9, a full disk, other processes ---------------------------------------------------------------------------


def test_a_kill_at_any_byte_loses_nothing_and_is_told(kit: Kit) -> None:
    """The head is written first; of the lines any number of bytes may have reached the file."""
    kit.fill(4)
    before = kit.journal.read_bytes()
    kit.open().append_all([("one", {"x": 1}), ("two", {"x": 2})])
    after, head = kit.journal.read_bytes(), kit.head.read_bytes()
    old = b"".join(line + b"\n" for line in before.split(b"\n")[-2:-1])
    for size in range(len(before), len(after)):
        kit.journal.write_bytes(after[:size])
        kit.head.write_bytes(head)
        Path(kit.files.outside).write_bytes(old)
        cut = kit.report()
        assert cut.whole
        assert [note for note in cut.notes if "cut short" in note], size
        kit.open().append("next", {})
        assert kit.journal.read_bytes().startswith(after)
        assert kinds(kit)[-4:] == ["one", "two", "repaired", "next"]
        report = kit.report()
        assert report.whole, (size, report.findings)
        assert [note for note in report.notes if "had been cut short" in note]


def test_a_kill_before_the_head_is_in_place_changes_nothing(kit: Kit) -> None:
    kit.fill(3)
    Path(f"{kit.head}.new").write_bytes(b'{"seq":')
    kit.open().append("next", {})
    report = kit.report()
    assert report.whole
    assert not report.notes


def test_a_kill_during_the_very_first_append(kit: Kit) -> None:
    kit.open().append("first", {})
    whole = kit.journal.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        kit.journal.write_bytes(whole[:size])
        Path(kit.files.outside).unlink(missing_ok=True)
        kit.head.write_bytes(whole)
        kit.open().append("next", {})
        assert kinds(kit) == ["opened", "first", "repaired", "next"]
        assert kit.report().whole


_APPEND = """
import sys
from contractor.proof.journal import Journal
from contractor.proof.keyring import Keyring
from contractor.store.layout import Store
store, config, heads, name, count = sys.argv[1:]
journal = Journal(Store(store), Keyring(config), heads)
for number in range(int(count)):
    journal.append_all([(name, {"number": number}), (name, {"number": number, "more": "x" * (number % 50)})])
"""


def _appending(kit: Kit, name: str, count: int) -> subprocess.Popen[bytes]:
    args = [kit.store.root, kit.ring.folder, kit.outside, name, str(count)]
    return subprocess.Popen([sys.executable, "-c", _APPEND, *args])


def test_several_processes_at_once(kit: Kit) -> None:
    kit.fill(1)
    running = [_appending(kit, name, 30) for name in ("a", "b", "c")]
    assert [process.wait() for process in running] == [0, 0, 0]
    report = kit.report(every=True)
    assert report.whole
    assert not report.notes
    for name in ("a", "b", "c"):
        numbers = [parse_line(line).body["number"] for line in kit.lines() if parse_line(line).kind == name]
        assert numbers == sorted([*range(30), *range(30)])


def test_processes_that_are_killed_leave_a_whole_journal(kit: Kit) -> None:
    kit.fill(1)
    chance = random.Random(4)
    for _round in range(6):
        running = [_appending(kit, "a", 10_000), _appending(kit, "b", 10_000)]
        time.sleep(0.25 + chance.random() / 8)
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
    kit.open().append("last", {})
    report = kit.report(every=True)
    assert report.whole, report.findings
    assert report.entries > 20


def test_a_full_disk_is_told_and_loses_nothing(kit: Kit, monkeypatch) -> None:
    kit.fill(3)
    before = kit.lines()
    write = os.write
    for room in (0, 1, 100, 700, 1500):
        left = [room]

        def full(fd: int, data: bytes, left: list[int] = left) -> int:
            size = min(len(data), left[0])
            if not size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= size
            return write(fd, data[:size])

        monkeypatch.setattr(journal_module.os, "write", full)
        with pytest.raises(Broken, match="the audit journal cannot be written") as caught:
            kit.open().append_all([("one", {"x": "y" * 300}), ("two", {})])
        assert "gc" in caught.value.hint
        monkeypatch.setattr(journal_module.os, "write", write)
        assert kit.report().whole
        kit.open().append("again", {})
        assert kit.report(every=True).whole
    assert kit.lines()[: len(before)] == before


def test_a_clock_that_goes_back_is_noted_and_nothing_else(tmp_path) -> None:
    times = iter([1000.0, 2000.0, -50.0, 3000.0])
    kit = Kit(tmp_path, clock=lambda: next(times))
    kit.fill(3)
    report = kit.report(every=True)
    assert report.whole
    assert report.notes == ("line 3: the clock had gone back by 2050 seconds",)


# --- what others do to it --------------------------------------------------------------------------------------------


def test_a_cut_at_the_end_is_found_by_the_head_in_the_store(kit: Kit) -> None:
    kit.fill(9)
    lines = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in lines[:6]))
    assert "entries 7 to 10 are missing at the end: the head in the store has them" in texts(kit)


def test_a_cut_with_the_head_in_the_store_is_found_by_the_one_outside(kit: Kit) -> None:
    kit.fill(9)
    lines = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in lines[:6]))
    kit.head.write_bytes(lines[5] + b"\n")
    assert texts(kit) == [
        f"entries 7 to 10 are missing at the end: the head outside of it ({kit.files.outside}) has them"
    ]


def test_a_cut_with_every_head_is_found_by_a_head_that_somebody_kept(kit: Kit) -> None:
    kit.fill(9)
    lines = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in lines[:6]))
    for head in (kit.head, Path(kit.files.outside)):
        head.write_bytes(lines[5] + b"\n")
    assert texts(kit) == []
    report = judge(kit.store, kit.outside, kit.ring.trusted(), more={"in kept": [lines[8]]})
    assert [finding.text for finding in report.findings] == [
        "entries 7 to 9 are missing at the end: the head in kept has them"
    ]


def test_a_cut_is_told_for_good_by_the_next_append(kit: Kit) -> None:
    kit.fill(9)
    kit.journal.write_bytes(b"".join(line + b"\n" for line in kit.lines()[:6]))
    kit.open().append("next", {})
    assert [parse_line(line).seq for line in kit.lines()[-2:]] == [11, 12]
    assert texts(kit) == ["line 7: found when it was written: it does not end with entry 10, which was its last"]
    kit.open().append("later", {})
    assert len(texts(kit)) == 1


def test_a_journal_that_is_gone_is_told_for_good(kit: Kit) -> None:
    kit.fill(4)
    for path in (kit.journal, kit.head):
        path.unlink()
    assert "entries 1 to 5 are missing at the end" in texts(kit)[0]
    kit.open().append("next", {})
    assert texts(kit) == ["line 1: found when it was written: it is gone, with its entries 1 to 5"]


def test_a_forged_last_line_is_told_for_good(kit: Kit, tmp_path) -> None:
    """Somebody without the key adds an entry; what we append afterwards does not vouch for it."""
    kit.fill(3)
    stranger = Journal(kit.store, Keyring(str(tmp_path / "stranger")), str(tmp_path / "other-heads"))
    stranger.append("forged", {})
    stranger_id = stranger.signer.id
    kit.open().append("next", {})
    found = texts(kit)
    assert any(f"signed by a key that is not trusted: {stranger_id}" in text for text in found)
    assert any("is not signed by a key that is known here" in text for text in found)


def test_foreign_bytes_at_the_end_are_found_before_and_after_the_next_append(kit: Kit) -> None:
    kit.fill(3)
    with kit.journal.open("ab") as file:
        file.write(b"something else")
    assert "14 bytes that are no entry" in texts(kit)[0]
    kit.open().append("next", {})
    assert any("line 5 is no entry" in text for text in texts(kit))
    assert any("it ended with 14 bytes that are no entry" in text for text in texts(kit))


def test_a_missing_head_is_found(kit: Kit) -> None:
    kit.fill(3)
    kit.head.unlink()
    assert texts(kit) == ["the head in the store is missing, or cannot be read"]
    kit.open().append("next", {})
    assert texts(kit) == ["line 5: found when it was written: its head in the store is missing"]


def test_a_changed_head_is_found(kit: Kit) -> None:
    kit.fill(3)
    kit.head.write_bytes(kit.head.read_bytes().replace(b'"number":2', b'"number":7'))
    assert any("the head in the store was changed" in text for text in texts(kit))


def test_a_key_that_is_not_trusted_is_named(kit: Kit) -> None:
    kit.fill(2)
    found = look(kit.store, kit.outside)
    report = check(found.data, found.heads, {})
    assert not report.whole
    assert "line 1 is signed by a key that is not trusted" in report.findings[0].text


def test_after_a_change_of_keys_the_journal_is_whole(kit: Kit) -> None:
    kit.fill(3)
    kit.ring.new("second", use=True)
    kit.fill(3)
    report = kit.report(every=True)
    assert report.whole
    assert len(report.signed) == 2


def test_no_journal_is_no_whole_one(kit: Kit) -> None:
    with pytest.raises(Rejected, match="has no audit journal yet"):
        kit.report()


def texts(kit: Kit) -> list[str]:
    return [finding.text for finding in kit.report().findings if not finding.accepted]


# --- accepting -------------------------------------------------------------------------------------------------------


def test_what_is_accepted_is_shown_and_fails_no_more(kit: Kit) -> None:
    kit.fill(9)
    kit.journal.write_bytes(b"".join(line + b"\n" for line in kit.lines()[:6]))
    kit.open().append("next", {})
    assert accept(kit.open(), kit.report(), "the power failed") == 1
    report = kit.report()
    assert report.whole
    assert [finding.accepted for finding in report.findings] == ["the power failed"]
    assert accept(kit.open(), report, "again") == 0


def test_what_is_accepted_covers_nothing_else(kit: Kit) -> None:
    kit.fill(9)
    lines = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in [*lines[:3], *lines[4:]]))
    assert accept(kit.open(), kit.report(), "known") == len(texts(kit)) or kit.report().whole
    assert kit.report().whole
    again = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in [*again[:5], *again[6:]]))
    assert not kit.report().whole


def test_a_stranger_accepts_nothing(kit: Kit, tmp_path) -> None:
    kit.fill(5)
    lines = kit.lines()
    kit.journal.write_bytes(b"".join(line + b"\n" for line in [*lines[:3], *lines[4:]]))
    stranger = Journal(kit.store, Keyring(str(tmp_path / "stranger")), "")
    accept(stranger, kit.report(), "nothing to see")
    assert not kit.report().whole
    assert not [finding for finding in kit.report().findings if finding.accepted]


# --- size ------------------------------------------------------------------------------------------------------------


def test_an_append_reads_only_the_end(kit: Kit) -> None:
    kit.open().append("long", {"text": "x" * 300_000})
    kit.open().append("next", {})
    assert kit.report().whole
    assert len(read_head(str(kit.head)) or []) == 1


def test_ten_thousand_entries_are_checked(kit: Kit) -> None:
    journal = kit.open()
    for _ in range(100):
        journal.append_all([("test", {"number": number}) for number in range(100)])
    found = look(kit.store, kit.outside)
    keys = by_id(kit.ring.own())
    report = check(found.data, found.heads, keys)
    assert report.whole
    assert report.entries == 10_001
    assert IN_STORE in found.heads
    assert msgspec.json.encode(report)
