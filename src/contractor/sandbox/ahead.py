"""The next step's sandbox, set up while a step runs: most of a small step's time goes into namespaces and mounts.

    Contractor                                 supervisor
    run A, B is next (a pipe for each)   ->    start A; start B, which waits just before its command
                                         <-    A's exit
    save the workspace, once looked at   ->
    run what waits                       ->    let B go on

What waits has seen nothing of A and runs nothing: its mounts are made, its command has not begun. It has another user
namespace than A, so that neither counts as processes of the other. It is given up when A does not succeed, and when
anything but the above is asked for: the workspace or the tree may be another one then. Contractor mostly sees that by
the pipe (a sandbox that waits holds its other side, and writes nothing), and is told otherwise: then it starts it anew.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from contractor.sandbox.channel import close_all

if TYPE_CHECKING:
    from contractor.sandbox.spec import SandboxSpec

GONE = "gone"  # the trouble of a step whose sandbox was to wait and does not
MEANWHILE = frozenset({"run", "save", "leaks"})  # the operations that leave waiting what waits: no mount changes


class Announced:
    """Contractor's side: what has been announced to the supervisor, and where its output will come."""

    def __init__(self) -> None:
        self._spec: SandboxSpec | None = None
        self._read = -1

    def announce(self, spec: SandboxSpec, read: int) -> None:
        """read: the pipe that the sandbox will write to; it is closed here, or by who takes it."""
        self.close()
        self._spec, self._read = spec, read

    def take(self, spec: SandboxSpec) -> int | None:
        """The pipe of the sandbox that waits, if there is one for this spec; it waits no longer in any case."""
        fits = self._spec == spec and waits(self._read)
        read, self._read = self._read, -1
        if fits:
            return read
        close_all([read] if read >= 0 else [])
        return None

    def close(self) -> None:
        close_all([self._read] if self._read >= 0 else [])
        self._spec, self._read = None, -1


def waits(read: int) -> bool:
    """Whether somebody has the pipe's other side and has not written: bwrap itself has only troubles to tell."""
    if read < 0:
        return False
    poll = select.poll()
    poll.register(read, select.POLLIN)
    return not poll.poll(0)


def gate() -> int:
    """Where a sandbox waits for a byte: a pipe as one descriptor for both sides, since bwrap would also take a pipe's
    end for the word to go on, and the supervisor's own end is one.
    """
    read, write = os.pipe()
    try:
        return os.open(f"/proc/self/fd/{read}", os.O_RDWR | os.O_CLOEXEC)
    finally:
        close_all([read, write])
