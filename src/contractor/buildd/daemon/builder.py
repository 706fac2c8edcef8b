"""The builder: what each call does, in order. It owns the state, the cache, the live log and the worker.

Changes are made one after the other, under one lock: decided (states.py), saved (in a thread), done, and only then
told. status() reads what was saved last and waits for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from contractor import __version__
from contractor.buildd.arguments_check import check
from contractor.buildd.builds import TYPES
from contractor.buildd.daemon import asked, states
from contractor.buildd.daemon.cache import LOG, Cache, is_name
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.present import NO_URL, Fetcher, Wanted
from contractor.buildd.daemon.running import WORKER, Worker
from contractor.buildd.daemon.saved import Saved, mark_alive, open_log, wait_for_the_dead
from contractor.buildd.log import tail
from contractor.buildd.model import PROTOCOL, BuilderState, Event, Job, Outcome
from contractor.core.errors import Rejected

_EXPIRY = 3600.0  # seconds between two looks at what is old
_ENDED_WITHIN = 60.0  # seconds between a worker's last word and its end
_KILLED_WITHIN = 30.0  # seconds in which the kernel ends a killed worker, else it is given up
_STOPPED_WITHIN = 10.0  # seconds that a running build has when the daemon is stopped


class Builder:
    """One builder on one cache folder; call `start` first and `stop` at the end, in a running event loop."""

    def __init__(self, configuration: Configuration, diary: Diary, command: Sequence[str] = WORKER) -> None:
        """command: what a worker is, after the name of this Python. Raises OSError, ContractorError."""
        self._configuration = configuration
        self._diary = diary
        self._command = command
        self.cache = Cache(configuration.cache)
        self._saved = Saved(configuration.cache)
        self._fetcher = Fetcher(self.cache)
        self._current = states.Current()
        self._changing = asyncio.Lock()
        self._log = -1
        self._tail = (-1, b"")
        self._worker: Worker | None = None
        self._gone = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Find out what is true, make it durable, and begin the housekeeping."""
        await asyncio.to_thread(wait_for_the_dead, self.cache.log)
        self.cache.remove_unfinished()
        found = self._saved.load()
        true = states.after_restart(found, self.cache.placed())
        if true is not found:
            self._diary.say(f"build {found.build_id} was lost: the builder had ended without it")
            self._add_to_log(b"\nThe builder ended during this build, and has been started again.\n")
        if true.state is BuilderState.IDLE:  # clean() may have been cut short
            self.cache.remove([*true.placed, LOG])
            self.cache.forget_placed()
            true = states.cleaned(true)
        await self._save(true)
        self._start(self._expire_for_ever())

    async def stop(self) -> None:
        """End what is running, within a limit; what is on the disk stays true."""
        if self._worker is not None:
            self._add_to_log(b"\nThe builder is being stopped.\n")
            for end, limit in ((self._worker.terminate, _STOPPED_WITHIN), (self._worker.kill, _KILLED_WITHIN)):
                end()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), limit)
                    break
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fetcher.close()
        async with self._changing:
            self._close_log()
            self._saved.close()

    # What clients call.

    def info(self) -> list[Any]:
        return [PROTOCOL, self._configuration.architecture, list(TYPES)]

    def status(self) -> dict[str, Any]:
        said = states.status(self._current)
        said["builder_version"] = __version__
        if self._current.state is BuilderState.BUILDING:
            said["logtail"] = self._logtail()
        return said

    def proxy_info(self) -> dict[str, Any]:
        """Rejected when there is no build, or one of a type without it."""
        if self._current.state is BuilderState.IDLE or self._current.proxy is None:
            raise Rejected("there is no build that has a proxy")
        return self._current.proxy

    async def ensurepresent(self, name: Any, url: Any, username: Any, password: Any) -> list[Any]:
        if not is_name(name) or not all(text is None or isinstance(text, str) for text in (url, username, password)):
            raise Rejected("ensurepresent takes four strings; the first names a file")
        if url is None:
            return [self.cache.has(name), NO_URL]
        info = await self._fetcher.fetch(Wanted(name, url, username or "", password or ""))
        present = self.cache.has(name)
        self._diary.say(f"ensurepresent {name} from {url.partition('?')[0]}: {info}")
        return [present, info]

    async def build(self, build_id: Any, tag: Any, image: Any, filemap: Any, given: Any) -> list[str]:
        if tag not in TYPES:
            return ["BuilderStatus.UNKNOWNBUILDER", f"{tag} not in {list(TYPES)}"]
        if missing := asked.missing(self.cache, image, filemap):
            return ["BuilderStatus.UNKNOWNSUM", missing]
        asked.require_id(build_id)
        states.require_idle(self._current)
        asked.require_names(filemap)
        if not isinstance(given, dict):
            raise Rejected("the arguments are no struct")
        arguments = check(tag, given, filemap, self._configuration.architecture)
        inputs = tuple(sorted({image, *filemap.values()}))
        proxy = asked.proxy_info(tag, given)
        async with self._changing:
            taken = states.begin(self._current, build_id, tag, inputs, proxy)
            if missing := asked.missing(self.cache, image, filemap):  # it may have expired while others made changes
                return ["BuilderStatus.UNKNOWNSUM", missing]
            self.cache.use(inputs)
            job = asked.make_job(taken, self._configuration, self.cache, image, filemap, arguments)
            await self._begin(taken, job)
        return [BuilderState.BUILDING.wire, build_id]

    async def abort(self) -> str:
        async with self._changing:
            aborting = states.abort(self._current)
            if aborting != self._current:
                await self._save(aborting)
                assert self._worker is not None
                self._worker.terminate()
                self._start(self._abort_in_time(self._worker))
                self._diary.say(f"build {aborting.build_id}: abort")
        return BuilderState.ABORTING.wire

    async def clean(self) -> str:
        async with self._changing:
            idle = states.clean(self._current)
            await self._save(idle, always=True)
            self._close_log()
            try:
                await asyncio.to_thread(self.cache.remove, [LOG, *idle.placed])
            except OSError as error:
                self._diary.trouble("something of the last build cannot be removed", error)
            if idle.placed:
                self.cache.forget_placed()
                await self._save(states.cleaned(idle), always=True)
        return BuilderState.IDLE.wire

    # How a build runs.

    async def _begin(self, taken: states.Current, job: Job) -> None:
        """Save it, and start its worker; if that cannot be, nothing has happened."""
        before = self._current
        self.cache.forget_placed()
        await self._save(taken)
        said: asyncio.Queue[Event | int] = asyncio.Queue()
        try:
            self._close_log()
            self._log = open_log(self.cache.log, new=True)
            mark_alive(self._log)
            job = msgspec.structs.replace(job, log=self._log)
            self._worker = Worker(job, self._command, said.put_nowait, said.put_nowait)
        except OSError:
            await self._save(before, always=True)
            raise
        self._gone.clear()
        self._diary.say(f"build {taken.build_id} ({taken.tag}): begins, pid {self._worker.pid}")
        self._start(self._follow(self._worker, said))

    async def _follow(self, worker: Worker, said: asyncio.Queue[Event | int]) -> None:
        """What the worker says, until it has ended."""
        outcome: Outcome | None = None
        while not isinstance(event := await said.get(), int):
            if event.ended is not None:
                outcome = event.ended
                self._start(self._end_in_time(worker))
            if event.extra is not None:
                async with self._changing:
                    await self._save(states.told(self._current, event.extra), always=True)
        if outcome is None and self._current.state is BuilderState.BUILDING:
            words = worker.last_words()
            self._add_to_log(b"\n" + words + b"\n" if words else b"")
            self._add_to_log(f"\nThe build's worker ended without a result (exit code {event}).\n".encode())
        async with self._changing:
            self._worker = None
            await self._save(states.ended(self._current, outcome, self.cache.placed()), always=True)
        self._gone.set()
        self._diary.say(f"build {self._current.build_id}: {self._current.status}, exit code {event}")

    async def _end_in_time(self, worker: Worker) -> None:
        """A worker that has said its last word has nothing more to do."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _ENDED_WITHIN)
            return
        if self._worker is worker:
            self._diary.say(f"worker {worker.pid} has not ended within {_ENDED_WITHIN:g} s of its last word: killed")
            worker.kill()

    async def _abort_in_time(self, worker: Worker) -> None:
        """The limit of an abort."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), self._configuration.abort_timeout)
            return
        async with self._changing:
            if self._worker is worker:
                await self._save(states.failed_to_abort(self._current), always=True)
                self._add_to_log(b"\nABORTING: Failed to kill all processes.\n")
                worker.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _KILLED_WITHIN)
            return
        worker.give_up()

    # The rest.

    async def _save(self, current: states.Current, *, always: bool = False) -> None:
        """Make it durable, then true. always: also when the disk does not take it, because it has happened."""
        try:
            await asyncio.shield(asyncio.to_thread(self._saved.save, current))
        except OSError as error:
            self._diary.trouble("the state cannot be saved", error)
            if not always:
                raise
        self._current = current

    def _logtail(self) -> bytes:
        """It is made anew when the log has grown."""
        size = os.fstat(self._log).st_size
        if size != self._tail[0]:
            self._tail = (size, tail(self._log))
        return self._tail[1]

    def _add_to_log(self, data: bytes) -> None:
        try:
            fd = self._log if self._log >= 0 else open_log(self.cache.log, new=False)
            os.write(fd, data)
            if fd != self._log:
                os.close(fd)
        except OSError as error:
            self._diary.trouble("the build's log cannot be written", error)

    def _close_log(self) -> None:
        self._tail = (-1, b"")
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    async def _expire_for_ever(self) -> None:
        while True:
            async with self._changing:
                kept: Callable[[], set[str]] = lambda: {*self._current.inputs, *self._current.results()}  # noqa: E731
                try:
                    gone = await asyncio.to_thread(self.cache.expire, kept)
                except OSError as error:
                    self._diary.trouble("the cache cannot be looked through", error)
                else:
                    if gone:
                        self._diary.say(f"removed from the cache, unused for two days: {' '.join(gone)}")
            await asyncio.sleep(_EXPIRY)

    def _start(self, work: Any) -> None:
        """A task of this builder; an error that it ends with is told."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._diary.trouble("the builder's own work failed", error)
