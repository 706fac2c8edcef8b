"""Where the proxy keeps bodies, and where it takes answers from when no server is to be asked."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple, Protocol


class Sink(Protocol):
    """A body that is being kept; `commit` (which says whether it now is) or `drop` ends it."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def commit(self, digest: str) -> bool: ...

    def drop(self) -> None: ...


class Answer(NamedTuple):
    """What a server once said. body: open at its beginning, closed by whoever reads it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    size: int
    body: BinaryIO


class Expected(NamedTuple):
    """What a server must answer: asked at `url` with GET, and nobody has all of it unless this is its sha256."""

    url: str
    sha256: str


class Shelf(Protocol):
    """What a step's requests are kept on, or served from. Called from the proxy's thread."""

    def keep(self) -> Sink | None:
        """Where to keep the body that now comes; None for nowhere."""

    def find(self, method: str, url: str) -> Answer | Expected | str | None:
        """The answer that is there for a request, or what it must be, or why there is none; None: ask the server."""


KEPT_HEADERS = (
    "content-type",
    "content-encoding",
    "last-modified",
    "location",
)  # what an answer needs to be given again
