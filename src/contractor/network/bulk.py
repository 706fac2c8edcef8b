"""A long body from a server to a client, outside of the loop: what it costs is then copying and hashing, and no more.

    thread 1    receives into a buffer -> sends what came -> the buffer is full: to the next
    thread 2    hashes it
    thread 3    keeps it -> the buffer is free again

The sockets are the loop's, which does not touch them meanwhile. Buffers are used again, for new memory for each piece
costs as much as receiving it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from contractor.network.wire import Wire

LONG = 4 << 20  # bytes: from here on threads are worth their start
LANES = 4  # bodies of one proxy that may be outside of its loop at once
_BUFFER = 1 << 20  # bytes
_BUFFERS = 6
_PATIENCE = 1.0  # seconds that a body which is broken off may take to end

Stage = Callable[[memoryview], None]


class Bulk:
    """A part of a body of known length. stages: each is called with every piece in order, from a thread of its own.

    received: bytes so far; all of them have been through all stages when `carry` ends, unless a stage raised.
    """

    def __init__(self, server: Wire, client: Wire, stages: Sequence[Stage]) -> None:
        self._server = server
        self._client = client
        self._stages = stages
        self._queues: list[SimpleQueue[memoryview | None]] = [SimpleQueue() for _ in range(len(stages) + 1)]
        self._trouble: BaseException | None = None  # of a stage
        self._ended = False  # the server has nothing more
        self.received = 0

    async def carry(self, size: int) -> None:
        """So many bytes, or less if the server ends; raises Lost, and what a stage raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[BaseException | None] = loop.create_future()

        def work() -> None:
            trouble: BaseException | None = None
            try:
                self._carry(size)
            except BaseException as error:
                trouble = error
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(done.set_result, trouble)

        threading.Thread(target=work, name="contractor proxy: a body", daemon=True).start()
        try:
            trouble = await asyncio.shield(done)
        except asyncio.CancelledError:
            self._server.interrupt()
            self._client.interrupt()
            await asyncio.wait({done}, timeout=_PATIENCE)
            raise
        if trouble is not None:
            raise trouble

    def _carry(self, size: int) -> None:
        first, last = self._queues[0], self._queues[-1]
        for _ in range(_BUFFERS):
            last.put(memoryview(bytearray(_BUFFER)))
        threads = [
            threading.Thread(target=self._work, args=(number,), name="contractor proxy: a stage", daemon=True)
            for number in range(len(self._stages))
        ]
        for thread in threads:
            thread.start()
        try:
            while self.received < size and not self._ended and self._trouble is None:
                buffer = last.get()
                assert buffer is not None
                self._fill(memoryview(buffer.obj), size - self.received)
        finally:
            first.put(None)
            for thread in threads:
                thread.join()
        if self._trouble is not None:
            raise self._trouble

    def _fill(self, buffer: memoryview, size: int) -> None:
        """One buffer, or less of it if no more is to come; what came is sent at once."""
        end, at = min(size, _BUFFER), 0
        try:
            while at < end:
                got = self._server.receive_into(buffer[at:end])
                if not got:
                    self._ended = True
                    return
                at += got
                self._client.send_all(buffer[at - got : at])
        finally:
            self.received += at
            self._queues[0].put(buffer[:at])

    def _work(self, number: int) -> None:
        """One stage: from its queue to the next one's, until the end."""
        while (piece := self._queues[number].get()) is not None:
            try:
                if self._trouble is None:
                    self._stages[number](piece)
            except BaseException as error:
                self._trouble = error
            self._queues[number + 1].put(piece)
        if number + 1 < len(self._stages):
            self._queues[number + 1].put(None)
