"""Running a long tool of the host so that nothing of it outlives who asked for it.

    this process --pipe--> attendant (a session of its own, adopts orphans) --> the tool, and what it starts

When the pipe closes, because it is to end or because this process has died however it did, the attendant kills what is
below it. Nothing here isolates: the tool is the host's own.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from contractor.core.errors import Broken
from contractor.sandbox import process, syscalls

_TICK = 0.1  # seconds between two looks at whether it is to end
_KILLED_WITHIN = 10.0  # seconds that the attendant may take to end everything
_PIECE = 1 << 16


def attend(
    argv: Sequence[str],
    *,
    on_output: Callable[[bytes], None],
    tick: Callable[[], None],
    timeout: float,
    given: bytes = b"",
    environment: Mapping[str, str] = {},
) -> int:
    """Run a tool to its end; its exit code, 128 + signal when one killed it. What it has left in the background stays.

    given: its standard input. environment: on top of PATH and the locale.
    on_output: what it writes, as it comes. tick: called ten times a second, and may raise to end it. Broken: it took
    longer than `timeout` seconds. To be called by a process of one thread.
    """
    read, write = os.pipe()
    watched, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        _attendant(argv, write, watched, given, environment)
    os.close(write)
    os.close(watched)
    try:
        return _follow(pid, read, argv[0], on_output, tick, time.monotonic() + timeout)
    except BaseException:
        os.close(held)
        held = -1
        _end(pid)
        raise
    finally:
        os.close(read)
        if held >= 0:
            os.close(held)


def _follow(
    pid: int, read: int, name: str, on_output: Callable[[bytes], None], tick: Callable[[], None], deadline: float
) -> int:
    ended = os.pidfd_open(pid)
    waited: list[int] = [read, ended]
    try:
        while True:
            ready = select.select(waited, [], [], _TICK)[0]
            if read in ready:
                data = os.read(read, _PIECE)
                if data:
                    on_output(data)
                else:
                    waited.remove(read)
            elif ended in ready:  # and there is no more output
                return process.wait(pid)
            tick()
            if time.monotonic() > deadline:
                raise Broken(f"{name} did not end in time", hint="run it by hand to see what it waits for")
    finally:
        os.close(ended)


def _end(pid: int) -> None:
    """Wait for an attendant whose pipe is closed."""
    fd = os.pidfd_open(pid)
    try:
        if not select.select([fd], [], [], _KILLED_WITHIN)[0]:
            os.kill(pid, signal.SIGKILL)
        process.wait(pid)
    finally:
        os.close(fd)


def _attendant(
    argv: Sequence[str], output: int, watched: int, given: bytes, environment: Mapping[str, str]
) -> NoReturn:
    """In the forked child: start the tool, and see to its end."""
    code = 125
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        low = 3  # the pipe's other end among the rest, which must be open in one process alone
        for fd in sorted((output, watched)):
            os.closerange(low, fd)
            low = fd + 1
        os.closerange(low, 65536)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        full = {"PATH": process.HOST_PATH, "LC_ALL": "C.UTF-8", **environment}
        pid = process.start(argv, output=output, keep=(), prepare=lambda: _in_tool(given), environment=full)
        ended = os.pidfd_open(pid)
        os.close(output)
        if watched in select.select([watched, ended], [], [])[0]:
            _kill_all()
        else:
            code = process.wait(pid)
    finally:
        os._exit(code)


def _in_tool(given: bytes) -> None:
    """In the tool's process, before it is the tool."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if given:
        fd = os.memfd_create("given")  # never on the disk, nor in a pipe that nobody reads
        with open(fd, "wb", closefd=False) as file:
            file.write(given)
        os.lseek(fd, 0, os.SEEK_SET)
        os.dup2(fd, 0)


def _kill_all() -> None:
    """Kill the children, and theirs, which become ours, until there are none."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # what sudo runs is not ours to kill
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
