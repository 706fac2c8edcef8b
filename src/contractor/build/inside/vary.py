"""Conditions that must not matter to a build, made other than they usually are: for building something twice."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from contractor.core.values import Value
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside


class Variation(Value, frozen=True):
    """What is other than usual.

    personality: no address randomisation, and for steps of the build user a kernel that calls itself 2.6 (packages of
    libc refuse to be installed under one). cpus: how many may be used, 0 for all.
    hostname: the name of the host outside the sandbox. tmpfs: bytes of memory for a workspace that lists its files in
    another order than a disk does, 0 for a disk. date: programs in system trees see another date (data/clock/clock.c).
    """

    personality: bool = False
    cpus: int = 0
    hostname: str = ""
    tmpfs: int = 0
    date: bool = False


DAYS = 398  # by which the date is later
_CLOCKS = Path(__file__).parents[2] / "data" / "clock"
_CLOCK, _PRELOAD = "clock.so", "ld.so.preload"
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}


def has_clock() -> bool:
    """Whether there is one for this machine."""
    return os.uname().machine in _ARCHES


def add_clock(etc: str, preload: bytes) -> None:
    """Have a tree's loader take the other clock along. etc: laid over the tree's; preload: what the tree has there."""
    library = (_CLOCKS / f"clock-{_ARCHES[os.uname().machine]}.so").read_bytes()
    for name, data in ((_CLOCK, library), (_PRELOAD, preload + f"/etc/{_CLOCK}\n".encode())):
        with open(f"{etc}/{name}", "wb") as file:
            file.write(data)
        os.chmod(f"{etc}/{name}", 0o644)  # a step's user reads it


def apply(inside: Inside, variation: Variation) -> None:
    """To this process and all that it starts, or to steps alone; before the workspace is made."""
    if variation.personality:
        syscalls.personality(syscalls.ADDR_NO_RANDOMIZE)
        inside.personality = syscalls.ADDR_NO_RANDOMIZE | syscalls.UNAME26
    if variation.cpus:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-variation.cpus :])
    if variation.hostname:
        socket.sethostname(variation.hostname)
    inside.state["tmpfs"] = variation.tmpfs
    inside.state["clock"] = variation.date
