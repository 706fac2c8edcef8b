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
from typing import BinaryIO

from contractor.core.digest import is_digest
from contractor.core.errors import Broken

_PIECE = 1 << 20  # bytes
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Captured:
    """The bodies below a folder, which is made when first written to."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._tmp = f"{root}/tmp"

    def writer(self) -> BodyWriter:
        path = f"{self._tmp}/{os.urandom(12).hex()}"
        try:
            fd = os.open(path, _CREATE, 0o600)
        except FileNotFoundError:
            os.makedirs(self._tmp, 0o700, exist_ok=True)
            fd = os.open(path, _CREATE, 0o600)
        return BodyWriter(self, fd, path)

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
    """A body that is being received. `commit` or `drop` ends it."""

    def __init__(self, captured: Captured, fd: int, path: str) -> None:
        self._captured = captured
        self._fd = fd
        self._path = path

    def write(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Broken(
                f"what was fetched cannot be kept: {error.strerror}",
                hint="free disk space with `contractor gc`" if full else "",
            ) from error

    def commit(self, digest: str) -> bool:
        """Give it its name: the sha256 of what was written, which the caller has computed on the way. True."""
        path = self._captured.path(digest)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # it is there: gc leaves it alone as long as it is young
            self.drop()  # and is not replaced: ext4 writes out at once what replaces a file, for a millisecond
            return True
        os.close(self._fd)
        try:
            os.rename(self._path, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            os.rename(self._path, path)
        return True

    def drop(self) -> None:
        os.close(self._fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
