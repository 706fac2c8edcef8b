"""Attempts of a step to reach a network past its only door, seen in the counters of its network namespace.

There is no route and no name server in there, so these fail at once, and without these counters nobody would know.
A look-up of a name goes to a server on the loopback that is not there; whatever else is sent to such a port counts too.
https://www.kernel.org/doc/html/latest/networking/snmp_counter.html
"""

from __future__ import annotations

import contextlib
import os

PATHS = ("/proc/self/net/snmp", "/proc/self/net/snmp6")  # of the network namespace that they were opened in
_MOST = 16 << 10


def opened() -> list[int]:
    """Descriptors of this process's namespace's counters, which outlive the process; [] where there are none."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in PATHS:
            found.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return found


def count(fds: list[int]) -> tuple[int, int]:
    """(packets that had no route, datagrams to a loopback port where nobody listens), since the namespace was made."""
    if len(fds) != len(PATHS):
        return 0, 0
    four, six = (os.pread(fd, _MOST, 0) for fd in fds)
    return (
        _of_table(four, b"Ip:", b"OutNoRoutes") + _of_list(six, b"Ip6OutNoRoutes"),
        _of_table(four, b"Udp:", b"NoPorts") + _of_list(six, b"Udp6NoPorts"),
    )


def _of_table(text: bytes, table: bytes, name: bytes) -> int:
    """A line of names, and one of their values."""
    lines = [line.split() for line in text.splitlines() if line.startswith(table)]
    if len(lines) != 2 or name not in lines[0]:
        return 0
    return int(lines[1][lines[0].index(name)])


def _of_list(text: bytes, name: bytes) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
