"""What is seen of an attack from outside: the end of its output, and its processes as the host has them."""

from __future__ import annotations

import contextlib
import os
import time

from contractor.core.errors import OutOfLimits
from contractor.sandbox.spec import Tier

_ENDING = 2.0  # seconds that a pid 1 without children may take to end
_OUTPUT_KEPT = 1 << 16  # bytes


class Output:
    """The end of what an attack wrote; OutOfLimits as the build's log raises it."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._kept = b""

    def __call__(self, data: bytes) -> None:
        self._left -= len(data)
        self._kept = (self._kept + data)[-_OUTPUT_KEPT:]
        if self._left < 0:
            raise OutOfLimits("the log reached its limit")

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def last(self) -> str:
        lines = [line for line in self.text().splitlines() if line.startswith(("HELD", "ESCAPED", "ERROR"))]
        return lines[-1] if lines else f"it ended without a verdict: {self.text()[-200:]!r}"


class Owners:
    """Looks from the host at the processes of a running attack: whose are they, and are they gone afterwards?"""

    def __init__(self, supervisor: int, tier: Tier) -> None:
        self._supervisor = supervisor
        self._tier = tier
        self.wrong = ""

    def look(self) -> None:
        """No process of a step may have the caller's id, nor an id of the host."""
        if self._tier.degraded:
            return
        for pid in _descendants(self._supervisor):
            fields = _status(pid)
            if len(fields.get("NSpid", "").split()) < 3:
                continue  # bwrap's own process, in the supervisor's pid namespace
            for kind in ("Uid", "Gid"):
                for number in fields.get(kind, "").split():
                    if int(number) < 65536 or int(number) in (os.getuid(), os.getgid()):
                        self.wrong = f"a process of the step has the {kind.lower()} {number} on the host"

    def left(self) -> str:
        """Which process is still there after the step. A pid 1 may need a moment to take its mounts down."""
        deadline = time.monotonic() + _ENDING
        while True:
            there = [fields for pid in _descendants(self._supervisor) if _lives(fields := _status(pid))]
            late = time.monotonic() > deadline
            if not there or late or any(fields.get("Name") != "bwrap" for fields in there):
                return f"the process {there[0].get('Name')} is still there" if there else ""
            time.sleep(0.02)


def _lives(fields: dict[str, str]) -> bool:
    return not fields.get("State", "Z").startswith("Z")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        here = waiting.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{here}/task"):
                with open(f"/proc/{here}/task/{task}/children", encoding="ascii") as file:
                    children = [int(word) for word in file.read().split()]
                found += children
                waiting += children
    return found


def _status(pid: int) -> dict[str, str]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {}
