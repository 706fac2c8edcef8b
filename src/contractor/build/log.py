"""A build's log: every byte that its steps wrote, up to the limit; secrets were taken out before (secrets/)."""

from __future__ import annotations

import contextlib
import os

from contractor.core.errors import Broken, OutOfLimits


class Log:
    """Appends to one file, unbuffered: what a step wrote before a kill is there."""

    def __init__(self, path: str, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    @property
    def room(self) -> int:
        """Bytes that may still be written."""
        return max(0, self._limit - self.size)

    def write(self, data: bytes) -> None:
        """OutOfLimits when the log would grow over its limit; what fits is written. Broken when the disk says no."""
        room = self.room
        view = memoryview(data)[:room]
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
