"""A sandbox that has been started: what bwrap tells of it, letting it go on, killing it, and seeing its end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from contractor.sandbox.channel import close_all

_TOLD_WITHIN = 1.0  # seconds in which bwrap tells the sandbox's pid 1, if it ever does
_EXITING = 4  # PF_EXITING: <linux/sched.h>
_TICKS = os.sysconf("SC_CLK_TCK")  # a second


class Started:
    """A running bwrap: its pid, a descriptor that is readable when it ends, and its status pipe.

    gate: the descriptor at which its command waits for its turn, -1 when it does not. place: which of its user's
    namespaces it has. counters: of its own network namespace (strays.py); none where it shares the supervisor's.
    """

    def __init__(self, pid: int, status: int, gate: int, place: int, counters: list[int]) -> None:
        self.pid = pid
        self.counters = counters
        self.pidfd = os.pidfd_open(pid)
        self.place = place
        self._gate = gate
        self._status = status
        os.set_blocking(status, False)
        self._text = b""

    def child_pid(self) -> int | None:
        """The pid of the sandbox's own pid 1, as bwrap tells it; the JSON may come in pieces."""
        return self._number(b'"child-pid":')

    def exit_code(self) -> int | None:
        """What the command returned; None when it was never started."""
        return self._number(b'"exit-code":')

    def _number(self, name: bytes) -> int | None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._status, 4096):
                self._text += data
        _before, found, after = self._text.partition(name)
        digits = after.strip().split(b",")[0].split(b"}")[0].strip()
        return int(digits) if found and digits.isdigit() else None

    def has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def go_on(self) -> None:
        """Let the command begin, if it waits."""
        if self._gate >= 0:
            os.write(self._gate, b"g")
            os.close(self._gate)
            self._gate = -1

    def kill(self) -> None:
        """Kill the sandbox's pid 1: the kernel then kills everything in it, whatever it traps.

        It is waited for until bwrap has told it: bwrap killed alone would leave a pid 1 behind that waits for bwrap.
        """
        deadline = time.monotonic() + _TOLD_WITHIN
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        poll.register(self.pidfd, select.POLLIN)
        while (child := self.child_pid()) is None and (left := deadline - time.monotonic()) > 0:
            if self.pidfd in dict(poll.poll(left * 1000)):
                break
        with contextlib.suppress(ProcessLookupError):
            os.kill(child or self.pid, signal.SIGKILL)

    def give_up(self) -> None:
        """End a sandbox whose command has not begun; nothing of it is left then."""
        self.kill()
        os.waitpid(self.pid, 0)
        if child := self.child_pid():
            with contextlib.suppress(ChildProcessError):  # bwrap waited for it
                os.waitpid(child, 0)
        self.close()

    def close(self) -> None:
        close_all([self.pidfd, self._status, *self.counters, *([self._gate] if self._gate >= 0 else [])])


def end_of_all(child: int | None, ending: set[int]) -> None:
    """See to it that nothing of a step runs any more: bwrap ends before its pid 1, and what is left could write.

    A pid 1 that is itself ending is the last of its namespace and does nothing any more; what the kernel has yet to do
    for it (some milliseconds, to take its mounts down) is not waited for, but collected when a later step has ended:
    `ending` keeps it. Any other pid 1 has children, or is not bwrap's any more: a step may write its memory.
    """
    for pid in [*ending]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        ending.discard(pid)
    if child is None:
        return
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(child, os.WNOHANG) != (0, 0):  # ours, as bwrap's orphan
            return
        if _is_last(child):
            ending.add(child)
            return
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)  # ends when every process of its namespace has ended


def _is_last(pid: int) -> bool:
    """Whether a pid 1 is ending, with all of its threads, and has no children."""
    try:
        fields = _stat(pid)
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return bool(int(fields[6]) & _EXITING) and int(fields[17]) <= 1 and not file.read(1)
    except OSError:
        return False  # not to be known: so wait


def cpu_seconds(child: int | None) -> float:
    """What the sandbox's pid 1 and all that it has waited for used; 0 when bwrap's own figure has it already."""
    try:
        return sum(map(int, _stat(child)[11:15])) / _TICKS  # utime, stime, cutime, cstime
    except OSError:
        return 0.0


def _stat(pid: int | None) -> list[bytes]:
    """The fields from the third on, state: proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()
