"""A build's log: every byte that its steps wrote, up to the limit, without the secrets' values."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from contractor.core.errors import Broken, OutOfLimits

_SHORTEST_SECRET = 4  # bytes: hiding shorter ones would only mark every place where they stand by chance
_MASK = b"[secret]"


class Log:
    """Appends to one file, unbuffered: what a step wrote before a kill is there."""

    def __init__(self, path: str, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """OutOfLimits when the log would grow over its limit; what fits is written. Broken when the disk says no."""
        room = self._limit - self.size
        view = memoryview(data)[: max(0, room)]
        while view:
            try:
                written = os.write(self._fd, view)
            except OSError as error:
                raise Broken(
                    f"the log cannot be written: {error.strerror}", hint="free some space (`contractor gc`)"
                ) from error
            self.size += written
            view = view[written:]
        if len(data) > room:
            raise OutOfLimits(
                f"the log reached its limit of {self._limit} bytes",
                hint="raise `limits: {log: ...}`, or have the step write less",
            )

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)


class Redactor:
    """Replaces the secrets' values in a stream, also where a value is cut by a read's end.

    Each line of a secret of several lines is a value of its own.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        values = {part for secret in secrets for part in (secret, secret.strip(), *secret.splitlines())}
        self._values = sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream may be shown now."""
        if not self._values:
            return data
        data = self._held + data
        for value in self._values:
            data = data.replace(value, _MASK)
        keep = self._beginning_of_a_value(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def rest(self) -> bytes:
        """What was held back as the possible beginning of a value."""
        held, self._held = self._held, b""
        return held

    def _beginning_of_a_value(self, data: bytes) -> int:
        for size in range(min(len(data), len(self._values[0]) - 1), 0, -1):
            tail = data[-size:]
            if any(value.startswith(tail) for value in self._values):
                return size
        return 0
