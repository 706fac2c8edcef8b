"""What is true of the builder, one change after the other: durable first, then told.

Changes are made under `changing`: decided (states.py), saved (in a thread), done. status() reads what was saved last
and waits for nothing. The builder's own work runs in tasks that it ends with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from contractor.buildd.daemon import states
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.saved import Saved


class Keeper:
    """The state of a cache folder's builder, and the builder's tasks. It has the folder's lock until it is closed."""

    def __init__(self, folder: str, diary: Diary) -> None:
        """Raises Unavailable when another builder has the folder."""
        self.current = states.Current()
        self.changing = asyncio.Lock()
        self._saved = Saved(folder)
        self._diary = diary
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> states.Current:
        """What was saved last, by an earlier builder. Raises Broken."""
        return self._saved.load()

    async def save(self, current: states.Current, *, always: bool = False) -> None:
        """Make it durable, then true, also when the caller is cancelled meanwhile. always: also when the disk does not
        take it, because it has happened; else OSError, and the old state stays."""
        saving = asyncio.create_task(self._save(current, always=always))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait([saving])
            if not saving.cancelled():
                saving.exception()  # seen: who is cancelled has no use for it
            raise

    async def _save(self, current: states.Current, *, always: bool) -> None:
        try:
            await asyncio.to_thread(self._saved.save, current)
        except OSError as error:
            self._diary.trouble("the state cannot be saved", error)
            if not always:
                raise
        self.current = current

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """A task of the builder's; an error that it ends with is told."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """No task goes on, no change is half made, and another builder may have the folder."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self.changing:
            self._saved.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._diary.trouble("the builder's own work failed", error)
