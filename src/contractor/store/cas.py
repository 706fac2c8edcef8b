"""Content-addressed blobs: a name means verified content, and nothing unfinished is ever findable.

    ROOT/sha256/ab/ab12...ef          a blob, named by the sha256 of its bytes
    ROOT/sha256/ab/ab12...ef.zst      an encoded blob, named by the sha256 of what it decodes to
    ROOT/damaged/ab12...ef.<random>   what `verify` found wrong; never read again
    ROOT/tmp/<random>                 being written; what a crash leaves here is nobody's

Directories are 0700, files 0600. A blob is synced before it gets its name; its directory is not, for a name that a
crash takes back only means that the blob is made again.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from contractor.core.digest import chunks, is_digest
from contractor.core.errors import Broken, Rejected

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Encoding(NamedTuple):
    """How blobs are kept that are not named by their own bytes. suffix: with its dot, like ".zst"; decode: gives the
    bytes that the name is the sha256 of, raising an exception (any) for what cannot be decoded."""

    suffix: str
    decode: Callable[[BinaryIO], Iterator[bytes]]


def _as_it_is(stream: BinaryIO) -> Iterator[bytes]:
    return chunks(stream.read)


PLAIN = Encoding("", _as_it_is)


class Blobs:
    """The blobs of one encoding below `root`, which is made when first written to.

    Two objects with different encodings may share a root; each sees only its own. Every digest given must be 64
    lower-case hexadecimal digits, or Rejected is raised: a name never becomes a path unchecked.
    """

    def __init__(self, root: Path, encoding: Encoding = PLAIN) -> None:
        self._root = root
        self._encoding = encoding

    @contextmanager
    def writer(self) -> Iterator[BlobWriter]:
        """A blob to write; without `commit` in the block, or with an exception, nothing of it stays."""
        with _telling("write a blob"):
            directory = _directory(self._root / "tmp")
            path = directory / os.urandom(16).hex()
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield BlobWriter(self, fd, path)
        finally:
            with suppress(OSError):
                os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(path)

    def add_bytes(self, data: bytes, name: str | None = None) -> str:
        """Store bytes; returns their digest (or `name`, see `BlobWriter.commit`)."""
        with self.writer() as blob:
            blob.write(data)
            return blob.commit(name=name)[0]

    def path(self, digest: str) -> Path:
        """Where a blob is or would be."""
        if not is_digest(digest):
            raise Rejected(f"not a sha256 digest: {digest[:80]!r}", hint="a digest is 64 lower-case hexadecimal digits")
        return self._root / "sha256" / digest[:2] / (digest + self._encoding.suffix)

    def has(self, digest: str) -> bool:
        """True when the blob is there (it is not read)."""
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """A blob's stored bytes, not decoded and not verified. Raises Broken when it is not there."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise Broken(f"blob {digest} is not in the store", hint="build or fetch it again") from error
        except OSError as error:
            raise Broken(f"cannot open blob {digest}: {error.strerror}") from error

    def verify(self, digest: str) -> None:
        """Read the whole blob and compare it to its name; Broken when damaged, and then it is not found again."""
        sha = hashlib.sha256()
        why = ""
        with self.open(digest) as stream:
            try:
                for data in self._encoding.decode(stream):
                    sha.update(data)
            except Exception as error:  # whatever a decoder raises for garbage; reading errors as well
                why = f"it cannot be read: {error}"
        if not why and sha.hexdigest() != digest:
            why = f"its content has the digest {sha.hexdigest()}"
        if why:
            aside = self._set_aside(digest)
            raise Broken(
                f"blob {digest} is damaged", details=(why, f"moved to {aside}"), hint="build or fetch it again"
            )

    def digests(self) -> Iterator[str]:
        """The names of all blobs of this encoding, in no particular order."""
        suffix = self._encoding.suffix
        with suppress(FileNotFoundError):
            for directory in sorted((self._root / "sha256").iterdir()):
                for name in os.listdir(directory):
                    digest = name.removesuffix(suffix)
                    if digest + suffix == name and is_digest(digest):
                        yield digest

    def remove(self, digest: str) -> None:
        """Remove a blob; one that is not there is fine."""
        with _telling(f"remove blob {digest}"):
            self.path(digest).unlink(missing_ok=True)

    def _accept(self, temporary: Path, digest: str) -> None:
        path = self.path(digest)
        _directory(path.parent)
        # Also over a blob that is there: its bytes may be damaged, these are not. Who has it open keeps the old one.
        os.rename(temporary, path)

    def _set_aside(self, digest: str) -> Path:
        with _telling(f"move blob {digest} aside"):
            aside = _directory(self._root / "damaged") / f"{digest}{self._encoding.suffix}.{os.urandom(4).hex()}"
            os.rename(self.path(digest), aside)
        return aside


class BlobWriter:
    """What `Blobs.writer` gives."""

    def __init__(self, blobs: Blobs, fd: int, path: Path) -> None:
        self._blobs = blobs
        self._fd = fd
        self._path = path
        self._sha = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; all of them are written, or Broken is raised."""
        view = memoryview(data).cast("B")
        self._sha.update(view)
        self._size += len(view)
        done = 0
        with _telling("write a blob"):
            while done < len(view):
                done += os.write(self._fd, view[done:])
        return len(view)

    def restart(self) -> None:
        """Forget what was written: it is written once more from the beginning."""
        with _telling("write a blob"):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        self._sha = hashlib.sha256()
        self._size = 0

    def commit(self, digest: str | None = None, *, name: str | None = None) -> tuple[str, int]:
        """Give the blob its name; returns (name, bytes stored). To be called once, last.

        digest: what the bytes written must hash to, else Rejected. name: the digest to file them under, for an
        encoding: of what they decode to, which the caller has computed (`verify` checks it). Without it: their own.
        """
        actual = self._sha.hexdigest()
        if digest is not None and digest != actual:
            raise Rejected(f"content has the digest {actual}, not {digest}", details=(f"{self._size} bytes",))
        with _telling("store a blob"):
            os.fsync(self._fd)
            self._blobs._accept(self._path, name or actual)
        return name or actual, self._size


def _directory(path: Path) -> Path:
    """Make a directory and those above it, 0700 each; Path.mkdir would give parents the umask's mode."""
    if not path.is_dir():
        if not path.parent.is_dir():
            _directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


@contextmanager
def _telling(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "free disk space with `contractor gc`, or give the store a larger disk" if error.errno in _FULL else ""
        raise Broken(
            f"cannot {doing}: {error.strerror}", details=(str(error.filename),) if error.filename else (), hint=hint
        ) from error
