"""The builder: what each call does, in order, with the state, the file cache and the build that runs.

A call is decided by states.py, made durable by keeper.py, and done by building.py, under one lock; status() waits for
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from contractor import __version__
from contractor.buildd.arguments_check import check
from contractor.buildd.builds import TYPES
from contractor.buildd.daemon import asked, states
from contractor.buildd.daemon.building import Building
from contractor.buildd.daemon.cache import LOG, Cache, is_name
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.keeper import Keeper
from contractor.buildd.daemon.live_log import LiveLog
from contractor.buildd.daemon.present import NO_URL, Fetcher, Wanted
from contractor.buildd.daemon.running import WORKER
from contractor.buildd.daemon.saved import wait_for_the_dead
from contractor.buildd.model import PROTOCOL, BuilderState
from contractor.core.errors import Rejected

_EXPIRY = 3600.0  # seconds between two looks at what is old


class Builder:
    """One builder on one cache folder; call `start` first and `stop` at the end, in a running event loop."""

    def __init__(self, configuration: Configuration, diary: Diary, command: Sequence[str] = WORKER) -> None:
        """command: what a worker is, after the name of this Python. Raises OSError, ContractorError."""
        self._configuration = configuration
        self._diary = diary
        self.cache = Cache(configuration.cache)
        self._keeper = Keeper(configuration.cache, diary)
        self._fetcher = Fetcher(self.cache)
        self._log = LiveLog(self.cache.log, diary)
        self._building = Building(self._keeper, self.cache, self._log, diary, command)

    @property
    def _current(self) -> states.Current:
        return self._keeper.current

    async def start(self) -> None:
        """Find out what is true, make it durable, and begin the housekeeping."""
        await asyncio.to_thread(wait_for_the_dead, self.cache.log)
        self.cache.remove_unfinished()
        found = self._keeper.load()
        true = states.after_restart(found, self.cache.placed())
        if true is not found:
            self._diary.say(f"build {found.build_id} was lost: the builder had ended without it")
            self._log.add("\nThe builder ended during this build, and has been started again.\n")
        if true.state is BuilderState.IDLE:  # clean() may have been cut short
            self.cache.remove([*true.placed, LOG])
            self.cache.forget_placed()
            true = states.cleaned(true)
        await self._keeper.save(true, always=True)
        self._keeper.start(self._expire_for_ever())

    async def stop(self) -> None:
        """End what is running, within a limit; what is on the disk stays true."""
        await self._building.stop()
        await self._fetcher.close()
        await self._keeper.close()
        self._log.close()

    # What clients call.

    def info(self) -> list[Any]:
        return [PROTOCOL, self._configuration.architecture, list(TYPES)]

    def status(self) -> dict[str, Any]:
        said = states.status(self._current)
        said["builder_version"] = __version__
        if self._current.state is BuilderState.BUILDING:
            said["logtail"] = self._log.tail()
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
        async with self._keeper.changing:
            taken = states.begin(self._current, build_id, tag, inputs, proxy)
            if missing := asked.missing(self.cache, image, filemap):  # it may have expired while others made changes
                return ["BuilderStatus.UNKNOWNSUM", missing]
            self.cache.use(inputs)
            job = asked.make_job(taken, self._configuration, self.cache, image, filemap, arguments)
            await self._building.begin(taken, job)
        return [BuilderState.BUILDING.wire, build_id]

    async def abort(self) -> str:
        async with self._keeper.changing:
            aborting = states.abort(self._current)
            if aborting != self._current:
                await self._keeper.save(aborting)
                self._building.abort(self._configuration.abort_timeout)
                self._diary.say(f"build {aborting.build_id}: abort")
        return BuilderState.ABORTING.wire

    async def clean(self) -> str:
        async with self._keeper.changing:
            idle = states.clean(self._current)
            await self._keeper.save(idle, always=True)
            self._log.close()
            try:
                await asyncio.to_thread(self.cache.remove, [LOG, *idle.placed])
            except OSError as error:
                self._diary.trouble("something of the last build cannot be removed", error)
            if idle.placed:
                self.cache.forget_placed()
                await self._keeper.save(states.cleaned(idle), always=True)
        return BuilderState.IDLE.wire

    # The rest.

    async def _expire_for_ever(self) -> None:
        while True:
            async with self._keeper.changing:
                kept: Callable[[], set[str]] = lambda: {*self._current.inputs, *self._current.results()}  # noqa: E731
                try:
                    gone = await asyncio.to_thread(self.cache.expire, kept)
                except OSError as error:
                    self._diary.trouble("the cache cannot be looked through", error)
                else:
                    if gone:
                        self._diary.say(f"removed from the cache, unused for two days: {' '.join(gone)}")
            await asyncio.sleep(_EXPIRY)
