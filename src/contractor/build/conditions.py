"""The conditions under which a build is built again: those that must not matter, each made other where this can be.

The list is reprotest's (https://salsa.debian.org/reproducible-builds/reprotest). What is not varied is told as such.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from contractor.build.inside.vary import Variation
from contractor.core.words import count
from contractor.plan.model import Plan
from contractor.store.layout import Store

VARIATIONS = ("kernel", "cpus", "hostname", "umask", "file-order")  # the time and the folder are others anyway
HOST = "elsewhere.example"
_SHARE = 4  # of the memory that is free, a workspace in memory may have one of this many parts
_LEAST = 64 << 20  # bytes of memory with which that is tried


class Conditions(NamedTuple):
    """variation: in the sandbox; umask: of the process outside, -1 for its own. skipped: what was asked for and cannot
    be here, with the reason."""

    variation: Variation
    umask: int = -1
    skipped: tuple[tuple[str, str], ...] = ()

    def milder(self, why: str) -> Conditions | None:
        """Without what a build may rightly not bear: a workspace in memory, which may not fit, and an old kernel.

        None when there was nothing of that.
        """
        given = {"kernel": self.variation.personality, "file-order": self.variation.tmpfs > 0}
        left = tuple((name, why) for name, was in given.items() if was)
        if not left:
            return None
        variation = Variation(cpus=self.variation.cpus, hostname=self.variation.hostname)
        return Conditions(variation, self.umask, (*self.skipped, *left))

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """What of it is this process's own."""
        if self.umask < 0:
            yield
            return
        before = os.umask(self.umask)
        try:
            yield
        finally:
            os.umask(before)


def choose(plan: Plan, store: Store, asked: Sequence[str]) -> Conditions:
    """Of what was asked for, all that this machine can do."""
    skipped: list[tuple[str, str]] = []
    cpus = len(os.sched_getaffinity(0))
    if "cpus" in asked and cpus == 1:
        skipped.append(("cpus", "there is one"))
    memory, size = _free_memory() // _SHARE, sum(_size(store.state(action.key)) for action in plan.actions)
    fits = size * 2 < memory and memory >= _LEAST
    if "file-order" in asked and not fits:
        skipped.append(("file-order", "the workspace does not fit into free memory"))
    variation = Variation(
        personality="kernel" in asked,
        cpus=cpus - 1 if "cpus" in asked else 0,
        hostname=HOST if "hostname" in asked else "",
        tmpfs=memory if "file-order" in asked and fits else 0,
    )
    return Conditions(variation, _other_umask() if "umask" in asked else -1, tuple(skipped))


def varied(conditions: Conditions, later: float) -> tuple[str, ...]:
    """What was other than when it was first built, in words. later: seconds between the two."""
    variation = conditions.variation
    words = [_later(later), "another folder outside"]
    words += ["a kernel called 2.6 in shell steps, addresses not randomised"] if variation.personality else []
    words += [f"{count(variation.cpus, 'CPU')}, one less"] if variation.cpus else []
    words += ["another host name outside"] if variation.hostname else []
    words += [f"umask {conditions.umask:03o} outside"] if conditions.umask >= 0 else []
    words += ["another order of files in the workspace"] if variation.tmpfs else []
    return tuple(words)


def constant(conditions: Conditions, asked: Sequence[str]) -> tuple[str, ...]:
    """What was not varied, in words; of what no step sees, it says so."""
    why = dict(conditions.skipped)
    left = [f"{name} ({why.get(name, 'not asked for')})" for name in VARIATIONS if name in why or name not in asked]
    seen = "user, time zone, locale and environment outside (no step sees them)"
    return (*left, seen, "the machine and its kernel", "the order of files in the system tree")


def _later(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"the time, by {seconds // size:.0f} {unit}"
    return f"the time, by {count(round(seconds), 'second')}" if seconds >= 0 else "the time (the clock went back)"


def _other_umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return 0o077 if now != 0o077 else 0o022


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _free_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
