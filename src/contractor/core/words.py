"""Words that messages share."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """ "1 file", "14 files"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
