"""The conditions under which a build is built again: those that must not matter, each made other where this can be.

The list is reprotest's (https://salsa.debian.org/reproducible-builds/reprotest). What is not varied is told as such.
"""

from __future__ import annotations

import contextlib
import locale
import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from contractor.build.inside.vary import DAYS, Variation, has_clock
from contractor.core.words import count
from contractor.plan.model import Plan
from contractor.store.layout import Store

# The time and the folder are others anyway.
VARIATIONS = ("date", "kernel", "cpus", "file-order", "hostname", "umask", "environment")
HOST = "elsewhere.example"
_ZONES = ("<+14>-14", "<-11>+11")  # as POSIX writes them: where it is tomorrow, where it is still yesterday
_LOCALES = ("C", "C.UTF-8")  # those that are everywhere
_SHARE = 4  # of the memory that is free, a workspace in memory may have one of this many parts
_LEAST = 64 << 20  # bytes of memory with which that is tried


class Conditions(NamedTuple):
    """variation: in the sandbox; umask: of the process outside, -1 for its own; environment: its time zone, locale and
    variables, none for its own. skipped: what was asked for and cannot be here, with the reason."""

    variation: Variation
    umask: int = -1
    environment: dict[str, str] = {}
    skipped: tuple[tuple[str, str], ...] = ()

    def milder(self, why: str) -> Conditions | None:
        """Without what a build may rightly not bear: another date, an old kernel, and a workspace in memory, which may
        not fit. None when there was nothing of that.
        """
        given = {
            "date": self.variation.date,
            "kernel": self.variation.personality,
            "file-order": self.variation.tmpfs > 0,
        }
        left = tuple((name, why) for name, was in given.items() if was)
        if not left:
            return None
        variation = Variation(cpus=self.variation.cpus, hostname=self.variation.hostname)
        return self._replace(variation=variation, skipped=(*self.skipped, *left))

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """What of it is this process's own: restored at the end."""
        with _umask(self.umask), _surroundings(self.environment):
            yield


@contextlib.contextmanager
def _umask(wanted: int) -> Iterator[None]:
    if wanted < 0:
        yield
        return
    before = os.umask(wanted)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def _surroundings(wanted: dict[str, str]) -> Iterator[None]:
    """These variables and no others, with the time zone and the locale that they name."""
    if not wanted:
        yield
        return
    before, spoken = dict(os.environ), locale.setlocale(locale.LC_ALL)  # noqa: TID251 - put back, never looked at
    try:
        _surround(wanted)
        locale.setlocale(locale.LC_ALL, wanted["LC_ALL"])
        yield
    finally:
        _surround(before)
        locale.setlocale(locale.LC_ALL, spoken)


def _surround(variables: dict[str, str]) -> None:
    os.environ.clear()  # noqa: TID251
    os.environ.update(variables)  # noqa: TID251
    time.tzset()


def choose(plan: Plan, store: Store, asked: Sequence[str]) -> Conditions:
    """Of what was asked for, all that this machine can do."""
    skipped: list[tuple[str, str]] = []
    cpus = len(os.sched_getaffinity(0))
    if "cpus" in asked and cpus == 1:
        skipped.append(("cpus", "there is one"))
    memory = _free_memory() // _SHARE
    why_not = _no_memory(memory, plan, store) if "file-order" in asked else ""
    if why_not:
        skipped.append(("file-order", why_not))
    if "date" in asked and not has_clock():
        skipped.append(("date", f"there is no clock for {os.uname().machine}"))
    variation = Variation(
        personality="kernel" in asked,
        cpus=cpus - 1 if "cpus" in asked else 0,
        hostname=HOST if "hostname" in asked else "",
        tmpfs=memory if "file-order" in asked and not why_not else 0,
        date="date" in asked and has_clock(),
    )
    return Conditions(
        variation,
        _other_umask() if "umask" in asked else -1,
        _other_environment() if "environment" in asked else {},
        tuple(skipped),
    )


def _no_memory(memory: int, plan: Plan, store: Store) -> str:
    """Why the workspace cannot be in memory, or ""; memory: bytes that it may have."""
    size = sum(_size(store.state(action.key)) for action in plan.actions)
    if size * 2 >= memory or memory < _LEAST:
        return "the workspace does not fit into free memory"
    return "the store is in memory as well" if _is_in_memory(store.root) else ""


def varied(conditions: Conditions, later: float, *, elsewhere: bool = False) -> tuple[str, ...]:
    """What was other than when it was first built, in words. later: seconds between the two. elsewhere: the first
    build is not this store's."""
    variation = conditions.variation
    words = [_later(later), "another store" if elsewhere else "another folder outside"]
    words += [f"the date in shell steps, by {DAYS} days"] if variation.date else []
    words += ["a kernel called 2.6 in shell steps, addresses not randomised"] if variation.personality else []
    words += [f"{count(variation.cpus, 'CPU')} instead of {variation.cpus + 1}"] if variation.cpus else []
    words += ["another host name outside"] if variation.hostname else []
    words += [f"umask {conditions.umask:03o} outside"] if conditions.umask >= 0 else []
    words += ["another time zone, locale and environment outside"] if conditions.environment else []
    words += ["another order of files in the workspace"] if variation.tmpfs else []
    return tuple(words)


def constant(conditions: Conditions, asked: Sequence[str], *, elsewhere: bool = False) -> tuple[str, ...]:
    """What was not varied, in words; of another store's build nothing is known of who made it, and on what."""
    why = dict(conditions.skipped)
    left = [f"{name} ({why.get(name, 'not asked for')})" for name in VARIATIONS if name in why or name not in asked]
    here = () if elsewhere else ("the user outside", "the machine and its kernel")
    return (*left, *here, "the order of files in the system tree")


def _later(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"the time, by {seconds // size:.0f} {unit}"
    return f"the time, by {count(round(seconds), 'second')}" if seconds >= 0 else "the time (the clock went back)"


def _other_umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return 0o077 if now != 0o077 else 0o022


def _other_environment() -> dict[str, str]:
    """Nothing of this process's own, and values that it does not have."""
    zone = _ZONES[1] if time.timezone < -12 * 3600 else _ZONES[0]  # seconds west of Greenwich
    spoken = next(name for name in _LOCALES if name != locale.setlocale(locale.LC_CTYPE))
    return {"TZ": zone, "LC_ALL": spoken, "LANG": spoken, "HOME": "/nonexistent", "USER": "elsewhere", "PATH": "/bin"}


def _is_in_memory(path: str) -> bool:
    """Whether the folder is on a tmpfs, which lists files as a workspace in memory does."""
    there = os.stat(path).st_dev
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        found = [line.split() for line in file]
    wanted = f"{os.major(there)}:{os.minor(there)}"
    return any(words[2] == wanted and words[words.index("-") + 1] == "tmpfs" for words in found)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _free_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
