"""What a step may use: set on bwrap from outside, while it waits for its options; everything below inherits it."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import TYPE_CHECKING

from contractor.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contractor.sandbox.namespace import Inside
    from contractor.sandbox.spec import SandboxSpec

_FILES = (1024, 4096)  # open at once: soft and hard
_STACK = 8 << 20  # bytes; configure scripts and make look at it


def limit(pid: int, spec: SandboxSpec, cpus: Sequence[int]) -> None:
    """Limit a process, by resources and to these CPUs (all if none are given). ProcessLookupError: it has ended."""
    for kind, value in (
        (resource.RLIMIT_NPROC, spec.limits.processes),
        (resource.RLIMIT_FSIZE, spec.limits.file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        most = _at_most(kind, value)
        resource.prlimit(pid, kind, (most, most))
    files = _at_most(resource.RLIMIT_NOFILE, _FILES[1])  # the same on every machine, as far as it allows
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(_FILES[0], files), files))
    if cpus:
        os.sched_setaffinity(pid, cpus)


def limit_stack() -> None:
    """In the supervisor, for all that it starts: the stack's limit cannot be set from outside, because the kernel
    writes it back at the end of an execve.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (_at_most(resource.RLIMIT_STACK, _STACK), hard))


def _at_most(kind: int, value: int) -> int:
    """The value, or this process's own hard limit where that is lower."""
    _soft, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def cpus_for(inside: Inside, spec: SandboxSpec) -> list[int]:
    """The CPUs that a step sees; none for all. Unavailable: there are fewer."""
    there, count = len(inside.cpus), spec.limits.cpus
    if count > there:
        raise Unavailable(
            f"the step is to see {count} CPUs, and there are {there} here",
            hint="build on a machine with as many, or say fewer in `limits: {cpus: ...}`",
        )
    return inside.cpus[:count]


def offer_to_oom_killer(pid: str) -> None:
    """A step goes before anything else of this machine: proc_pid_oom_score_adj(5)."""
    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"800")
        finally:
            os.close(fd)
