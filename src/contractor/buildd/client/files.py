"""A builder's file cache over HTTP: a log that grows, read from where one was, and results, checked by their digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from contractor.buildd.client.answers import digest_kind
from contractor.buildd.client.builder import Builder
from contractor.buildd.client.folder import Folder, name_problem
from contractor.buildd.client.link import Lost, Nonsense
from contractor.core.errors import Broken
from contractor.core.values import Value

LOG = "buildlog"
LARGEST_FILE = 64 << 30  # bytes
_STALLS = 4  # attempts in a row that bring nothing
_ATTEMPTS = 50  # in all
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_RANGE = re.compile(r"bytes (\d+)-\d+/")
_TOTAL = re.compile(r"bytes \*/(\d+)")


class Missing(Broken):
    """The builder does not have the file."""


class Shrunk(Exception):
    """The file is shorter than what was read of it: it is another one now."""


class _Enough(Exception):
    pass


class Reader:
    """Reads a file of the cache in pieces, each from where the last one ended, also after a lost connection."""

    def __init__(self, builder: Builder, name: str, sink: Callable[[bytes], object]) -> None:
        """sink: takes what is new, in another thread than the one that reads."""
        self._builder = builder
        self._name = name
        self._sink = sink
        self._skip = 0
        self._room = 0
        self.at = 0  # bytes that were given to the sink

    def read(self, most: int = LARGEST_FILE) -> int:
        """What is there now, at most so many bytes; returns how many came. Raises Lost, Missing, Shrunk, Nonsense."""
        begun, self._room = self.at, most
        last = f"{self.at + most - 1}" if most < LARGEST_FILE else ""
        headers = {"Range": f"bytes={self.at}-{last}"} if self.at or last else {}
        try:
            answer = self._builder.get(self._name, headers, self)
        except _Enough:
            return self.at - begun
        if answer.status == 404:
            raise Missing(
                f"the builder at {self._builder.url} has no {self._name}", hint="it was cleaned, or its cache expired"
            )
        if answer.status == 416:
            total = _TOTAL.match(answer.headers.get("content-range", ""))
            if total and int(total[1]) < self.at:
                raise Shrunk
        elif answer.status >= 500:
            raise Lost(self._builder.place, f"HTTP status {answer.status}", sent=True)
        elif answer.status not in (200, 206):
            raise Nonsense(self._builder.place, f"HTTP status {answer.status} for {self._name}")
        elif self._skip:
            raise Shrunk
        return self.at - begun

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """As link.Sink: where the body starts. A server may not know Range, and send all of it."""
        self._skip = self.at
        if status == 206:
            start = _RANGE.match(headers.get("content-range", ""))
            if start is None or int(start[1]) > self.at:
                raise Nonsense(self._builder.place, f"another range of {self._name} than was asked for")
            self._skip = self.at - int(start[1])

    def take(self, data: bytes) -> None:
        """As link.Sink."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        data = data[skipped : skipped + self._room]
        if data:
            self._sink(data)
            self.at += len(data)
            self._room -= len(data)
        if not self._room:
            raise _Enough


class Fetched(Value, frozen=True):
    """A file in the output folder. new: False when it was there already, with these bytes."""

    name: str
    path: str
    digest: str
    size: int
    new: bool = True


def check_names(files: Mapping[str, str], folders: Iterable[str] = ()) -> None:
    """Raises Broken when a name would lead out of the folder, or a file cannot be checked: then none is fetched."""
    names = (*folders, *files)
    wrong = [f"{name[:80]!r}: the name {name_problem(name)}" for name in names if name_problem(name)]
    wrong += [f"{name[:80]!r}: {key[:80]!r} is no digest" for name, key in files.items() if not digest_kind(key)]
    if wrong:
        raise Broken(
            "the builder lists files that cannot be taken from it",
            details=tuple(wrong),
            hint="nothing was fetched; a builder that lists such files is broken, or worse",
        )


def download(builder: Builder, name: str, key: str, folder: Folder) -> Fetched:
    """The file that the cache has under a digest, as `name` in the folder, complete or not at all.

    A connection that breaks is taken up where it broke. Raises Broken for other bytes than the digest says, Lost,
    Missing, and Rejected when another file has the name.
    """
    with folder.growing(digest_kind(key)) as file:
        reader = Reader(builder, key, file.write)
        stalls = 0
        for _ in range(_ATTEMPTS):
            before = reader.at
            try:
                reader.read()
                break
            except Shrunk:
                raise _damaged(builder, name, key, "it became shorter") from None
            except Lost:
                stalls = 0 if reader.at > before else stalls + 1
                if stalls >= _STALLS:
                    raise
                builder.sleep(_PAUSES[max(0, stalls - 1)])
        if file.digest != key:
            raise _damaged(builder, name, key, f"what came has {file.digest}")
        new = file.publish(name)
        return Fetched(name, f"{folder.path}/{name}", key, file.size, new)


def _damaged(builder: Builder, name: str, key: str, reason: str) -> Broken:
    return Broken(
        f"{name} did not arrive as the builder at {builder.url} lists it",
        details=(f"it should have {digest_kind(key)} {key}", reason),
        hint="fetch it again; when it stays so, the builder's disk or cache is damaged",
    )
