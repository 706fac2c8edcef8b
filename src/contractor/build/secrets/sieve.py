"""Which of many byte strings occur in much data: at the speed of reading it, however many there are. Pure.

A few are looked for one by one. Of many, data is looked at only at every so many bytes: a string that is long enough
has one of its own short parts (grams) at one of these places, wherever it begins. Grams that are there by chance cost
a search for the strings that have them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

# Shortest string, bytes of a gram, bytes between two looks (so shortest >= gram + step - 1), and how many strings are
# cheaper to look for one by one, by what was measured.
_BANDS = ((39, 8, 32, 3), (23, 8, 16, 6), (15, 8, 8, 12), (7, 4, 4, 20), (4, 4, 1, 80))
_FORMATS: dict[int, Literal["I", "Q"]] = {4: "I", 8: "Q"}


class Sieve:
    """Each string has four bytes or more."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        self._bands: list[_Band] = []
        left = sorted({*strings}, key=len)
        for shortest, *rest in _BANDS:
            here = [string for string in left if len(string) >= shortest]
            left = [string for string in left if len(string) < shortest]
            if here:
                self._bands.append(_Band(here, *rest))
        if left:
            raise ValueError(f"too short to be looked for: {len(left[0])} bytes")

    def hits(self, data: bytes) -> list[bytes]:
        """The strings that occur in the data."""
        return [string for band in self._bands for string in band.likely(data) if string in data]


class _Band:
    """Strings of about the same length."""

    def __init__(self, strings: list[bytes], gram: int, step: int, few: int) -> None:
        self._strings = strings
        self._gram = gram
        self._step = step
        self._having: dict[int, list[bytes]] = {}
        if len(strings) > few:
            for string in strings:
                for place in range(step):
                    number = memoryview(string[place : place + gram]).cast(_FORMATS[gram])[0]
                    self._having.setdefault(number, []).append(string)
        self._grams = frozenset(self._having)

    def likely(self, data: bytes) -> Iterable[bytes]:
        if not self._grams:
            return self._strings
        found: set[int] = set()
        for begin in range(self._gram if self._step == 1 else 1):
            whole = (len(data) - begin) // self._gram * self._gram
            if whole > 0:
                view = memoryview(data)[begin : begin + whole].cast(_FORMATS[self._gram])
                found |= self._grams.intersection(view[:: max(1, self._step // self._gram)])
        return {string: None for number in found for string in self._having[number]}
