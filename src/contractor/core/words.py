"""Words that messages share."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """ "1 file", "14 files"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(seconds: float) -> str:
    """How long something is past: "just now", "5 min ago", "3 h ago", "12 days ago"; the future is now."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"
