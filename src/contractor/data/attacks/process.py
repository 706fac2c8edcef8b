# mypy: disable-error-code="import-not-found,no-any-return"
"""What a step is: its ids, capabilities, descriptors, limits; and its pid 1."""

from __future__ import annotations

import ctypes
import os
import resource

from lib import Escaped, refused, status

Baits = dict[str, str]
_ROOT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10, 18, 27, 29, 31)  # capability.h; bwrap.py names them


def capabilities(baits: Baits) -> str:
    allowed = sum(1 << bit for bit in _ROOT_CAPABILITIES) if baits["user"] == "0" else 0
    for pid in ("self", "1"):
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            more = int(status(kind, pid), 16) & ~allowed
            if more:
                raise Escaped(f"{kind} of {pid} has {more:#x} more than it should")
    return f"none but {allowed:#x}"


def privileges(_baits: Baits) -> str:
    for pid in ("self", "1"):
        if status("NoNewPrivs", pid) != "1" or status("Seccomp", pid) != "2":
            raise Escaped(f"process {pid} has no filter, or may gain privileges")
    return "NoNewPrivs 1, Seccomp 2"


def ids(baits: Baits) -> str:
    if os.getresuid() != (int(baits["user"]),) * 3 or os.getresgid() != (int(baits["user"]),) * 3:
        raise Escaped(f"runs as {os.getresuid()} {os.getresgid()}")
    if os.getgroups() not in ([], [65534], [int(baits["user"])]):
        raise Escaped(f"has the groups {os.getgroups()}")
    said = refused(("the caller's id", lambda: os.setresuid(65536, 65536, 65536)))
    if baits["user"] == "0":
        return said
    return said + ", " + refused(("root", lambda: os.setresuid(0, 0, 0)), ("groups", lambda: os.setgroups([0])))


def descriptors(_baits: Baits) -> str:
    found = {int(name) for name in os.listdir("/proc/self/fd")}
    parent = {int(name) for name in os.listdir(f"/proc/{os.getppid()}/fd")}
    if (found | parent) - {0, 1, 2, max(found), max(parent)} or len(parent) > 4:
        raise Escaped(f"has the descriptors {sorted(found | parent)}")
    if not os.path.samefile("/proc/self/fd/0", "/dev/null"):
        raise Escaped("its standard input is not empty")
    return "0, 1, 2"


def outlive(_baits: Baits) -> str:
    """pid 1 has the same filter and, by /proc/1/mem, does what we want: it must not clear its death signal either."""
    libc = ctypes.CDLL(None)
    found = ctypes.c_int(-1)
    libc.prctl(1, 9, 0, 0, 0)
    libc.prctl(2, ctypes.byref(found), 0, 0, 0)
    if found.value != 0:
        raise Escaped("PR_SET_PDEATHSIG works")
    return "PR_SET_PDEATHSIG does nothing"


def own_program(_baits: Baits) -> str:
    return refused(
        ("/proc/self/exe", lambda: os.open("/proc/self/exe", os.O_WRONLY)),
        ("/proc/1/exe", lambda: os.open("/proc/1/exe", os.O_WRONLY)),
    )


def oom(_baits: Baits) -> str:
    def write(value: int) -> None:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(value))

    return refused(("-1000", lambda: write(-1000)), ("-1", lambda: write(-1)))


def limits(_baits: Baits) -> str:
    kinds = ("RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NOFILE")
    for name in kinds:
        number = getattr(resource, name)
        soft, hard = resource.getrlimit(number)
        if hard == resource.RLIM_INFINITY:
            raise Escaped(f"{name} is unlimited")
        try:
            resource.setrlimit(number, (soft, hard + 1))
        except (ValueError, OSError):
            continue
        raise Escaped(f"{name} can be raised")
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return "none can be raised"
    raise Escaped("may run with real-time priority")


def descend(_baits: Baits) -> str:
    """The way out by a directory that was open before: chroot into one, walk up from another."""
    here = os.open("/workspace", os.O_RDONLY)

    def leave() -> None:
        os.chroot("/tmp")
        os.fchdir(here)
        for _ in range(64):
            os.chdir("..")
        found = set(os.listdir("."))
        os.chroot(".")
        if found - set(os.listdir("/proc/1/root/")):
            raise Escaped("the walk up ended outside")
        raise PermissionError(1, "ended at the sandbox's own root")

    return refused(("chroot", leave))
