"""A build's worker process, as the daemon sees it: it is started, tells events, and ends.

Nothing here blocks: its events and last words are read when they are there, and the kernel says when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

import contractor
from contractor.buildd.model import Event, Job
from contractor.buildd.sanitize import clean
from contractor.sandbox import process

WORKER = ("-P", "-m", "contractor.buildd.worker")  # of this Python
_LONGEST_EVENT = 16 << 20  # bytes; the extra status of thousands of jobs has a few
_LAST_WORDS = 8192  # bytes of what the worker itself wrote that a crash leaves in the log


class Worker:
    """A running worker. event is called with each Event, over with its exit code (128 + signal) when all is said."""

    def __init__(
        self, job: Job, command: Sequence[str], event: Callable[[Event], None], over: Callable[[int], None]
    ) -> None:
        """job.log must be open; job.events is set here. Raises OSError."""
        self._event = event
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._words = b""
        events, theirs = os.pipe()
        words, error = os.pipe()
        document = os.memfd_create("job")  # never on the disk: it may hold secrets
        try:
            os.write(document, msgspec.json.encode(msgspec.structs.replace(job, events=theirs)))
            os.lseek(document, 0, os.SEEK_SET)
            argv = [sys.executable, *command]
            folder = str(Path(contractor.__file__).parents[1])
            environment = {"PATH": process.HOST_PATH, "LC_ALL": "C.UTF-8", "PYTHONPATH": folder}
            self.pid = process.launch(argv, files=(document, error), keep=(theirs, job.log), environment=environment)
            self._pidfd = _watched(self.pid)
        except BaseException:
            os.close(events)
            os.close(words)
            raise
        finally:
            for fd in (document, theirs, error):
                os.close(fd)
        self._events, self._error = events, words
        for fd, ready in ((events, self._read_events), (words, self._read_words)):
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, ready)
        self._loop.add_reader(self._pidfd, self._end)

    def terminate(self) -> None:
        """Ask it to kill everything and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def give_up(self) -> None:
        """It was killed and does not end: go on without it."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            self._over(128 + signal.SIGKILL)

    def last_words(self) -> bytes:
        """The end of what it wrote to its own output and error, without credentials."""
        lines = self._words.split(b"\n")
        cut = len(self._words) >= _LAST_WORDS
        return clean(b"\n".join(lines[1:] if cut else lines)).strip(b"\n")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, OSError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _read_events(self) -> None:
        data = self._read(self._events)
        *lines, self._held = (self._held + data).split(b"\n") if data else [self._held]
        for line in lines:
            try:
                event = msgspec.json.decode(line, type=Event)
            except (
                msgspec.DecodeError,
                RecursionError,
            ) as error:  # a worker of another version: it is not believed any more
                self._words += f"the worker said what is no event: {error}\n".encode()
                self.kill()
                return
            self._event(event)
        if len(self._held) > _LONGEST_EVENT:
            self._words += b"the worker's event has no end\n"
            self._held = b""
            self.kill()

    def _read_words(self) -> None:
        self._words = (self._words + self._read(self._error))[-_LAST_WORDS:]

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return b""
        if not data:
            self._loop.remove_reader(fd)
        return data

    def _end(self) -> None:
        """What it said before it ended is in the pipes by now; who else may have them open is not waited for."""
        for fd, ready in ((self._events, self._read_events), (self._error, self._read_words)):
            while _has_more(fd):
                ready()
            self._loop.remove_reader(fd)
            os.close(fd)
        self._loop.remove_reader(self._pidfd)
        pidfd, self._pidfd = self._pidfd, -1
        os.close(pidfd)
        self._over(process.wait(self.pid))


def _watched(pid: int) -> int:
    """A descriptor of a process; without one (too many are open), it does not go on."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        process.wait(pid)
        raise


def _has_more(fd: int) -> bool:
    """Whether bytes are waiting in a pipe."""
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0] > 0
