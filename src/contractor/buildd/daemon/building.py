"""How a build runs: its worker is started, listened to, aborted and, where it does not end in time, killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from contractor.buildd.daemon import rpc, states
from contractor.buildd.daemon.cache import LOG, Cache
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.keeper import Keeper
from contractor.buildd.daemon.live_log import LiveLog
from contractor.buildd.daemon.running import Worker
from contractor.buildd.model import BuilderState, Event, Job, Outcome

_ENDED_WITHIN = 60.0  # seconds between a worker's last word and its end
_KILLED_WITHIN = 30.0  # seconds in which the kernel ends a killed worker, else it is given up
_STOPPED_WITHIN = 10.0  # seconds that a running build has when the daemon is stopped

_Said = asyncio.Queue[Event | int]  # events, and at the end the exit code


class Building:
    """At most one build at a time; `keeper.current` says which."""

    def __init__(self, keeper: Keeper, cache: Cache, log: LiveLog, diary: Diary, command: Sequence[str]) -> None:
        """command: what a worker is, after the name of this Python."""
        self._keeper = keeper
        self._cache = cache
        self._log = log
        self._diary = diary
        self._command = command
        self._worker: Worker | None = None
        self._gone = asyncio.Event()

    async def begin(self, taken: states.Current, job: Job) -> None:
        """Save it, and start its worker; whatever keeps it from that is raised, and then nothing has happened. To be
        called while the state is being changed, as is `abort`."""
        before = self._keeper.current
        said: _Said = asyncio.Queue()
        try:
            self._cache.forget_placed()
            await self._keeper.save(taken)
            job = msgspec.structs.replace(job, log=self._log.begin())
            self._worker = Worker(job, self._command, said.put_nowait, said.put_nowait)
        except BaseException:
            if self._keeper.current is not before:
                await self._keeper.save(before, always=True)
            self._log.close()
            with contextlib.suppress(OSError):
                self._cache.remove([LOG])
            raise
        self._gone.clear()
        self._diary.say(f"build {taken.build_id} ({taken.tag}): begins, pid {self._worker.pid}")
        self._keeper.start(self._follow(self._worker, said))

    def abort(self, seconds: float) -> None:
        """Tell the worker to end its build, and see to it that it has after so many seconds."""
        if self._worker is not None:
            self._worker.terminate()
            self._keeper.start(self._abort_in_time(self._worker, seconds))

    async def stop(self) -> None:
        """End what is running, within a limit."""
        if self._worker is None:
            return
        self._log.add("\nThe builder is being stopped.\n")
        for end, limit in ((self._worker.terminate, _STOPPED_WITHIN), (self._worker.kill, _KILLED_WITHIN)):
            end()
            if await self._ends_within(limit):
                return

    async def _follow(self, worker: Worker, said: _Said) -> None:
        """What the worker says, until it has ended; whatever happens, the build ends with it."""
        outcome: Outcome | None = None
        while not isinstance(event := await said.get(), int):
            try:
                outcome = await self._hear(worker, event) or outcome
            except Exception as error:
                self._diary.trouble(f"worker {worker.pid} is killed: what it says cannot be kept", error)
                worker.kill()
        if outcome is None and self._keeper.current.state is BuilderState.BUILDING:
            words = worker.last_words()
            self._log.add(b"\n" + words + b"\n" if words else b"")
            self._log.add(f"\nThe build's worker ended without a result (exit code {event}).\n")
        async with self._keeper.changing:
            self._worker = None
            ended = states.ended(self._keeper.current, outcome, self._cache.placed())
            await self._keeper.save(ended, always=True)
        self._gone.set()
        self._diary.say(f"build {ended.build_id}: {ended.status}, exit code {event}")

    async def _hear(self, worker: Worker, event: Event) -> Outcome | None:
        if event.extra is not None:
            rpc.answer(event.extra)  # what XML-RPC has no form for would be a fault of every status()
            async with self._keeper.changing:
                await self._keeper.save(states.told(self._keeper.current, event.extra), always=True)
        if event.ended is not None:
            self._keeper.start(self._end_in_time(worker))
        return event.ended

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), seconds)
        return self._gone.is_set()

    async def _end_in_time(self, worker: Worker) -> None:
        """A worker that has said its last word has nothing more to do."""
        if await self._ends_within(_ENDED_WITHIN) or self._worker is not worker:
            return
        self._diary.say(f"worker {worker.pid} has not ended within {_ENDED_WITHIN:g} s of its last word: killed")
        await self._kill(worker)

    async def _abort_in_time(self, worker: Worker, seconds: float) -> None:
        if await self._ends_within(seconds):
            return
        async with self._keeper.changing:
            if self._worker is not worker:
                return
            await self._keeper.save(states.failed_to_abort(self._keeper.current), always=True)
            self._log.add("\nABORTING: Failed to kill all processes.\n")
        await self._kill(worker)

    async def _kill(self, worker: Worker) -> None:
        worker.kill()
        if not await self._ends_within(_KILLED_WITHIN) and self._worker is worker:
            self._diary.say(f"worker {worker.pid} was killed, and has not ended: the builder goes on without it")
            worker.give_up()
