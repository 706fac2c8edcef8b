"""What becomes of a log's bytes: as they are into a pipe or a file, as clean lines on a terminal.

A sink is told of each part's beginning and end, of its bytes as they come, and, when a build is followed, of pauses.
"""

from __future__ import annotations

import sys
from typing import Protocol

from contractor.cli.logs.parts import Part
from contractor.cli.output import put, terminal_width
from contractor.cli.text import clip, sanitize

_LONGEST = 1 << 20  # bytes: a longer line is shown and searched in pieces


class Sink(Protocol):
    """Where a log goes."""

    def begin(self, part: Part) -> None: ...

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None:
        """Of a part: what it ended with is a line, also without an end of line."""

    def pause(self) -> None:
        """Nothing more has come yet: whoever looks on should have what there is."""


class Raw:
    """Every byte; with headings, each on a line of its own."""

    def __init__(self, *, headings: bool) -> None:
        self._headings = headings
        self._open = False  # a line without an end has been written

    def begin(self, part: Part) -> None:
        if self._headings:
            lead = "\n" if self._open else ""
            self._write(f"{lead}==> {part.title}\n".encode(errors="replace"))

    def feed(self, data: bytes) -> None:
        self._write(data)

    def end(self) -> None:
        """Nothing is held back."""

    def pause(self) -> None:
        sys.stdout.flush()

    def _write(self, data: bytes) -> None:
        if data:
            self._open = not data.endswith(b"\n")
            sys.stdout.buffer.write(data)


class Lines:
    """Bytes in, lines out; `number` is that of the last line, from 1."""

    def __init__(self, first: int = 1) -> None:
        self.number = first - 1
        self.rest = b""

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """The lines that the data completes, clean, with their numbers; a very long one in pieces of one number."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        first = self.number + 1
        self.number += len(whole)
        found = [(number, sanitize(line)) for number, line in enumerate(whole, first)]
        if len(self.rest) > _LONGEST:
            found.append((self.number + 1, sanitize(self.rest)))
            self.rest = b""
        return found

    def finish(self) -> list[tuple[int, str]]:
        """The last line, when it has no end."""
        return self.feed(b"\n") if self.rest else []


class Clean:
    """Lines that a terminal may have.

    A line that has no end yet is shown while nothing follows it, and drawn again when more of it comes.
    """

    def __init__(self, *, headings: bool, redraw: bool) -> None:
        self._headings = headings
        self._redraw = redraw
        self._lines = Lines()
        self._shown = ""

    def begin(self, part: Part) -> None:
        self._lines = Lines(part.first)
        if self._headings:
            put([f"==> {part.title}"])

    def feed(self, data: bytes) -> None:
        self._put(self._lines.feed(data))

    def end(self) -> None:
        self._put(self._lines.finish())

    def pause(self) -> None:
        text = clip(sanitize(self._lines.rest[-_LONGEST:]), (terminal_width(1) or 80) - 1) if self._redraw else ""
        if text != self._shown:
            sys.stdout.write(f"\r\x1b[K{text}")
            self._shown = text
        sys.stdout.flush()

    def _put(self, lines: list[tuple[int, str]]) -> None:
        if lines and self._shown:
            sys.stdout.write("\r\x1b[K")
            self._shown = ""
        put(text for _number, text in lines)
