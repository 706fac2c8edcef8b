"""One request while it runs: what has moved so far, and its single line in the ledger when it ends."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from contextlib import suppress

from contractor.core.errors import Broken
from contractor.core.fetch import Fetch, Verdict
from contractor.network.ledger import redact
from contractor.network.shelf import Sink
from contractor.network.wire import Declined

_INLINE = 1 << 20  # bytes of a body that are hashed and kept as they come
_BATCH = 1 << 20  # of a longer one, a thread takes so many bytes at once: handing over costs 0.1 ms


class Transfer:
    """Counts, hashes and keeps a body; `finish` records it, and only the first call does.

    pool: gives the thread that hashes and keeps what is long, while the loop receives and sends; one thread, so that
    the pieces stay in their order. At most two batches wait for it.
    """

    def __init__(
        self, method: str, url: str, record: Callable[[Fetch], None], pool: Callable[[], Executor] | None = None
    ) -> None:
        self._pool = pool
        self._batch: list[bytes | bytearray] = []
        self._waiting = 0  # bytes in the batch
        self._work: Future[None] | None = None
        self.sink: Sink | None = None  # where the body is kept
        self.headers: tuple[tuple[str, str], ...] = ()
        self.stored = False  # it comes out of the store
        self.expected = ""  # the only sha256 that a body with status 200 may have; empty: any
        self.method = method
        self.status = 0
        self.size = 0
        self.sent = 0
        self._url = url
        self._record = record
        self._sha256 = hashlib.sha256()
        self._hashed = False
        self._at = time.time()
        self._started = time.monotonic()
        self._finished = False

    def begin_body(self, status: int) -> None:
        """A server's answer with this status follows: from here on the digest means something."""
        self.status = status
        self._hashed = self.method != "HEAD"

    async def add(self, data: bytes | bytearray) -> None:
        """A piece of the body, on its way to the client; it must not change any more."""
        self.size += len(data)
        if self._pool is None or self.size <= _INLINE:
            self._process([data])
            return
        self._batch.append(data)
        self._waiting += len(data)
        if self._waiting >= _BATCH:
            if self._work is not None:
                await asyncio.wrap_future(self._work)
            self._work = self._pool().submit(self._process, self._batch)
            self._batch, self._waiting = [], 0

    async def settle(self) -> None:
        """Wait until all of it is hashed and kept."""
        if self._work is not None:
            await asyncio.wrap_future(self._work)
        self._rest()

    def _rest(self) -> None:
        batch, self._batch, self._waiting = self._batch, [], 0
        self._process(batch)

    def _process(self, pieces: list[bytes | bytearray]) -> None:
        for data in pieces:
            self._sha256.update(data)
            if self.sink is not None:
                self.sink.write(data)

    def check(self) -> None:
        """At the body's end, when it has settled: Declined when it is not the one that was expected."""
        found = self._sha256.hexdigest() if self.expected and self.status == 200 else self.expected
        if found != self.expected:
            raise Declined(502, f"the server has other bytes: sha256 {found}, not {self.expected}")

    def finish(self, verdict: Verdict, reason: str = "", *, status: int | None = None) -> None:
        """Record how it ended."""
        if self._finished:
            return
        self._finished = True
        if self._work is not None:
            wait([self._work])  # nobody writes any more; what it raised has been told, or does not matter now
        if self._batch and verdict != "allowed":
            with suppress(Broken):
                self._rest()  # so that size and digest are of the same bytes
        kept = self.sink is not None and verdict == "allowed"
        if self.sink is not None:
            if kept:
                kept = self.sink.commit(self._sha256.hexdigest())
            else:
                self.sink.drop()
        self._record(
            Fetch(
                method=self.method,
                url=redact(self._url),
                verdict=verdict,
                status=self.status if status is None else status,
                size=self.size,
                sent=self.sent,
                sha256=self._sha256.hexdigest() if self._hashed else "",
                reason=reason,
                kept=kept or (self.stored and verdict == "allowed"),
                headers=self.headers,
                at=self._at,
                seconds=time.monotonic() - self._started,
            )
        )
