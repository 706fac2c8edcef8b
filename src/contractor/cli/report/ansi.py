"""Bytes that a step wrote -> list items of HTML, one a line: inert, with the colours that a terminal would show.

Colour sequences (SGR) become spans of a class: c0-c15 for the sixteen colours, b for bold. Every other sequence goes
with its body, as do control, bidirectional and invisible characters; of a line redrawn with carriage returns the last
state stays; bytes that are no UTF-8 become U+FFFD. A line that is longer than a page can lay out goes on in items of
the class "more", which have no number of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from contractor.cli.text import sanitize

LONGEST = 8192  # characters of one item
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])"  # CSI: parameters, final
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC: to their terminator
    r"|\x1b[ -/]*[0-~]?"
)
_FIRST, _NEXT, _END = "<li>", '<li class="more">', "</li>\n"


class Pen(NamedTuple):
    """How a terminal would write the next character. colour: 0-15, or -1 for its own."""

    colour: int = -1
    bold: bool = False

    @property
    def classes(self) -> str:
        return " ".join(([f"c{self.colour}"] if self.colour >= 0 else []) + (["b"] if self.bold else []))


PLAIN = Pen()


def items(data: bytes, pen: Pen = PLAIN, *, goes_on: bool = False) -> tuple[str, Pen]:
    """Lines as list items, and the pen as the last of them left it. A line end at the end adds no line.

    goes_on: the data begins inside a line, so the first item has no number.
    """
    text = data.decode("utf-8", "replace").removesuffix("\n")
    begin = _NEXT if goes_on else _FIRST
    lines = text.split("\n")
    if pen == PLAIN and _is_plain(text) and max(map(len, lines)) <= LONGEST:  # nearly all output, at C speed
        return begin + escape(text).replace("\n", _END + _FIRST) + _END, pen
    made = []
    for line in lines:
        html, pen = _item(line, pen)
        made += [begin, html, _END]
        begin = _FIRST
    return "".join(made), pen


def _is_plain(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def _item(line: str, pen: Pen) -> tuple[str, Pen]:
    line = line.rstrip("\r")
    if "\r" in line:
        line = next((part for part in reversed(line.split("\r")) if part.strip()), "")
    parts: list[str] = []
    used = 0
    for text, style in runs(line, pen):
        pen = style
        while text:
            if used >= LONGEST:
                parts.append(_END + _NEXT)
                used = 0
            now, text = text[: LONGEST - used], text[LONGEST - used :]
            used += len(now)
            parts.append(f'<span class="{style.classes}">{escape(now)}</span>' if style != PLAIN else escape(now))
    return "".join(parts), pen


def runs(line: str, pen: Pen) -> Iterator[tuple[str, Pen]]:
    """A line as pieces of one style each, every sequence consumed; the last may be empty and has the final style."""
    at = 0
    for match in _SEQUENCE.finditer(line):
        if match.start() > at:
            yield _printable(line[at : match.start()]), pen
        if match[2] == "m":
            pen = styled(pen, match[1])
        at = match.end()
    yield _printable(line[at:]), pen


def _printable(text: str) -> str:
    """What may be shown of text without sequences: tabs stay, the page lays them out."""
    return text if _is_plain(text) else "\t".join(map(sanitize, text.split("\t")))


def styled(pen: Pen, parameters: str) -> Pen:
    """The pen after an SGR sequence with these parameters (ECMA-48, 8.3.117); what is not shown changes nothing."""
    codes = iter(parameters.replace(":", ";").split(";"))
    for code in codes:
        number = int(code) if code.isdecimal() and len(code) < 5 else 0 if code == "" else -1
        if number == 0:
            pen = PLAIN
        elif number in (1, 22):
            pen = pen._replace(bold=number == 1)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            pen = pen._replace(colour=number - 30 if number < 90 else number - 82)
        elif number == 39:
            pen = pen._replace(colour=-1)
        elif number in (38, 48):
            pen = _extended(pen, number == 38, codes)
    return pen


def _extended(pen: Pen, foreground: bool, codes: Iterator[str]) -> Pen:
    """38;5;N and 38;2;R;G;B (and 48 for the background): of these only the sixteen named colours are shown."""
    kind = next(codes, "")
    values = [next(codes, "") for _ in range({"5": 1, "2": 3}.get(kind, 0))]
    if foreground and kind == "5" and values[0].isdecimal() and len(values[0]) < 4:
        return pen._replace(colour=int(values[0]) if int(values[0]) < 16 else -1)
    return pen
