"""Moving file contents between files inside the kernel, holes kept as holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

ALIGN = 4096  # bytes; copy_file_range shares blocks instead of copying where the file system can, given this alignment
BIG = 64 << 10  # bytes from which an extent is aligned and copied by the kernel
BUFFER = 1 << 20  # bytes of small contents gathered before one write

_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


class Shrunk(Exception):
    """A file ended before the length it should have had."""


def data_ranges(fd: int, found: os.stat_result) -> Iterator[tuple[int, int]]:
    """The (offset, length) of what is not a hole. Files without holes are not asked: two system calls saved."""
    size = found.st_size
    if found.st_blocks * 512 >= size:
        if size:
            yield 0, size
        return
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if end <= start:
            return
        yield start, end - start


def copy(source: int, target: int, length: int, offsets: tuple[int, int]) -> None:
    """Copy `length` bytes between files, from offsets[0] to offsets[1]. Raises Shrunk, OSError."""
    start, to = offsets
    if length < BIG:
        write_all(target, read_exactly(source, length, start), to)
        return
    done = 0
    try:
        while done < length:
            count = os.copy_file_range(source, target, length - done, start + done, to + done)
            if count == 0:
                raise Shrunk
            done += count
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        _send(source, target, length - done, (start + done, to + done))


def _send(source: int, target: int, length: int, offsets: tuple[int, int]) -> None:
    start, to = offsets
    os.lseek(target, to, os.SEEK_SET)
    while length:
        count = os.sendfile(target, source, start, length)
        if count == 0:
            raise Shrunk
        start += count
        length -= count


def read_exactly(fd: int, length: int, offset: int) -> bytes:
    """Exactly `length` bytes from `offset`. Raises Shrunk."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise Shrunk
        data += more
    return data


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of the data at `offset`, whatever number of writes that takes."""
    done = os.pwrite(fd, data, offset)
    view = memoryview(data)
    while done < len(view):
        done += os.pwrite(fd, view[done:], offset + done)


class Packer:
    """Appends contents to a file: small ones gathered in memory, big ones aligned and copied by the kernel."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._written = 0  # bytes before the buffer

    @property
    def size(self) -> int:
        """Where the next byte goes."""
        return self._written + len(self._buffer)

    def add(self, source: int, offset: int, length: int) -> int:
        """Append a range of an open file; returns where it begins. Raises Shrunk, OSError."""
        if length < BIG:
            at = self.size
            self._buffer += read_exactly(source, length, offset)
            if len(self._buffer) >= BUFFER:
                self.flush()
            return at
        self.flush()
        at = -(-self._written // ALIGN) * ALIGN
        copy(source, self._fd, length, (offset, at))
        self._written = at + length
        return at

    def append(self, data: bytes) -> None:
        """Append bytes."""
        self._buffer += data

    def flush(self) -> None:
        """Write what was gathered."""
        if self._buffer:
            write_all(self._fd, self._buffer, self._written)
            self._written += len(self._buffer)
            self._buffer = bytearray()
