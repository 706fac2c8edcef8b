"""Whatever is done to a journal's lines without the key is found, and what the head still has comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journalkit import Kit

from contractor.core import digest
from contractor.proof.audit import look
from contractor.proof.journal_check import Report, check
from contractor.proof.journal_line import parse_line

COUNT = 14  # entries of the journal that is edited


class Whole:
    """A journal that is whole, and what a judge says of any other lines in its place."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        found = look(kit.store, kit.outside)
        self.data, self.heads, self.keys = found.data, found.heads, kit.ring.trusted()
        self.lines = self.data.split(b"\n")[:-1]

    def judge(self, data: bytes, *, every: bool = False) -> Report:
        return check(data, self.heads, self.keys, every=every)

    def joined(self, lines: list[bytes]) -> bytes:
        return b"".join(line + b"\n" for line in lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    kit = Kit(tmp_path_factory.mktemp("journal"))
    kit.fill(COUNT - 1)
    made = Whole(kit)
    assert made.judge(made.data, every=True).whole
    assert len(made.lines) == COUNT
    return made


EDITS = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, COUNT - 1), st.integers(1, COUNT)),
    st.tuples(st.just("swap"), st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)),
    st.tuples(st.just("copy"), st.integers(0, COUNT - 1), st.integers(0, COUNT)),
    st.tuples(st.just("move"), st.integers(0, COUNT - 1), st.integers(0, COUNT)),
    st.tuples(st.just("change"), st.integers(0, COUNT - 1), st.integers(0, 100_000)),
    st.tuples(st.just("insert"), st.integers(0, COUNT), st.integers(0, 3)),
)
FOREIGN = [b"", b"{}", b"\0" * 20, b'{"seq":1}']


def edited(lines: list[bytes], edit: tuple[str, int, int]) -> list[bytes]:
    kind, at, other = edit
    made = list(lines)
    if not made:
        return made
    at %= len(made)
    if kind == "cut":
        del made[at : at + other]
    elif kind == "swap":
        other %= len(made)
        made[at], made[other] = made[other], made[at]
    elif kind == "copy":
        made.insert(other, made[at])
    elif kind == "move":
        made.insert(other, made.pop(at))
    elif kind == "insert":
        made.insert(at, FOREIGN[other])
    elif made[at]:
        place, bit = other % len(made[at]), 1 << other % 8
        line = bytearray(made[at])
        line[place] ^= bit
        made[at] = bytes(line)
    return made


@given(st.lists(EDITS, min_size=1, max_size=4))
def test_edits_of_lines_are_found(whole: Whole, edits: list[tuple[str, int, int]]) -> None:
    lines = whole.lines
    for edit in edits:
        lines = edited(lines, edit)
    data = whole.joined(lines)
    report = whole.judge(data)
    if data == whole.data:
        assert report.whole
    elif report.whole:  # all that is missing is still in the head, as if the last append had not come to its end
        assert whole.data.startswith(data)
        assert [note for note in report.notes if "the next one finishes it" in note]
        assert len(whole.lines) - len(lines) <= 3


@given(st.integers(0, 100_000), st.binary(min_size=1, max_size=3))
def test_edits_of_bytes_are_found(whole: Whole, at: int, put: bytes) -> None:
    at %= len(whole.data)
    data = whole.data[:at] + put + whole.data[at + len(put) :]
    report = whole.judge(data)
    assert report.whole == (data == whole.data)


@given(st.integers(0, 100_000))
def test_cuts_of_bytes_are_found(whole: Whole, at: int) -> None:
    at %= len(whole.data)
    report = whole.judge(whole.data[:at])
    head = whole.data[: -len(whole.joined(list(whole.heads["in the store"] or ())))]
    assert report.whole == (at >= len(head))
    assert not report.whole or report.notes


@given(st.integers(0, COUNT - 2), st.integers(0, 100_000))
def test_a_line_that_is_changed_is_named(whole: Whole, at: int, place: int) -> None:
    lines = edited(whole.lines, ("change", at, place))
    found = whole.judge(whole.joined(lines)).findings
    assert any(finding.line == at + 2 or f"line {at + 1} " in finding.text for finding in found)


@given(st.integers(1, COUNT - 1), st.integers(0, 9))
def test_who_chains_all_lines_anew_but_cannot_sign_is_found(whole: Whole, at: int, number: int) -> None:
    """The body of a line is changed, and every hash after it is made right."""
    lines = list(whole.lines)
    old = f'"number":{parse_line(lines[at]).body["number"]}'.encode()
    lines[at] = lines[at].replace(old, b'"number":%d' % (100 + number))
    for here in range(at + 1, len(lines)):
        prev = parse_line(lines[here]).prev.encode()
        lines[here] = lines[here].replace(prev, digest.of_bytes(lines[here - 1]).encode())
    report = check(whole.joined(lines), {}, whole.keys)
    assert [finding.line for finding in report.findings] == [at + 1]
    assert "its signature is not its key's" in report.findings[0].text
    every = check(whole.joined(lines), {}, whole.keys, every=True)
    assert [finding.line for finding in every.findings] == list(range(at + 1, COUNT + 1))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(edits=st.lists(EDITS, min_size=1, max_size=3))
def test_what_was_done_is_still_found_after_more_was_appended(
    whole: Whole, tmp_path: Path, edits: list[tuple[str, int, int]]
) -> None:
    lines = whole.lines
    for edit in edits:
        lines = edited(lines, edit)
    data = whole.joined(lines)
    shutil.rmtree(tmp_path)
    shutil.copytree(Path(whole.kit.store.root).parent, tmp_path)
    kit = Kit(tmp_path)
    kit.journal.write_bytes(data)
    kit.open().append("next", {})
    report = kit.report()
    assert report.whole == (whole.data.startswith(data) and kit.journal.read_bytes().startswith(whole.data))
    again = kit.report()
    kit.open().append("later", {})
    assert len(kit.report().findings) == len(again.findings)
