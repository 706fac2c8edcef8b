"""Gives bodies their names in the store, in a thread of its own: making a file can take longer than passing a body."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from contractor.core.errors import Broken
from contractor.core.words import count

_MOST = 64  # bodies that may wait: each has at most what a sink holds in memory

Commit = Callable[[], bool]
Then = Callable[[bool], None]


class Keeper:
    """Of one proxy, in its loop. failed: told what a commit raised; nothing follows it then."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._queue: SimpleQueue[tuple[Commit, Then] | None] = SimpleQueue()
        self._done: deque[tuple[Then, bool, BaseException | None]] = deque()
        self._waiting = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def busy(self) -> bool:
        return self._waiting > 0

    def submit(self, commit: Commit, then: Then) -> None:
        """Run `commit` in the thread, and `then` in the loop with what it returned; in the order of submission."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._work, name="contractor proxy: keeping", daemon=True).start()
        self._waiting += 1
        self._settled.clear()
        self._queue.put((commit, then))

    async def room(self) -> None:
        """Wait until few enough are waiting."""
        if self._waiting >= _MOST:
            await self._settled.wait()

    async def settle(self, patience: float) -> None:
        """Wait until none is waiting; Broken after so many seconds. The thread ends."""
        self._queue.put(None)
        try:
            async with asyncio.timeout(patience):
                await self._settled.wait()
        except TimeoutError:
            waiting = count(self._waiting, "file")
            raise Broken(f"waited {patience:g} s for the disk to take {waiting} that a step has fetched") from None

    def _work(self) -> None:
        assert self._loop is not None
        while (work := self._queue.get()) is not None:
            commit, then = work
            kept, trouble = False, None
            try:
                kept = commit()
            except BaseException as error:
                trouble = error
            self._done.append((then, kept, trouble))
            if len(self._done) == 1:  # else the loop knows already
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        while self._done:
            then, kept, trouble = self._done[0]
            if trouble is None:
                then(kept)
            else:
                self._failed(trouble)
            self._waiting -= 1
            self._done.popleft()
        if not self._waiting:
            self._settled.set()
