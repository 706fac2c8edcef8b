"""Compressed streams: zstd out; zstd, gzip, bzip2, xz or plain in, told apart by their first bytes.

Compressed bytes are a transport, never an identity: versions of one compressor differ. Decompressors here give at most
what they are asked for and use bounded memory; how much in all is for the reader to limit (max_bytes of unpack).
The codecs are imported when they are needed: each costs milliseconds at start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from contractor.core.errors import Broken, ContractorError, Rejected

Read = Callable[[int], bytes]  # up to that many bytes, b"" at the end

THREADS = 2  # never the machine's number: the same input must give the same bytes everywhere
LEVEL = 3
MAX_WINDOW = 128 << 20  # bytes of history that a zstd stream may ask for: zstd(1)'s own limit
XZ_MEMORY = 256 << 20  # bytes that an xz stream may use: xz -9 needs 65 MiB
_PIECE = 1 << 17  # compressed bytes read at once


class ZstdSink:
    """A callable that compresses what it is given into a descriptor, on two threads besides the caller's.

    Use it as a context manager; leaving it without an error ends the frame. The descriptor stays open, and is the
    caller's to sync and close. `size` is the number of compressed bytes written so far. Broken: a write failed.
    """

    def __init__(self, write_fd: int, level: int = LEVEL) -> None:
        import zstandard

        self._fd = write_fd
        self._stream = zstandard.ZstdCompressor(level=level, threads=THREADS, write_checksum=True).compressobj()
        self.size = 0

    def __call__(self, data: bytes) -> None:
        self._write(self._stream.compress(data))

    def close(self) -> None:
        """End the frame. Without this the file is a truncated one, and says so when it is read."""
        self._write(self._stream.flush())

    def __enter__(self) -> ZstdSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                written = os.write(self._fd, left)
            except OSError as error:
                raise Broken(
                    f"cannot write the compressed archive: {error.strerror}",
                    hint="free some space (`contractor gc`) and build again: finished steps are kept",
                ) from error
            left = left[written:]
            self.size += written


def open_zstd(fd: int) -> Read:
    """A reader of what a zstd file holds, from the descriptor's place on. Rejected: the data is damaged.

    The library ends a truncated stream without a word, so what is read must know its own end, as a tar archive does.
    """
    return _zstd(_Source(fd))


def open_archive(fd: int) -> Read:
    """A reader of what a file holds, decompressed as its first bytes say; anything unknown is given as it is.

    fd may be a pipe. Rejected (when reading): damaged, truncated or followed by garbage. Broken: reading fd failed.
    """
    source = _Source(fd)
    start = source.peek(6)
    if start.startswith((b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")):
        return _zstd(source)
    if start.startswith(b"\x1f\x8b"):
        return _gzip(source)
    if start.startswith(b"BZh"):
        return _bzip2(source)
    if start.startswith(b"\xfd7zXZ\0"):
        return _xz(source)
    return source.read


class _Source:
    """A descriptor whose first bytes can be looked at."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start = b""

    def peek(self, count: int) -> bytes:
        while len(self._start) < count and (data := self._take(count - len(self._start))):
            self._start += data
        return self._start

    def read(self, count: int = -1, /) -> bytes:
        if count < 0:
            count = _PIECE
        if not self._start:
            return self._take(count)
        data, self._start = self._start[:count], self._start[count:]
        return data

    def _take(self, count: int) -> bytes:
        try:
            return os.read(self._fd, count)
        except OSError as error:
            raise Broken(f"cannot read the archive: {error.strerror}") from error


class _Decoder(Protocol):
    """What zlib's, bz2's and lzma's decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's decompressor, which gives back what it had no room for, with the manners of the other two."""

    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(31)  # 16 + 15: a gzip header, the largest window

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _streams(source: _Source, fresh: Callable[[], _Decoder], kind: str, errors: tuple[type[Exception], ...]) -> Read:
    """A reader of one or more compressed streams in a row; zeros may follow the last, as from a tape."""
    decoder: _Decoder | None = fresh()
    pending = b""

    def read(count: int) -> bytes:
        nonlocal decoder, pending
        while decoder is not None:
            if decoder.eof:
                pending = _after_zeros(decoder.unused_data, source)
                decoder = fresh() if pending else None
                continue
            try:
                piece = decoder.decompress(pending, count)
            except errors as error:
                raise _damaged(kind, str(error)) from error
            pending = b""
            if piece:
                return piece
            if not decoder.eof:
                pending = source.read()
                if not pending:
                    raise _damaged(kind, "it ends too early")
        return b""

    return read


def _after_zeros(data: bytes, source: _Source) -> bytes:
    """What follows a stream, without the zeros in between; b"" at the end."""
    rest = data.lstrip(b"\0")
    while not rest and (data := source.read()):
        rest = data.lstrip(b"\0")
    return rest


def _gzip(source: _Source) -> Read:
    import zlib

    return _streams(source, _Zlib, "gzip", (zlib.error,))


def _bzip2(source: _Source) -> Read:
    import bz2

    return _streams(source, bz2.BZ2Decompressor, "bzip2", (OSError, ValueError))


def _xz(source: _Source) -> Read:
    import lzma

    def fresh() -> _Decoder:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    return _streams(source, fresh, "xz", (lzma.LZMAError,))


def _zstd(source: _Source) -> Read:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    stream = decompressor.stream_reader(source, read_across_frames=True)  # type: ignore[arg-type]  # only read() is used

    def read(count: int) -> bytes:
        try:
            return stream.read(count)
        except zstandard.ZstdError as error:
            raise _damaged("zstd", str(error)) from error

    return read


def _damaged(kind: str, reason: str) -> ContractorError:
    return Rejected(f"the archive's {kind} data is damaged: {reason}", hint="fetch or create it again")
