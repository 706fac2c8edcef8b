"""A build's log: every byte that its steps wrote, up to the limit, without the secrets' values."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from contractor.core.errors import Broken, OutOfLimits

SHORTEST_SECRET = 4  # bytes: hiding shorter ones would only mark every place where they stand by chance
_MASK = b"[secret]"


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


class Redactor:
    """Replaces the secrets' values in a stream, also where a value is cut by a read's end.

    Each line of a secret of several lines is a value of its own. Values may be the beginning of other values: nothing
    is shown, nor masked, before it is known that no longer value goes on there.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        values = {part for secret in secrets for part in (secret.strip(b"\r\n"), secret.strip(), *secret.splitlines())}
        self._values = sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)
        self._any = re.compile(b"|".join(re.escape(value) for value in self._values)) if self._values else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream may be shown now."""
        if self._any is None:
            return data
        data = self._held + data
        cut = self._known(data, self._any)
        self._held = data[cut:]
        return self._any.sub(_MASK, data[:cut])

    def rest(self) -> bytes:
        """The end of the stream: what was held back as the possible beginning of a value."""
        held, self._held = self._held, b""
        return self._any.sub(_MASK, held) if self._any else held

    def _known(self, data: bytes, values: re.Pattern[bytes]) -> int:
        """How much of the data cannot be part of a value that is not whole yet."""
        longest = len(self._values[0])
        begun = [at for at in range(max(0, len(data) - longest + 1), len(data)) if self._begins(data[at:])]
        at = 0
        for match in values.finditer(data):
            if before := [place for place in begun if at <= place <= match.start()]:
                return before[0]
            at = match.end()
        return next((place for place in begun if place >= at), len(data))

    def _begins(self, tail: bytes) -> bool:
        return any(len(value) > len(tail) and value.startswith(tail) for value in self._values)
