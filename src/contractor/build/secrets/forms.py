"""A secret's value in the forms that programs write it in: what a log and an output are searched for. Pure.

Pieces are the whole value and each of its lines. Forms of a piece: as it is, base64 (both alphabets) and base32,
wherever in the encoded bytes it begins, hexadecimal, percent-encoded, escaped as in JSON and in HTML, and in UTF-16. No
form is more than 96 bytes: a longer one is cut into marks, each of which gives it away.

Of 15 bytes and more a mark is compared without white space, so it is found however lines are wrapped or indented.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from contractor.build.secrets.secrets import SHORTEST_SECRET

SHORTEST_SOUGHT = 8  # of a value that outputs are searched for: a file of a megabyte has any four bytes
_SHORTEST_LINE = 16  # of a line of one: shorter ones are words
_SHORTEST_CODED = 5  # characters of a form that is not the value itself
_SHORTEST_CODED_SOUGHT = 10
LOOSE = 15  # bytes from which on white space does not count
LONGEST_MARK = 96
_CUT = 64  # bytes of the parts of what is longer
WHITE = b" \t\r\n"


class Mark(NamedTuple):
    """What gives a secret away. name: the secret's; how: the form in words, "" as it is; data: without white space if
    it is loose."""

    name: str
    how: str
    data: bytes

    @property
    def loose(self) -> bool:
        return len(self.data) >= LOOSE


def marks_to_hide(name: str, value: bytes) -> list[Mark]:
    """What must not be in a log."""
    pieces = [piece for piece in _pieces(value) if len(piece) >= SHORTEST_SECRET]
    return _distinct(name, pieces, _SHORTEST_CODED)


def marks_to_seek(name: str, value: bytes) -> list[Mark]:
    """What must not be in an output: nothing that is there by chance, or by right, such as the line that heads a key.

    None for a value of less than SHORTEST_SOUGHT bytes.
    """
    whole, *lines = _pieces(value)
    pieces = [line for line in lines if len(line) >= _SHORTEST_LINE and not _is_armour(line)]
    if len(whole) >= SHORTEST_SOUGHT:
        pieces.insert(0, whole)
    return _distinct(name, pieces, _SHORTEST_CODED_SOUGHT)


def _pieces(value: bytes) -> list[bytes]:
    """The whole value, then its lines when it has several."""
    whole = value.strip()
    lines = [line.strip() for line in whole.splitlines()]
    return list(dict.fromkeys([whole, *lines] if len(lines) > 1 else [whole]))


def _is_armour(line: bytes) -> bool:
    return line.startswith(b"-----") and line.endswith(b"-----")


def _distinct(name: str, pieces: list[bytes], shortest: int) -> list[Mark]:
    found: dict[bytes, Mark] = {}
    for piece in pieces:
        for how, form in _forms(piece):
            if how and len(form) < shortest:
                continue
            tight = form.translate(None, WHITE)
            for data in _cut(tight) if len(tight) >= LOOSE else [form]:
                found.setdefault(data, Mark(name, how, data))
    return list(found.values())


def _cut(form: bytes) -> Iterator[bytes]:
    """The form itself, or parts of it of 64 bytes; the last is up to 96."""
    while len(form) > LONGEST_MARK:
        yield form[:_CUT]
        form = form[_CUT:]
    yield form


def _forms(piece: bytes) -> Iterator[tuple[str, bytes]]:
    yield "", piece
    for form in _base64(piece):
        yield "in base64", form
        yield "in base64", form.replace(b"+", b"-").replace(b"/", b"_")
    for form in _base32(piece):
        yield "in base32", form
    yield "in hexadecimal", piece.hex().encode()
    yield "in hexadecimal", piece.hex().upper().encode()
    for form in _percent(piece):
        yield "percent-encoded", form
    for form in _json(piece):
        yield "as in JSON", form
    for form in _html(piece):
        yield "as in HTML", form
    for form in _wide(piece):
        yield "in UTF-16", form


def _base64(piece: bytes) -> Iterator[bytes]:
    """Wherever the piece begins in a group of three bytes: the characters that it alone decides. And, where it ends the
    encoded bytes, the character that only what would follow could change."""
    for shift, start in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(bytes(shift) + piece).rstrip(b"=")
        whole = (shift + len(piece)) * 8 // 6
        yield coded[start:whole]
        yield coded[start:]


def _base32(piece: bytes) -> Iterator[bytes]:
    """The same, in groups of five bytes."""
    for shift in range(5):
        coded = base64.b32encode(bytes(shift) + piece).rstrip(b"=")
        start, whole = -(-shift * 8 // 5), (shift + len(piece)) * 8 // 5
        yield coded[start:whole]
        yield coded[start:]


def _percent(piece: bytes) -> Iterator[bytes]:
    for coded in (quote(piece, safe=""), quote(piece), quote(piece, safe="!*'()"), quote_plus(piece)):
        form = coded.encode()
        if form != piece:
            yield form
            yield re.sub(rb"%..", lambda match: match[0].lower(), form)


def _json(piece: bytes) -> Iterator[bytes]:
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return
    for only_ascii in (True, False):
        form = json.dumps(text, ensure_ascii=only_ascii)[1:-1].encode()
        for last in (form, form.replace(b"/", b"\\/")):
            if last != piece:
                yield last


_QUOTES = (b"&quot;", b"&#34;"), (b"&#x27;", b"&#39;")


def _html(piece: bytes) -> Iterator[bytes]:
    form = piece.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    for double, single in ((b'"', b"'"), *zip(*_QUOTES, strict=True)):
        escaped = form.replace(b'"', double).replace(b"'", single)
        if escaped != piece:
            yield escaped


def _wide(piece: bytes) -> Iterator[bytes]:
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
