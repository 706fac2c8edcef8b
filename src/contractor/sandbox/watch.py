"""Watching a running step: what it uses of the disk, of memory and of processes, where no quota holds it.

An ordinary user has no disk quota and, without a delegated cgroup, no memory limit. So the supervisor looks: free
space of the file system four times a second (2 us), the exact usage when that may have crossed the limit, and the
step's processes twice a second. An overshoot of what a step can write in that time is possible, and documented.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable

from contractor.spec.model import Limits

INTERVAL = 0.25  # seconds between looks
_EXACT_EVERY = 2.0  # seconds between exact measurements: others who delete may hide what the file system would show
_FULL = 1 << 20  # bytes: less than this is none
NO_LIMIT = 1 << 62  # bytes of disk that nobody has: nothing is measured
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
        self._device = os.stat(folder).st_dev
        self.most_processes = 0
        self.most_memory = 0

    def check(self, root_pid: int | None) -> str:
        """root_pid: the sandbox's pid 1 as seen here, when it is known."""
        now = time.monotonic()
        if root_pid is not None and now - self._processes_at >= 2 * INTERVAL:
            self._processes_at = now
            pids, memory = _processes(root_pid)
            self.most_processes = max(self.most_processes, len(pids))
            if self._memory and self._limits.memory:
                if memory > self._limits.memory:  # shared pages were counted for each process
                    memory = sum(map(_proportional, pids))
                memory += sum(size for device, size in _nameless(pids) if device != self._device)
                if memory > self._limits.memory:
                    self.most_memory = max(self.most_memory, memory)
                    return "memory"
            self.most_memory = max(self.most_memory, memory)
        return self._check_disk(now, root_pid)

    def full(self) -> bool:
        """Whether the file system is full: a command that failed may have failed for that."""
        return _free(self._folder)[0] < _FULL

    def _check_disk(self, now: float, root_pid: int | None) -> str:
        free_bytes, free_files = _free(self._folder)
        if free_bytes < _FULL and free_bytes < self._free[0]:
            return "disk-full"
        if self._limits.disk >= NO_LIMIT:
            return ""
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
        used_bytes, used_files = self._usage()
        if root_pid is not None:
            hidden = [size for device, size in _nameless(_processes(root_pid)[0]) if device == self._device]
            used_bytes, used_files = used_bytes + sum(hidden), used_files + len(hidden)
        self._used, self._free = (used_bytes, used_files), (free_bytes, free_files)
        self._exact_at = time.monotonic() + 10 * (time.monotonic() - started)  # never more than a tenth of the time
        if self._used[0] > self._limits.disk:
            return "disk"
        return "files" if self._used[1] > self._limits.files else ""


def _free(folder: str) -> tuple[int, int]:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail


def _processes(root_pid: int) -> tuple[list[int], int]:
    """The processes from root_pid down, and their resident memory in bytes (pages that they share, more than once).

    By /proc/PID/task/TID/children, which the kernel keeps for each thread: only the sandbox's own tree is read.
    """
    pids: list[int] = []
    memory = 0
    waiting = [root_pid]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/statm", "rb") as file:
                memory += int(file.read().split()[1]) * _PAGE
            pids.append(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    waiting += [int(word) for word in file.read().split()]
    return pids, memory


def _proportional(pid: int) -> int:
    """A process's share of memory in bytes: exact, and a hundred times dearer than what is resident."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return 0


def _nameless(pids: list[int]) -> list[tuple[int, int]]:
    """Device and size in bytes of each open file that has no name: deleted ones, and memory that no process maps.

    No walk of the workspace finds them. (Those that are only in a socket's queue are not found here either.)
    """
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    entry = os.stat(f"/proc/{pid}/fd/{number}")
                    if stat.S_ISREG(entry.st_mode) and not entry.st_nlink:
                        found[entry.st_dev, entry.st_ino] = entry.st_blocks * 512
    return [(device, size) for (device, _inode), size in found.items()]
