"""A capsule: one file with a specification, its lock, and every input. A tar archive, whose every byte is determined.

    capsule.json             the manifest: what follows, in order, with sizes and digests
    project/<path>           the specification and what it names beside it; its lock
    sources/<digest>.tar     a folder of the project, as an archive
    captured/<digest>        what package managers were answered
    blobs/<digest>           downloads
    git/<commit>.tar         the files of a commit
    capsule.sha256           the digest of all bytes before it

Any tar can look inside. The reader takes nothing from a header: it makes the only one that there may be, and compares.
Who makes a capsule can make it say anything: its digest, told by somebody whom you trust, is what vouches for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from contractor.core.digest import canonical, is_digest
from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.store import tarformat
from contractor.store.tarformat import BLOCK, Member

VERSION = 1
_PIECE = 1 << 20
_LARGEST_MANIFEST = 64 << 20  # bytes
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_PART = re.compile(r"[^/\0]{1,255}\Z")
_SAYS = b"capsule.sha256"

Read = Callable[[int], bytes]


class Item(Value, frozen=True):
    """A member. kind: project, sources, captured, blobs, git; name: a path, a commit, or the digest.

    size, digest: of its bytes. path: for sources, the folder of the project that it becomes. executable: for a file of
    the project.
    """

    kind: str
    name: str
    size: int
    digest: str
    path: str = ""
    executable: bool = False

    @property
    def member(self) -> bytes:
        suffix = ".tar" if self.kind in ("sources", "git") else ""
        return f"{self.kind}/{self.name}{suffix}".encode()


class Manifest(Value, frozen=True):
    """spec: the specification's path in the project. parameters, only: what the builds are that it is whole for."""

    name: str
    spec: str
    items: tuple[Item, ...]
    parameters: dict[str, str] = {}
    only: dict[str, str] = {}
    made_by: str = ""
    version: int = VERSION

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


class Writer:
    """Writes a capsule into `sink`. The contents follow the manifest in its order."""

    def __init__(self, manifest: Manifest, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._size = 0
        self._whole = hashlib.sha256()
        data = canonical(manifest)
        self._member(b"capsule.json", len(data))
        self._write(data)
        self._write(tarformat.padding(len(data)))

    def add(self, item: Item, pieces: Iterator[bytes]) -> None:
        """The next item. Rejected: its bytes are not what the manifest says."""
        self._member(item.member, item.size, executable=item.executable)
        sha, size = hashlib.sha256(), 0
        for piece in pieces:
            sha.update(piece)
            size += len(piece)
            self._write(piece)
        if (size, sha.hexdigest()) != (item.size, item.digest):
            raise Rejected(
                f"{item.kind}/{item.name} is not what it was a moment ago, or is damaged in the store",
                details=(f"expected sha256 {item.digest}", f"found sha256 {sha.hexdigest()}"),
                hint="build again with the network: what is damaged is fetched anew",
            )
        self._write(tarformat.padding(item.size))

    def finish(self) -> str:
        """The end; returns the sha256 of the whole capsule."""
        says = f"{self._whole.hexdigest()}\n".encode()
        self._member(_SAYS, len(says))
        self._write(says + tarformat.padding(len(says)))
        self._write(tarformat.ending(self._size))
        return self._whole.hexdigest()

    def _member(self, name: bytes, size: int, *, executable: bool = False) -> None:
        self._write(header(name, size, executable=executable))

    def _write(self, data: bytes) -> None:
        self._whole.update(data)
        self._size += len(data)
        self._sink(data)


def header(name: bytes, size: int, *, executable: bool = False) -> bytes:
    """The only header that a member of a capsule may have."""
    mode = 0o755 if executable else 0o644
    return tarformat.encode(Member(name, tarformat.FILE, mode, 0, 0, size, 0))


class Reader:
    """Reads a capsule from hostile bytes. Everything is Rejected that is not exactly as the writer writes it."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._at = 0
        self._whole = hashlib.sha256()
        self.manifest = self._manifest()

    def pieces(self, item: Item) -> Iterator[bytes]:
        """The content of the next item. It is verified when all of it has been taken."""
        self._expect(header(item.member, item.size, executable=item.executable), f"the header of {item.name}")
        sha = hashlib.sha256()
        start = self._at
        left = item.size
        while left:
            data = self._take(min(left, _PIECE), f"{item.kind}/{item.name}")
            sha.update(data)
            left -= len(data)
            yield data
        if sha.hexdigest() != item.digest:
            raise self._damaged(f"{item.kind}/{item.name} has the sha256 {sha.hexdigest()}, not {item.digest}", start)
        self._expect(tarformat.padding(item.size), "zeros")

    def finish(self) -> str:
        """The end; returns the sha256 of the whole capsule."""
        says = f"{self._whole.hexdigest()}\n".encode()
        self._expect(header(_SAYS, len(says)), "the digest of all before it")
        self._expect(says + tarformat.padding(len(says)), "the digest of all before it")
        self._expect(tarformat.ending(self._at), "the archive's end")
        if self._file.read(1):
            raise self._damaged("something follows its end", self._at)
        return self._whole.hexdigest()

    def _manifest(self) -> Manifest:
        start = self._take(BLOCK, "its first header")
        size = _size_of(start)
        if size is None or start != header(b"capsule.json", size):
            raise Rejected(f"{self._name} is not a capsule", hint="`contractor capsule export` makes one")
        if size > _LARGEST_MANIFEST:
            raise self._damaged(f"its manifest has {size} bytes", 0)
        data = b""
        while len(data) < size:
            data += self._take(min(_PIECE, size - len(data)), "the manifest")
        self._expect(tarformat.padding(size), "zeros")
        try:
            version = msgspec.json.decode(data, type=_Head).version
            if version != VERSION:
                raise Rejected(
                    f"{self._name} is a capsule of version {version}, this Contractor knows {VERSION}",
                    hint="use the Contractor that made it, or a newer one",
                )
            manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(f"its manifest cannot be read: {error}", BLOCK) from error
        if canonical(manifest) != data:
            raise self._damaged("its manifest is not written as a manifest is", BLOCK)
        for trouble in _troubles(manifest):
            raise self._damaged(f"its manifest {trouble}", BLOCK)
        return manifest

    def _expect(self, data: bytes, what: str) -> None:
        start = self._at
        found = b""
        while len(found) < len(data):
            found += self._take(len(data) - len(found), what)
        if found != data:
            place = next(n for n, (one, other) in enumerate(zip(found, data, strict=True)) if one != other)
            raise self._damaged(f"{what} should be here, and something else is", start + place)

    def _take(self, most: int, what: str) -> bytes:
        try:
            data = self._file.read(most)
        except OSError as error:
            raise Rejected(f"{self._name} cannot be read: {error.strerror}") from error
        if not data:
            raise self._damaged(f"it ends in {what}", self._at)
        self._at += len(data)
        self._whole.update(data)
        return data

    def _damaged(self, reason: str, at: int) -> Rejected:
        return Rejected(
            f"the capsule {self._name} is refused: {reason} (at byte {at})",
            hint="nothing of it was used; get it again, and compare its sha256 with the one that its maker tells",
        )


class _Head(msgspec.Struct):
    version: int


def _size_of(block: bytes) -> int | None:
    digits = block[124:135]
    return int(digits, 8) if re.fullmatch(rb"[0-7]{11}", digits) else None


def _troubles(manifest: Manifest) -> Iterator[str]:
    """What would lead out of the folder or the store, or is there twice."""
    seen: set[bytes] = set()
    for item in manifest.items:
        if item.size < 0 or not is_digest(item.digest):
            yield f"says what cannot be of {item.name[:80]!r}"
        if item.member in seen:
            yield f"has {item.name[:80]!r} twice"
        seen.add(item.member)
        if item.kind == "project":
            fits = is_inside(item.name)
        elif item.kind == "git":
            fits = bool(_COMMIT.match(item.name))
        else:
            fits = item.kind in ("sources", "captured", "blobs") and item.name == item.digest
        if not fits or not (item.path in ("", ".") or is_inside(item.path)):
            yield f"has the name {item.name[:80]!r}, which cannot be"
    if not any(item.kind == "project" and item.name == manifest.spec for item in manifest.items):
        yield "names a specification that is not in it"


def is_inside(path: str) -> bool:
    """A plain relative path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    parts = path.split("/")
    return len(path) < 4096 and all(_PART.match(part) and part not in (".", "..") for part in parts)
