"""Copying a file with its holes: what a build has made large without writing it stays small."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

_MOST_AT_ONCE = 1 << 30


def copy(source: int, to: int, size: int) -> None:
    """The first `size` bytes of a file to an empty one. Raises OSError."""
    for start, end in _data(source, size):
        os.lseek(to, start, os.SEEK_SET)
        while start < end:
            done = os.sendfile(to, source, start, min(end - start, _MOST_AT_ONCE))
            if not done:  # it has become shorter
                break
            start += done
    os.ftruncate(to, size)


def data_size(source: int, size: int) -> int:
    """How many of the first `size` bytes are no holes."""
    return sum(end - start for start, end in _data(source, size))


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the bytes are that are no holes: begin and end of each piece."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # there is nothing but a hole
                raise
            return
        end = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        if at < end:
            yield at, end
        at = end
