"""Conditions that must not matter to a build, made other than they usually are: for building something twice."""

from __future__ import annotations

import os
import socket

from contractor.core.values import Value
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside


class Variation(Value, frozen=True):
    """What is other than usual.

    personality: no address randomisation, and for steps of the build user a kernel that calls itself 2.6 (packages of
    libc refuse to be installed under one). cpus: how many may be used, 0 for all.
    hostname: the name of the host outside the sandbox. tmpfs: bytes of memory for a workspace that lists its files in
    another order than a disk does, 0 for a disk.
    """

    personality: bool = False
    cpus: int = 0
    hostname: str = ""
    tmpfs: int = 0


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
