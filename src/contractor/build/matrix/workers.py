"""Builds of one matrix at the same time: each in a process of its own, their events in one stream.

A worker is forked from the process that made the plans, so that all builds are of the same moment; it executes its
plan, and writes each event as a line into a pipe. It has a process group of its own: Ctrl-C on the terminal reaches the
parent alone, which asks the workers to stop. When the parent dies, they stop too.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from contractor.core import events
from contractor.core.errors import ContractorError, Outcome
from contractor.sandbox import process, syscalls
from contractor.store.records import Record

_PERIOD = 0.1  # seconds between two ticks
_PIECE = 1 << 16

Run = Callable[[int, Callable[[events.AnyEvent], None]], Record]


class Ended(NamedTuple):
    """How a build's process ended: its exit code (128 + signal when one killed it), and the build's id, if it had one.

    outcome: as its last event says; broken when there was none.
    """

    code: int = 0
    build: str = ""
    outcome: Outcome = Outcome.BROKEN


class Workers:
    """Runs builds, told apart by their number. run: executes one, in its own process; it gets its `emit`.

    needs: bytes of memory that each may use; as many run at once as fit into `memory`, at most `jobs`, at least one.
    """

    def __init__(self, run: Run, needs: Sequence[int], *, jobs: int, memory: int) -> None:
        self._run = run
        self._needs = needs
        self._jobs = jobs
        self._memory = memory
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, _Worker] = {}
        self.ended: dict[int, Ended] = {}

    def work(
        self,
        order: Sequence[int],
        emit: Callable[[events.AnyEvent], None],
        tick: Callable[[], None],
        *,
        fail_fast: bool = False,
    ) -> None:
        """Run the builds in this order. KeyboardInterrupt from `tick` stops them all; what had begun is in `ended`."""
        waiting = list(order)
        stopping = False
        try:
            while waiting or self._running:
                while waiting and not stopping and self._fits(waiting[0]):
                    self._start(waiting.pop(0))
                self._listen(emit)
                failed = any(ended.outcome is not Outcome.SUCCEEDED for ended in self.ended.values())
                if stopping or (failed and fail_fast):
                    waiting.clear()
                if failed and fail_fast and not stopping:
                    stopping = True
                    self._signal(signal.SIGTERM)
                try:
                    tick()
                except KeyboardInterrupt:
                    if not stopping:
                        self._signal(signal.SIGTERM)
                    stopping = True
        except BaseException:  # asked twice, or something went wrong here: nothing of it may stay
            self._signal(signal.SIGKILL)
            for worker in self._running.values():
                process.wait(worker.pid)
            raise
        finally:
            self._selector.close()

    def _fits(self, number: int) -> bool:
        if not self._running:
            return True
        needed = sum(self._needs[other] for other in self._running) + self._needs[number]
        return len(self._running) < self._jobs and needed <= self._memory

    def _start(self, number: int) -> None:
        read, write = os.pipe()
        parent = os.getpid()
        pid = os.fork()  # noqa: TID251 - starts no program
        if pid == 0:
            for other in (read, *(worker.pipe for worker in self._running.values())):
                os.close(other)
            _work(lambda emit: self._run(number, emit), write, parent)
        os.close(write)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the worker does it too: whoever comes first
        os.set_blocking(read, False)
        self._running[number] = _Worker(pid, read)
        self._selector.register(read, selectors.EVENT_READ, number)

    def _listen(self, emit: Callable[[events.AnyEvent], None]) -> None:
        """Pass on what is said until the next tick is due, or until one has ended."""
        until = time.monotonic() + _PERIOD
        while self._running and (left := until - time.monotonic()) > 0:
            for key, _mask in self._selector.select(left):
                worker = self._running[key.data]
                data = os.read(worker.pipe, _PIECE)
                for event in worker.events(data):
                    emit(event)
                if not data:
                    self._end(key.data, worker)
                    return

    def _end(self, number: int, worker: _Worker) -> None:
        self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        del self._running[number]
        code = process.wait(worker.pid)
        self.ended[number] = Ended(code, worker.build, worker.outcome if code == 0 else Outcome.BROKEN)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)


class _Worker:
    """The parent's side of a worker: what it has said of its build."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe
        self.build = ""
        self.outcome = Outcome.BROKEN
        self._decoder = events.Decoder()
        self._rest: list[bytes] = []

    def events(self, data: bytes) -> list[events.AnyEvent]:
        """The events whose lines are whole with this piece."""
        *lines, rest = data.split(b"\n")
        found = []
        for line in lines:
            whole = b"".join((*self._rest, line))
            self._rest.clear()
            event = self._decoder.decode(whole)
            if isinstance(event, events.BuildStarted) and not event.parent:
                self.build = event.build
            elif isinstance(event, events.BuildFinished) and event.build == self.build:
                self.outcome = event.outcome
            found.append(event)
        if rest:
            self._rest.append(rest)
        return found


def _work(run: Callable[[Callable[[events.AnyEvent], None]], Record], write: int, parent: int) -> NoReturn:
    """The worker: run the build, say what happens, and end."""
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            run(_Pipe(write))
            code = 0
    except ContractorError as error:
        _Pipe(write)(events.Notice(at=time.time(), build="", text=error.message, level="warning"))
    except BaseException:
        import traceback

        with contextlib.suppress(OSError):
            os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


class _Pipe:
    """The `emit` of a worker; the proxy's thread calls it as well. A parent that is gone hears nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def __call__(self, event: events.AnyEvent) -> None:
        data = events.encode(event)
        with self._lock, contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._fd, data) :]
