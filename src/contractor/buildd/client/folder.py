"""The folder that results are put into: a name never leads out of it, and what is there is never written over.

Everything goes through the folder's descriptor. A file grows under a name that nobody guesses, and gets its own by
link(2), which fails where something has it, be it a link that leads nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from contractor.core.errors import Broken, Rejected

_NAME_MAX = 255
_TEMPORARY = ".unfinished-"


def name_problem(name: str) -> str:
    """Why a file of the builder's may not have this name here; "" when it may."""
    if not name:
        return "is empty"
    if "/" in name or name in (".", ".."):
        return "leads out of the folder"
    if name.startswith("-"):
        return "begins like an option"
    if not name.isprintable():  # NUL and line ends among others, and what the terminal obeys
        return "has characters that no name should have"
    if len(name.encode("utf-8", "surrogatepass")) > _NAME_MAX:
        return "is too long"
    return "is a temporary one" if name.startswith(_TEMPORARY) else ""


class Growing:
    """A file that gets its name when it is complete. Hash: of all that was written."""

    def __init__(self, folder: int, temporary: str, file: BinaryIO, kind: str) -> None:
        self._folder = folder
        self._temporary = temporary
        self._file = file
        self._hash = hashlib.new(kind, usedforsecurity=False)
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def publish(self, name: str) -> bool:
        """Give it its name; False when a file with these bytes has it already. Raises Rejected when another has."""
        self._file.flush()
        try:
            os.link(self._temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            if self._is_same(name):
                return False
            raise Rejected(
                f"{name} is there already, and has other content",
                hint="nothing is written over: move it away, or fetch into another folder with --output",
            ) from None
        return True

    def _is_same(self, name: str) -> bool:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return False
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                return False
            return hashlib.file_digest(file, self._hash.name).digest() == self._hash.digest()


class Folder:
    """A context manager. path: made when it is not there, and removed at the end when nothing came into it.

    Raises Rejected when it cannot be used.
    """

    def __init__(self, path: str, parent: int | None = None) -> None:
        self.path = path
        self._made = True
        try:
            try:
                if parent is None:
                    os.makedirs(path)
                else:
                    os.mkdir(os.path.basename(path), dir_fd=parent)
            except FileExistsError:
                self._made = False
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if parent is not None else 0)
            self._fd = os.open(os.path.basename(path) if parent is not None else path, flags, dir_fd=parent)
        except OSError as error:
            raise Rejected(
                f"{path} cannot be used as a folder: {error.strerror}", hint="choose another with --output DIR"
            ) from error

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._fd)
        if self._made:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)

    def below(self, name: str) -> Folder:
        """A folder in it; raises Rejected for a name that is none, or when a link or a file has it."""
        if problem := name_problem(name):
            raise Rejected(f"the folder name {name[:80]!r} {problem}")
        return Folder(os.path.join(self.path, name), self._fd)

    def has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def growing(self, kind: str = "sha1") -> Iterator[Growing]:
        """A new file, which goes away at the end unless it was published. kind: of its digest."""
        temporary = _TEMPORARY + secrets.token_hex(8)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, 0o644, dir_fd=self._fd)
        except OSError as error:
            raise Broken(f"no file can be made in {self.path}: {error.strerror}") from error
        try:
            with open(fd, "wb") as file:
                yield Growing(self._fd, temporary, file, kind)
        finally:
            os.unlink(temporary, dir_fd=self._fd)
