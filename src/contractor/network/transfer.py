"""One request while it runs: what has moved so far, and its single line in the ledger when it ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from contractor.core.fetch import Fetch, Verdict
from contractor.network.keeper import Keeper
from contractor.network.ledger import redact
from contractor.network.shelf import Sink
from contractor.network.wire import Declined

Piece = bytes | bytearray | memoryview


class Transfer:
    """Counts, hashes and keeps a body; `finish` records it, and only the first call does.

    keeper: gives kept bodies their names; who has none keeps nothing.
    """

    def __init__(self, method: str, url: str, record: Callable[[Fetch], None], keeper: Keeper | None = None) -> None:
        self._keeper = keeper
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

    def add(self, data: Piece) -> None:
        """A piece of the body, on its way to the client."""
        self.count(data)
        self.keep(data)

    def count(self, data: Piece) -> None:
        """The one half of `add`."""
        self.size += len(data)
        self._sha256.update(data)

    def keep(self, data: Piece) -> None:
        """The other half."""
        if self.sink is not None:
            self.sink.write(data)

    def check(self) -> None:
        """At the body's end: Declined when it is not the one that was expected."""
        found = self._sha256.hexdigest() if self.expected and self.status == 200 else self.expected
        if found != self.expected:
            raise Declined(502, f"the server has other bytes: sha256 {found}, not {self.expected}")

    def finish(self, verdict: Verdict, reason: str = "", *, status: int | None = None) -> None:
        """Record how it ended."""
        if self._finished:
            return
        self._finished = True
        digest, seconds = self._sha256.hexdigest(), time.monotonic() - self._started

        def tell(kept: bool) -> None:
            self._record(
                Fetch(
                    method=self.method,
                    url=redact(self._url),
                    verdict=verdict,
                    status=self.status if status is None else status,
                    size=self.size,
                    sent=self.sent,
                    sha256=digest if self._hashed else "",
                    reason=reason,
                    kept=kept,
                    headers=self.headers,
                    at=self._at,
                    seconds=seconds,
                )
            )

        if self.sink is None:
            tell(kept=self.stored and verdict == "allowed")
        elif verdict == "allowed" and self._keeper is not None:
            sink = self.sink
            self._keeper.submit(lambda: sink.commit(digest), tell)
        else:
            self.sink.drop()
            tell(kept=False)
