"""A memory limit by cgroup, where this user may have one: real root, or a delegated cgroup v2.

The supervisor itself is put into the group, so everything that it starts is in it. Where there is no such group the
limit is watched (watch.py), and plan, record and doctor say so.
"""

from __future__ import annotations

import contextlib
import os

_V1 = "/sys/fs/cgroup/memory"
_V2 = "/sys/fs/cgroup"


def _own_v2() -> str | None:
    """The cgroup v2 folder that this process is in."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("0::"):
                return _V2 + line[3:].strip()
    return None


def kind() -> str:
    """cgroup-v1, cgroup-v2, or watched: what holds the memory limit here."""
    parent = _parent()
    if parent is None:
        return "watched"
    return "cgroup-v1" if parent.startswith(_V1) else "cgroup-v2"


def _parent() -> str | None:
    if os.path.exists(f"{_V1}/memory.limit_in_bytes") and os.access(_V1, os.W_OK):
        return _V1
    own = _own_v2()
    for folder in (_V2 if os.getuid() == 0 else None, own):
        if folder is None or not os.access(f"{folder}/cgroup.procs", os.W_OK) or not os.access(folder, os.W_OK):
            continue
        with contextlib.suppress(OSError), open(f"{folder}/cgroup.subtree_control", encoding="ascii") as file:
            if "memory" in file.read().split():
                return folder
    return None


class MemoryGroup:
    """A context manager: the group exists while it is open. Does nothing where there is no cgroup to have."""

    def __init__(self, pid: int) -> None:
        self.kind = kind()
        self._folder = ""
        self._limit = -1
        parent = _parent()
        if parent is None:
            return
        folder = f"{parent}/contractor-{pid}"
        try:
            os.mkdir(folder)
            self._folder = folder
            self._write("cgroup.procs", pid)
        except OSError:
            self.kind = "watched"
            self.close()

    def limit(self, size: int) -> None:
        """Set the limit in bytes, 0 for none; a step's limit holds until the next is set."""
        if not self._folder or size == self._limit:
            return
        self._limit = size
        if self.kind == "cgroup-v1":
            self._write("memory.limit_in_bytes", size or -1)
            with contextlib.suppress(OSError):  # only with swap accounting
                self._write("memory.memsw.limit_in_bytes", size or -1)
        else:
            self._write("memory.max", size or "max")
            with contextlib.suppress(OSError):
                self._write("memory.swap.max", 0 if size else "max")

    def kills(self) -> int:
        """How many processes were killed for want of memory since the group exists."""
        if not self._folder:
            return 0
        name = "memory.oom_control" if self.kind == "cgroup-v1" else "memory.events"
        with contextlib.suppress(OSError, ValueError), open(f"{self._folder}/{name}", encoding="ascii") as file:
            for line in file:
                word, _, value = line.partition(" ")
                if word == "oom_kill":
                    return int(value)
        return 0

    def close(self) -> None:
        """The supervisor must have ended; an empty group is removed."""
        if self._folder:
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)
            self._folder = ""

    def _write(self, name: str, value: object) -> None:
        fd = os.open(f"{self._folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
