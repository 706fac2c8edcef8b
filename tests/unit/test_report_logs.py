"""How much of a log a page carries: every byte is shown or counted, and every line has its own number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.cli.report import logs
from contractor.cli.report.logs import Gap, Shown, Span, blocks, cut, excerpt, shares

SIZES = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 500)), max_size=12)


@given(SIZES, st.integers(0, 3000))
def test_shares_are_fair(pairs, total):
    sizes, most = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = shares(sizes, total, most)
    wanted = [min(pair) for pair in pairs]
    assert sum(found) <= total
    assert all(part <= want for part, want in zip(found, wanted, strict=True))
    short = [part for part, want in zip(found, wanted, strict=True) if part < want]
    if short:  # who got less than it wanted got as much as anybody, but for the rest of a division
        assert max(found) - min(short) <= 1
        assert sum(found) == total


def written(tmp_path_factory, data: bytes) -> str:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(b"before\n" + data + b"after\n")
    return str(path)


def numbered(span: Span) -> list[tuple[int, str]]:
    """The numbered items of a span, with their numbers as a browser counts them."""
    found = []
    for block in blocks(span):
        number = block.start
        for more, text in re.findall(r"<li( class=\"more\")?>(.*)</li>", block.html):
            if not more:
                found.append((number, text))
                number += 1
    return found


LOGS = st.lists(st.text("ab ", max_size=12), max_size=40).map(lambda lines: "\n".join(lines).encode())


@given(LOGS, st.integers(4, 200), st.integers(4, 60))
def test_nothing_is_lost_and_lines_keep_their_numbers(tmp_path_factory, data, room, most):
    path = written(tmp_path_factory, data)
    found = cut(path, 7, 7 + len(data), room, most)
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    assert (found.lines, found.size) == (len(lines), len(data))
    assert found.head.start == 7
    if found.tail is None:
        assert found.gap is None
        assert found.head.end == 7 + len(data)
        assert numbered(found.head) == [(number, line.decode()) for number, line in enumerate(lines, 1)] or not data
        return
    assert found.gap is not None
    assert found.tail.end == 7 + len(data)
    assert len(numbered(found.head)) + len(numbered(found.tail)) <= most
    assert found.gap.size == found.tail.start - found.head.end
    assert found.gap.first <= found.gap.last
    for number, text in numbered(found.tail):
        assert lines[number - 1].decode() == text
    for number, text in numbered(found.head):
        assert lines[number - 1].decode().startswith(text)
    between = b"\n".join(lines[found.gap.first - 1 : found.gap.last]) + b"\n"
    with open(path, "rb") as file:
        file.seek(found.head.end)
        assert file.read(found.gap.size) in between, "the lines that are named have all that is left out"


def test_the_cut_is_at_line_ends(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %03d\n" % number for number in range(1, 101)))
    found = cut(str(path), 0, 900, 100, 100)
    assert found == Shown(100, 900, Span(str(path), 0, 18), Gap(3, 92, 810), Span(str(path), 828, 900, first=93))
    assert numbered(found.tail)[0] == (93, "line 093")


def test_a_log_of_many_short_lines_is_cut_by_lines(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"\n" * 1000)
    found = cut(str(path), 0, 1000, 1000, 100)
    assert found.gap == Gap(26, 925, 900)
    assert found.tail == Span(str(path), 925, 1000, first=926)
    assert cut(str(path), 0, 1000, 1000, 1000).gap is None


def test_one_endless_line_is_cut_inside(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1000)
    found = cut(str(path), 0, 1000, 100, 100)
    assert found.gap == Gap(1, 1, 900)
    assert found.tail is not None
    assert found.tail.goes_on
    assert [block.html for block in blocks(found.tail)] == [f'<li class="more">{"x" * 75}</li>\n']


def test_a_file_that_is_shorter_than_its_record(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a\nb")
    assert cut(str(path), 0, 1_000_000, 10, 10) == Shown(2, 3, Span(str(path), 0, 3))
    assert cut(str(path), 100, 200, 10, 10).size == 0


@pytest.mark.parametrize("line", ["é" * 40, "x" * 70_000, "a short line"], ids=["wide", "long", "short"])
def test_blocks_are_whole_lines_and_the_last_is_no_small_rest(tmp_path, line, monkeypatch):
    monkeypatch.setattr(logs, "_PIECE", 1 << 10)
    monkeypatch.setattr(logs, "_PATIENCE", 1 << 14)
    path = tmp_path / "log"
    text = f"{line}\n" * 303
    path.write_bytes(text.encode())
    found = list(blocks(Span(str(path), 0, len(text.encode()))))
    assert re.sub(r"<[^>]*>|\n", "", "".join(block.html for block in found)) == text.replace("\n", "")
    assert len(found) > 2
    assert len(found[-1].html) >= 1 << 10
    assert "\ufffd" not in "".join(block.html for block in found), "no character is cut"


def test_blocks_of_many_lines_say_how_high_they_are(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a line of forty characters, more or less\n" * 5000)
    rooms = {block.room for block in blocks(Span(str(path), 0, path.stat().st_size))}
    style = (Path(logs.__file__).parents[2] / "data" / "report" / "report.css").read_text()
    assert rooms
    assert all(f".n{room} {{" in style for room in logs._ROOMS)
    assert rooms <= set(logs._ROOMS)


def test_the_excerpt_is_the_last_lines_without_empty_ones(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(30)) + b"\n\n")
    last = excerpt(cut(str(path), 0, path.stat().st_size, 1000, 100))
    assert last is not None
    assert re.findall("<li>(.*)</li>", last.html) == [str(number) for number in range(18, 30)]
    path.write_bytes(b" \n\n")
    assert excerpt(cut(str(path), 0, 3, 10, 10)) is None
