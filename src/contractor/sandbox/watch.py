"""Watching a running step: what it uses of the disk, of memory and of processes, where no quota holds it.

An ordinary user has no disk quota and, without a delegated cgroup, no memory limit. So the supervisor looks: free
space of the file system four times a second (2 us), the exact usage when that may have crossed the limit, and the
step's processes twice a second. An overshoot of what a step can write in that time is possible, and documented.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from contractor.spec.model import Limits

INTERVAL = 0.25  # seconds between looks
_EXACT_EVERY = 20.0  # seconds between exact measurements when the file system shows no growth
_PAGE = os.sysconf("SC_PAGE_SIZE")

Usage = Callable[[], tuple[int, int]]  # bytes and files of the build so far, exactly


class Watch:
    """`check()` names the limit that was crossed, or is empty."""

    def __init__(self, limits: Limits, folder: str, usage: Usage, *, memory: bool) -> None:
        self._limits = limits
        self._folder = folder
        self._usage = usage
        self._memory = memory  # True: no cgroup holds the limit, so watch it
        self._used: tuple[int, int] | None = None
        self._free = _free(folder)
        self._exact_at = 0.0
        self._processes_at = 0.0
        self.most_processes = 0
        self.most_memory = 0

    def check(self, root_pid: int | None) -> str:
        """root_pid: the sandbox's pid 1 as seen here, when it is known."""
        now = time.monotonic()
        if root_pid is not None and now - self._processes_at >= 2 * INTERVAL:
            self._processes_at = now
            self.most_processes, memory = _processes(root_pid)
            self.most_memory = max(self.most_memory, memory)
            if self._memory and self._limits.memory and memory > self._limits.memory:
                return "memory"
        return self._check_disk(now)

    def _check_disk(self, now: float) -> str:
        free_bytes, free_files = _free(self._folder)
        if free_bytes < 1 << 20 and free_bytes < self._free[0]:
            return "disk-full"
        used_bytes, used_files = self._used or (0, 0)
        grown_bytes, grown_files = self._free[0] - free_bytes, self._free[1] - free_files
        near = (
            (self._used is None and (grown_bytes > 64 << 20 or grown_files > 10_000))
            or used_bytes + grown_bytes > self._limits.disk
            or used_files + grown_files > self._limits.files
        )  # fmt: skip
        if not near and now - self._exact_at < _EXACT_EVERY and self._exact_at:
            return ""
        if not near and not self._exact_at:
            self._exact_at = now  # a short step is not worth an exact measurement
            return ""
        started = time.monotonic()
        self._used, self._free = self._usage(), (free_bytes, free_files)
        self._exact_at = time.monotonic() + 10 * (time.monotonic() - started)  # never more than a tenth of the time
        if self._used[0] > self._limits.disk:
            return "disk"
        return "files" if self._used[1] > self._limits.files else ""


def _free(folder: str) -> tuple[int, int]:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail


def _processes(root_pid: int) -> tuple[int, int]:
    """How many processes there are below root_pid, and their resident memory in bytes.

    By /proc/PID/task/TID/children, which the kernel keeps for each thread: only the sandbox's own tree is read.
    """
    count, memory = 0, 0
    waiting = [root_pid]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/statm", "rb") as file:
                memory += int(file.read().split()[1]) * _PAGE
            count += 1
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    waiting += [int(word) for word in file.read().split()]
    return count, memory
