"""Where the output of one attempt first differs from that of another.

Times, process numbers and addresses differ in every run, so a line that differs in more than its digits is preferred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

_LONGEST = 1 << 20  # bytes of a line; a longer one counts as several
_DIGITS = re.compile(rb"[0-9]+")


class Difference(NamedTuple):
    """line: its number, from 1; text: the second output's line, None when it ended before; digits: only they differ."""

    line: int
    text: bytes | None
    digits: bool = False


def first_difference(one: Iterable[bytes], other: Iterable[bytes]) -> Difference | None:
    """Of two outputs, each in pieces of any size; None when they are equal."""
    weak: Difference | None = None
    for number, (mine, theirs) in enumerate(zip_longest(lines(one), lines(other)), 1):
        if mine == theirs:
            continue
        if mine is None or theirs is None or _DIGITS.sub(b"0", mine) != _DIGITS.sub(b"0", theirs):
            return Difference(number, theirs)
        weak = weak or Difference(number, theirs, digits=True)
    return weak


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; the last one may have had none."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST:
            yield rest
            rest = b""
    if rest:
        yield rest
