"""A step's output in bounded memory: `Tail` keeps the end of it, `Lines` makes whole lines of it.

A step may write a gigabyte in pieces of any size; a screen shows its last lines, the log has all of it.
"""

from __future__ import annotations

from contractor.cli.text import sanitize

TAIL_BYTES = 64 << 10
LINE_BYTES = 64 << 10
SEEN_BYTES = 8 << 10  # of one line that is shown clipped: more would be cut off anyway


class Tail:
    """The last 64 KiB of a stream; `feed` copies at most that much, whatever the step writes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._cut = False

    def feed(self, data: bytes) -> None:
        self._cut = self._cut or len(self._data) + len(data) > 2 * TAIL_BYTES
        self._data += data[-TAIL_BYTES:]
        if len(self._data) > 2 * TAIL_BYTES:
            del self._data[:-TAIL_BYTES]

    def lines(self, limit: int, *, blank: bool = True) -> list[str]:
        """The last `limit` lines, sanitised, with an unfinished one; `blank=False` leaves out the empty ones."""
        raw = bytes(self._data).split(b"\n")
        if raw[-1] == b"":
            raw.pop()
        if self._cut and raw:
            # The first line lost its beginning: drop it, or, being the only one, the half character it starts with.
            raw = raw[1:] if len(raw) > 1 else [_whole_characters(raw[0])]
        found: list[str] = []
        for line in reversed(raw):
            if len(found) == limit:
                break
            if len(line) > SEEN_BYTES:
                line = _last_state(line)[:SEEN_BYTES]
            text = sanitize(line).rstrip()
            if text or blank:
                found.append(text)
        return found[::-1]


class Lines:
    """Bytes in, whole sanitised lines out; a line longer than 64 KiB is cut and says so."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lost = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        first, *others = data.split(b"\n")
        self._keep(first)
        lines = []
        for line in others:  # each begins where a newline ended the one before
            lines.append(self._take())
            self._keep(line)
        return lines

    def finish(self) -> list[str]:
        """The last line, when it had no newline."""
        return [self._take()] if self._rest or self._lost else []

    def _keep(self, data: bytes) -> None:
        if len(self._rest) + len(data) > LINE_BYTES:
            # A progress bar is one endless line: what it overwrote is not worth its room.
            latest = _last_state(data)
            if len(latest) < len(data.rstrip(b"\r")):
                self._rest, self._lost, data = bytearray(), 0, latest
            else:
                self._rest = bytearray(_last_state(bytes(self._rest)))
        room = LINE_BYTES - len(self._rest)
        self._rest += data[:room]
        self._lost += max(0, len(data) - room)

    def _take(self) -> str:
        text = sanitize(bytes(self._rest)).rstrip()
        if self._lost:
            text += f" ... ({self._lost} more bytes are in the log)"
        self._rest.clear()
        self._lost = 0
        return text


def _last_state(line: bytes) -> bytes:
    """What follows the last carriage return that has something after it; one at the end is kept, more may come."""
    return line[line.rstrip(b"\r").rfind(b"\r") + 1 :]


def _whole_characters(data: bytes) -> bytes:
    """Without the UTF-8 continuation bytes, at most three, that begin it."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
