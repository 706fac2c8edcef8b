"""What commands write to standard output: data, as lines or as JSON. Talk goes to standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contractor.spec.model import Limits


def put(lines: Iterable[str]) -> None:
    """Lines of text; what the output's encoding cannot say becomes a question mark."""
    for line in lines:
        try:
            sys.stdout.write(f"{line}\n")
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")


def put_json(value: Any) -> None:
    """A value, indented, in the order in which it was made."""
    import msgspec

    put([msgspec.json.format(msgspec.json.encode(value), indent=2).decode()])


def talk(line: str) -> None:
    """A line beside the data."""
    sys.stderr.write(f"{line}\n")


def when(seconds: float) -> str:
    """A moment in the user's own time zone, as 2025-03-04 10:15; seconds since the epoch are in the record."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-"


def limits_text(given: Limits) -> str:
    """A build's limits in a line."""
    from contractor.spec.quantities import duration_text, size_text

    texts = [
        f"time {duration_text(given.time)}" if given.time else "time unlimited",
        f"memory {size_text(given.memory)}" if given.memory else "memory unlimited",
        f"disk {size_text(given.disk)}",
        f"processes {given.processes}",
        f"log {size_text(given.log)}",
        f"file-size {size_text(given.file_size)}",
        f"files {given.files}",
        *([f"cpus {given.cpus}"] if given.cpus else []),
    ]
    return ", ".join(texts)


def terminal_width(fd: int = 2, unknown: int = 80) -> int:
    """Columns of the terminal that a descriptor is (2: where people are talked to)."""
    try:
        return os.get_terminal_size(fd).columns
    except OSError:
        return unknown
