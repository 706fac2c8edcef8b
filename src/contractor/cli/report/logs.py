"""How much of each log a page carries, and the reading of it.

A browser cannot lay out 50 MB, so a long log is shown by its beginning and its end, with the number of the lines
between and the command that prints them. The bounds:

    STEP    of each step: a quarter from the beginning, the rest from the end
    DECISIVE  of the step that decided the outcome
    TOTAL   of all steps together, shared out fairly: what short logs leave goes to the long ones
    LINES   of all steps together, in equal parts: a log of empty lines is small, but long
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import NamedTuple

from contractor.cli.report import ansi

STEP = 512 << 10  # bytes
DECISIVE = 1 << 20
TOTAL = 4 << 20
LINES = 200_000
EXCERPT = 12  # lines
_LONGEST_OF_EXCERPT = 500  # bytes of a line
_PIECE = 1 << 15  # bytes that become one block of the page
_FAR = 1 << 13  # bytes of a block that need not be laid out before they are looked at
_ROOMS = (100, 200, 500, 1000, 2000, 5000)  # lines; the style sheet has a class for each
_PATIENCE = 1 << 20  # bytes without a line end after which a block ends all the same


class Span(NamedTuple):
    """Bytes start..end of a file. first: the number of the line that they begin in; goes_on: not at its beginning."""

    path: str
    start: int
    end: int
    first: int = 1
    goes_on: bool = False


class Block(NamedTuple):
    """Some lines as list items (HTML that is safe as it is). start: the number of the first item that has one.

    room: about how many lines high it is, where it is long enough for a browser to leave it until it is looked at.
    """

    start: int
    html: str
    room: int = 0


class Gap(NamedTuple):
    """What a page leaves out: `size` bytes, which are in the lines first..last."""

    first: int
    last: int
    size: int


class Shown(NamedTuple):
    """A log as a page has it: all of it as the head, or a head, a gap and a tail. lines, size: of all of it."""

    lines: int
    size: int
    head: Span
    gap: Gap | None = None
    tail: Span | None = None


def shares(sizes: Sequence[int], total: int, most: Sequence[int]) -> list[int]:
    """What each log may have of `total` bytes: all it needs up to its own `most`, then equal parts for those left."""
    wanted = [min(size, top) for size, top in zip(sizes, most, strict=True)]
    left, parts = total, [0] * len(wanted)
    for done, place in enumerate(sorted(range(len(wanted)), key=lambda place: wanted[place])):
        parts[place] = min(wanted[place], left // (len(wanted) - done))
        left -= parts[place]
    return parts


def cut(path: str, start: int, end: int, room: int, lines: int) -> Shown:
    """Choose what of a log is shown, at line ends where there are some: about `room` bytes and `lines` lines.

    OSError as of open.
    """
    with open(path, "rb", buffering=0) as file:
        end = max(start, min(end, os.fstat(file.fileno()).st_size))
        size, number = end - start, _lines(file, start, end)
        whole = Shown(number, size, Span(path, start, end))
        if size <= room and number <= lines:
            return whole
        room, lines = min(room, size), min(lines, number)
        head_end = start + _head(_read(file, start, start + room // 4), lines // 4)
        window = _read(file, end - room + room // 4, end)
        tail_start = end - len(window) + _tail(window, lines - lines // 4)
        if tail_start <= head_end:
            return whole
        in_head, before_tail = _count(file, start, head_end), _count(file, start, tail_start)
        goes_on = not _ends_line(file, tail_start)
        gap = Gap(in_head + 1, before_tail + goes_on, tail_start - head_end)
        tail = Span(path, tail_start, end, before_tail + 1, goes_on)
        return Shown(number, size, Span(path, start, head_end), gap, tail)


def _head(data: bytes, lines: int) -> int:
    """How much of the data are its first lines, whole; all of it where it has no end of a line."""
    parts = data.split(b"\n", lines)
    return len(data) - len(parts[-1]) if len(parts) > 1 else len(data)


def _tail(data: bytes, lines: int) -> int:
    """Where the last lines of the data begin, whole ones; 0 where it has no end of a line but its last."""
    within = data.removesuffix(b"\n")
    parts = within.rsplit(b"\n", lines)
    if len(parts) > lines:
        return len(parts[0]) + 1
    return within.find(b"\n") + 1


def _read(file: FileIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _ends_line(file: FileIO, at: int) -> bool:
    file.seek(at - 1)
    return file.read(1) == b"\n"


def _lines(file: FileIO, start: int, end: int) -> int:
    return _count(file, start, end) + (end > start and not _ends_line(file, end))


def _count(file: FileIO, start: int, end: int) -> int:
    """Line ends in a part of a file; 50 MB take 20 ms."""
    file.seek(start)
    found, left = 0, end - start
    while left > 0 and (data := file.read(min(left, _PATIENCE))):
        found += data.count(b"\n")
        left -= len(data)
    return found


def blocks(span: Span) -> Iterator[Block]:
    """A span as HTML, some hundred lines at a time, so that a page of any size needs little memory to write."""
    pen, number, goes_on = ansi.PLAIN, span.first, span.goes_on
    for data in _pieces(span):
        html, pen = ansi.items(data, pen, goes_on=goes_on)
        lines = data.count(b"\n")
        yield Block(number + goes_on, html, _room(lines) if len(data) > _FAR else 0)
        number += lines
        goes_on = not data.endswith(b"\n")


def _room(lines: int) -> int:
    return next((room for room in _ROOMS if lines <= room), _ROOMS[-1])


def _pieces(span: Span) -> Iterator[bytes]:
    """Whole lines, or parts of very long ones, cut between characters; the last piece is no small rest."""
    with open(span.path, "rb", buffering=0) as file:
        file.seek(span.start)
        left, rest = span.end - span.start, b""
        while left > 0 and (data := file.read(left if left < 2 * _PIECE else _PIECE)):
            left -= len(data)
            data = rest + data
            at = data.rfind(b"\n") + 1 if left else len(data)
            if not at and len(data) >= _PATIENCE:
                at = _between_characters(data)
            if at:
                yield data[:at]
            rest = data[at:]
        if rest:
            yield rest


def _between_characters(data: bytes) -> int:
    """The length of the data without a UTF-8 character that its end may cut."""
    for back in range(1, min(4, len(data))):
        if data[-back] >= 0xC0:
            return len(data) - back
        if data[-back] < 0x80:
            break
    return len(data)


def excerpt(shown: Shown) -> Block | None:
    """The last lines that the page has of a log: what somebody wants to read first. None when there are none."""
    span = shown.tail or shown.head
    with open(span.path, "rb", buffering=0) as file:
        start = max(span.start, span.end - _PIECE)
        file.seek(start)
        data = file.read(span.end - start)
    lines = data.rstrip(b"\r\n \t").split(b"\n")
    if not any(line.strip() for line in lines):
        return None
    html, _pen = ansi.items(b"\n".join(line[:_LONGEST_OF_EXCERPT] for line in lines[-EXCERPT:]))
    return Block(1, html)
