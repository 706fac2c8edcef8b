"""Is a secret in what is to be stored? Bytes are looked at in pieces, at the speed of reading them (sieve.py). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from contractor.build.secrets.forms import LONGEST_MARK, LOOSE, WHITE, Mark, marks_to_seek
from contractor.build.secrets.sieve import Sieve


class Finder:
    """values: of the secrets, by name."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        marks = [mark for name, value in values.items() for mark in marks_to_seek(name, value)]
        self._marks = {mark.data: mark for mark in marks}
        self._loose = Sieve(mark.data for mark in marks if mark.loose)
        self._exact = Sieve(mark.data for mark in marks if not mark.loose)

    def find(self, pieces: Iterable[bytes]) -> Mark | None:
        """The first mark in bytes that come in pieces."""
        search = Search(self)
        for piece in pieces:
            if found := search.feed(piece):
                return found
        return None

    def first(self, raw: bytes, tight: bytes) -> Mark | None:
        """A mark in bytes; tight: the same without white space."""
        for found in (*self._exact.hits(raw), *self._loose.hits(tight)):
            return self._marks[found]
        return None


class Search:
    """Through bytes that come in pieces: a mark may be cut by their ends."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._raw = self._tight = b""

    def feed(self, piece: bytes) -> Mark | None:
        """A mark that this piece completes."""
        raw = self._raw + piece
        tight = self._tight + piece.translate(None, WHITE)
        self._raw = raw[max(0, len(raw) - LOOSE) :]
        self._tight = tight[max(0, len(tight) - LONGEST_MARK) :]
        return self._finder.first(raw, tight)


class Sink(Protocol):
    """A body that is being kept (network/shelf.py)."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def commit(self, digest: str) -> bool: ...

    def drop(self) -> None: ...


class Searched:
    """A sink that does not keep what has a secret in it."""

    def __init__(self, sink: Sink, finder: Finder) -> None:
        self._sink = sink
        self._search = Search(finder)
        self._clean = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._clean = self._clean and self._search.feed(bytes(data)) is None
        self._sink.write(data)

    def commit(self, digest: str) -> bool:
        if self._clean:
            return self._sink.commit(digest)
        self._sink.drop()
        return False

    def drop(self) -> None:
        self._sink.drop()
