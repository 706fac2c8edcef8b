"""Sizes and durations as people write them: `4G`, `512KiB`, `30m`, `1h30m`. Bytes and seconds inside.

A size counts in 1024s, as memory and `du` do: 4G, 4Gi and 4GiB are the same. Decimal units (GB) are refused.
"""

from __future__ import annotations

from contractor.spec.problems import Fault, shown

MAX_SIZE = (1 << 63) - 1  # what a file offset can hold
MAX_DURATION = 366 * 86400.0
_DIGITS = "0123456789"
_SIZE_UNITS = {"": 0, "B": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_DURATION_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
SIZE_HINT = "write a number of bytes, or a number with K, M, G or T, such as 512M or 4G"
DURATION_HINT = "write seconds, or numbers with d, h, m or s, such as 90s, 30m or 1h30m"


def parse_size(text: str) -> int | Fault:
    """Bytes of `4G`, `1.5G`, `100M`, `512KiB` or `4096`; a fault when it is none of these."""
    number, unit = _split(text.strip())
    if unit[:1] in ("K", "M", "G", "T", "k", "m", "g", "t") and unit[1:].upper() == "B":
        return (
            f"{shown(text)} is not clear: decimal or binary?",
            f"write {number}{unit[0].upper()}: sizes count in 1024s",
        )
    shift = _SIZE_UNITS.get(unit[:1].upper()) if unit[1:] in ("", "i", "iB") else None
    value = _number(number)
    if value is None or shift is None or (unit[1:] and not shift):
        return f"{shown(text)} is not a size", SIZE_HINT
    size = _scaled(number, shift)
    if size > MAX_SIZE:
        return f"{shown(text)} is too large for a size", SIZE_HINT
    return size


def size_text(size: int) -> str:
    """The shortest exact text of a size in bytes: 4294967296 is `4G`. parse_size gives it back."""
    for unit in ("T", "G", "M", "K"):
        shift = _SIZE_UNITS[unit]
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return str(size)


def parse_duration(text: str) -> float | Fault:
    """Seconds of `30m`, `1h30m`, `90s`, `0.5s` or `90`; else a fault. Units go from long to short."""
    rest, total, last = text.strip().lower(), 0.0, float("inf")
    fault: Fault = (f"{shown(text)} is not a duration", DURATION_HINT)
    if not rest or len(rest) > 64:
        return fault
    bare = rest.strip(_DIGITS + ".") == ""
    while rest:
        number, rest = _split(rest)
        end = len(rest) - len(rest.lstrip("dhms"))
        unit, rest = rest[:end], rest[end:]
        value, scale = _number(number), _DURATION_UNITS.get(unit)
        if value is None or scale is None or scale >= last or (unit == "" and not bare):
            return fault
        total, last = total + value * scale, scale
    if total > MAX_DURATION:
        return f"{shown(text)} is more than a year", DURATION_HINT
    return total


def duration_text(seconds: float) -> str:
    """The text of a duration: 5400.0 is `1h30m`. parse_duration gives it back, to the microsecond."""
    whole, part = divmod(seconds, 1)
    if part:
        return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
    text, rest = "", int(whole)
    for unit, scale in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, scale)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _split(text: str) -> tuple[str, str]:
    """The number at the beginning, and the rest."""
    rest = text.lstrip(_DIGITS + ".")
    return text[: len(text) - len(rest)], rest.lstrip() if len(rest) < len(text) else rest


def _number(text: str) -> float | None:
    whole, _dot, part = text.partition(".")
    if not whole or len(text) > 25 or "." in part or (text.endswith(".")):
        return None
    return float(text)


def _scaled(number: str, shift: int) -> int:
    """Exact for whole numbers (a float is not, above 2**53)."""
    return int(number) << shift if "." not in number else int(float(number) * (1 << shift))
