"""The build's log: bytes, appended by the worker, with their end shown by the daemon.

What comes in is never decoded, and never reaches the disk with a credential in it, whatever the type of the build:
the protocol leaves some logs as they are, but a URL with a password is nobody else's to read in those either.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence

from contractor.buildd.sanitize import Sieve, clean_end

TAIL = 2048  # bytes of it that status() shows, at most


class Log:
    """Appends to a log's descriptor, which it does not close. Credentials are taken out, and a line appears when it is
    complete."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._sieve = Sieve()
        self._at_start = True

    def write(self, data: bytes) -> None:
        """Output as it comes. Raises OSError where the disk is full."""
        if not data:
            return
        self._at_start = data.endswith(b"\n")
        self._put(self._sieve.feed(data))

    def line(self, text: str) -> None:
        """A line of our own, which begins on a new line."""
        start = "" if self._at_start else "\n"
        self.write(f"{start}{text}\n".encode(errors="surrogateescape"))

    def run(self, argv: Sequence[str]) -> None:
        """What is going to run, and the time."""
        self.line(f"\nRUN: {shlex.join(argv)}")
        self.line(f"[{time.ctime()}]")

    def close(self) -> None:
        """Write what is held."""
        self._put(self._sieve.rest())

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]


def tail(fd: int) -> bytes:
    """The end of a log as status() shows it: at most TAIL bytes, without credentials, and without the line that the
    limit cuts."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, TAIL, max(0, size - TAIL))
    if size > TAIL:
        data = _after_cut(data)
    return clean_end(data)


def _after_cut(data: bytes) -> bytes:
    """Behind the first end of a line; of one that is longer than the tail, behind the first white space."""
    _cut, end, rest = data.partition(b"\n")
    if end:
        return rest
    words = data.split(None, 1)
    return words[1] if len(words) > 1 else b""
