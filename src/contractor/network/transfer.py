"""One request while it runs: what has moved so far, and its single line in the ledger when it ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from contractor.network.ledger import Fetch, Verdict, redact


class Transfer:
    """Counts and hashes a body; `finish` records it, and only the first call does."""

    def __init__(self, method: str, url: str, record: Callable[[Fetch], None]) -> None:
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

    def add(self, data: bytes | bytearray) -> None:
        """A piece of the body, on its way to the client."""
        self.size += len(data)
        self._sha256.update(data)

    def finish(self, verdict: Verdict, reason: str = "", *, status: int | None = None) -> None:
        """Record how it ended."""
        if self._finished:
            return
        self._finished = True
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
                at=self._at,
                seconds=time.monotonic() - self._started,
            )
        )
