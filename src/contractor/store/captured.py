"""Bodies of answers as they came through the proxy: what a locked, an offline or a repeated build is served from.

    captured/ab/<sha256>   the body with this digest
    captured/tmp/<random>  being received; what a crash leaves here is nobody's

Nothing is synced, for a package manager fetches hundreds: a body is verified each time before it is served, and one
that a power cut has damaged is as one that was never there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from contractor.core.digest import is_digest
from contractor.core.errors import Broken

_PIECE = 1 << 20  # bytes
_HELD = 256 << 10  # bytes of a body that is not written before it is whole
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Captured:
    """The bodies below a folder, which is made when first written to."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._tmp = f"{root}/tmp"

    def writer(self) -> BodyWriter:
        return BodyWriter(self)

    def create(self) -> tuple[int, str]:
        """A new file for a body that is being received, opened, and its path."""
        path = f"{self._tmp}/{os.urandom(12).hex()}"
        try:
            return os.open(path, _CREATE, 0o600), path
        except FileNotFoundError:
            os.makedirs(self._tmp, 0o700, exist_ok=True)
            return os.open(path, _CREATE, 0o600), path

    def path(self, digest: str) -> str:
        """Where a body is or would be."""
        if not is_digest(digest):
            raise Broken(f"not a digest: {digest[:80]!r}", hint="the record or the lock that names it is damaged")
        return f"{self._root}/{digest[:2]}/{digest}"

    def open(self, digest: str) -> BinaryIO | None:
        """A body from its beginning, verified; None when it is not there or not what its name says."""
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            body = stack.enter_context(open(self.path(digest), "rb"))
            sha = hashlib.sha256()
            while piece := body.read(_PIECE):
                sha.update(piece)
            if sha.hexdigest() == digest:
                body.seek(0)
                stack.pop_all()
                return body
            os.unlink(self.path(digest))  # so that it is kept anew when it comes again
        return None


class BodyWriter:
    """A body that is being received. `commit` or `drop` ends it; Broken when it cannot be written.

    A short one is held in memory: many have been kept before, and to make a file costs more than all else of it.
    """

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self._held: list[bytes] = []
        self._size = 0
        self._file: tuple[int, str] | None = None  # of one that is not held any more

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._size += len(data)
        if self._file is None and self._size <= _HELD:
            self._held.append(bytes(data))
            return
        with _explained():
            _write(self._open(), data)

    def commit(self, digest: str) -> bool:
        """Give it its name: the sha256 of what was written, which the caller has computed on the way. True."""
        path = self._captured.path(digest)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_size == self._size:
                os.utime(path)  # it is there: gc leaves it alone as long as it is young
                self.drop()  # and is not replaced: ext4 writes out at once what replaces a file, for a millisecond
                return True
        with _explained():
            os.close(self._open())
            assert self._file is not None
            temporary = self._file[1]
            try:
                os.rename(temporary, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                os.rename(temporary, path)
        return True

    def drop(self) -> None:
        self._held = []
        if self._file is not None:
            fd, path = self._file
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _open(self) -> int:
        """The file's descriptor; with what was held in it."""
        if self._file is None:
            self._file = self._captured.create()
            held, self._held = self._held, []
            _write(self._file[0], b"".join(held))
        return self._file[0]


def _write(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise Broken(
            f"what was fetched cannot be kept: {error.strerror}",
            hint="free disk space with `contractor gc`" if full else "",
        ) from error
