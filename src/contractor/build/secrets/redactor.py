"""Secrets taken out of a stream of bytes, in whatever form a program wrote them (forms.py)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import compress

from contractor.build.secrets.forms import LONGEST_MARK, WHITE, Mark
from contractor.build.secrets.sieve import Sieve

MASK = b"[secret]"
_MOST_HELD = 1 << 16  # bytes: white space in the middle of a mark may be long
_AT_LINE_END = 8  # bytes of a wrapped mark that must have come before a line's end is held back for it
_NOT_WHITE = bytes(byte not in WHITE for byte in range(256))

Span = tuple[int, int]


class Marks:
    """What is looked for, prepared once for any number of streams."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        found = [*marks]
        loose = sorted({mark.data for mark in found if mark.loose})
        exact = sorted({mark.data for mark in found if not mark.loose})
        self.any_loose = bool(loose)
        self.loose, self.exact = Sieve(loose), Sieve(exact)
        self.loose_begins, self.exact_begins = _Begins(loose), _Begins(exact)

    def hide(self, data: bytes) -> bytes:
        """The same of bytes that are all there is."""
        redactor = Redactor(self)
        return redactor.feed(data) + redactor.rest()


class Redactor:
    """Replaces marks in a stream, also where a read's end cuts them.

    What may be the beginning of a mark is held back until it is known: a few bytes, or a last line of which a secret
    may be wrapped. Marks that touch are replaced as one.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._held = b""
        self._covered = 0  # bytes of what is held that belong to a mark
        self._before = b""  # what came before what is held, without white space: a mark may have begun there
        self._masked = False  # the last that was shown is a mask

    def feed(self, data: bytes) -> bytes:
        """What of the stream may be shown now."""
        return self._show(self._held + data, last=False)

    def rest(self) -> bytes:
        """The end of the stream: what was held back as the possible beginning of a mark."""
        return self._show(self._held, last=True)

    def _show(self, raw: bytes, *, last: bool) -> bytes:
        tight = self._before + raw.translate(None, WHITE) if self._marks.any_loose else b""
        spans = self._spans(raw, tight)
        cut = len(raw) if last else self._known(raw, tight)
        shown = []
        at = 0
        for start, end in spans:
            if start >= cut:
                break
            if start > at:
                shown.append(raw[at:start])
            if start > at or not self._masked:
                shown.append(MASK)
            at = min(end, cut)
            self._masked = True
        if at < cut:
            shown.append(raw[at:cut])
            self._masked = False
        self._covered = max((end - cut for start, end in spans if start <= cut < end), default=0)
        self._held = raw[cut:]
        if tight:
            known = len(tight) - len(self._held.translate(None, WHITE))
            self._before = tight[max(0, known - LONGEST_MARK) : known]
        return b"".join(shown)

    def _spans(self, raw: bytes, tight: bytes) -> list[Span]:
        """Where marks are in the raw bytes, in order; those that overlap or touch are one."""
        found = [(0, self._covered)] if self._covered else []
        for mark in self._marks.exact.hits(raw):
            found += [(at, at + len(mark)) for at in _places(mark, raw)]
        hits = self._marks.loose.hits(tight)
        if hits:
            places = _Places(raw, tight)
            for mark in hits:
                found += places.of(mark)
        return _merged(found)

    def _known(self, raw: bytes, tight: bytes) -> int:
        """From where on the raw bytes may be the beginning of a mark that goes on."""
        cut = len(raw) - self._marks.exact_begins.longest(raw)
        begun = self._marks.loose_begins.longest(tight)
        if begun >= (_AT_LINE_END if raw[-1:] in (b"\n", b"\r") else 1):
            place = _back(raw, begun)
            if len(raw) - place <= _MOST_HELD:
                cut = min(cut, place)
        return cut


class _Begins:
    """How marks begin. strings: sorted."""

    def __init__(self, strings: list[bytes]) -> None:
        self._strings = strings
        self._most = max(map(len, strings), default=0) - 1
        self._pairs = {string[:2] for string in strings}
        self._firsts = {string[:1] for string in strings}

    def longest(self, data: bytes) -> int:
        """The length of the longest end of the data that is a beginning, but not the whole, of a string."""
        end = data[max(0, len(data) - self._most) :] if self._most > 0 else b""
        for at in range(len(end) - 1):
            if end[at : at + 2] in self._pairs and self._goes_on(end[at:]):
                return len(end) - at
        return 1 if end[-1:] in self._firsts else 0

    def _goes_on(self, begin: bytes) -> bool:
        place = bisect_right(self._strings, begin)  # what begins so sorts right after it
        return place < len(self._strings) and self._strings[place].startswith(begin)


class _Places:
    """Where loose marks are in the raw bytes, by where they are in those without white space."""

    def __init__(self, raw: bytes, tight: bytes) -> None:
        self._raw = raw
        self._tight = tight
        self._index: list[int] | None = None

    def of(self, mark: bytes) -> list[Span]:
        raw, tight = self._raw, self._tight
        found = [*_places(mark, tight)]
        straight = [*_places(mark, raw)]
        if len(straight) == len(found):
            return [(at, at + len(mark)) for at in straight]
        if self._index is None:
            self._index = [*compress(range(len(raw)), raw.translate(_NOT_WHITE))]
        before = len(tight) - len(self._index)
        return [
            (self._index[at - before] if at >= before else 0, self._index[at - before + len(mark) - 1] + 1)
            for at in found
            if at + len(mark) > before
        ]


def _places(string: bytes, data: bytes) -> Iterator[int]:
    """All of them, also those that overlap."""
    at = data.find(string)
    while at >= 0:
        yield at
        at = data.find(string, at + 1)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _back(raw: bytes, count: int) -> int:
    """Where the last so many bytes that are no white space begin; 0 when there are fewer."""
    size = 2 * count
    while True:
        index = [*compress(range(min(size, len(raw))), raw[-size:].translate(_NOT_WHITE))]
        if len(index) >= count or size >= len(raw):
            return max(0, len(raw) - size) + index[-count] if len(index) >= count else 0
        size *= 4
