"""The door of a networked step: the recording proxy, for as long as the step runs; what passes it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from contractor.core.fetch import Fetch

if TYPE_CHECKING:
    import socket

    from contractor.network.shelf import Answer, Sink
    from contractor.store.captured import Captured


class Replay(NamedTuple):
    """What a step's requests are answered with, by URL, and no server is asked: of a lock, or of an earlier build."""

    answers: Mapping[str, Fetch]
    source: str  # "the lock", "the build ..."

    @staticmethod
    def of(fetches: Iterable[Fetch], source: str) -> Replay:
        """The last answer that each URL had."""
        return Replay({fetch.url: fetch for fetch in fetches if fetch.kept and fetch.method == "GET"}, source)


class Access(NamedTuple):
    """How a step reaches the network: the hosts it may, through which proxy of this machine, and what is replayed."""

    hosts: tuple[str, ...]
    upstream: str = ""
    captured: Captured | None = None
    replay: Replay | None = None
    offline: bool = False


class Door:
    """A context manager. `open` takes the listener of the step's own network; without hosts nobody calls it."""

    def __init__(self, access: Access, on_fetch: Callable[[Fetch], None]) -> None:
        self._access = access
        self._on_fetch = on_fetch
        self._stack = ExitStack()

    def open(self, listener: socket.socket) -> None:
        """Serve the step's requests to the allowed hosts until the block ends."""
        from contractor.network.proxy import RecordingProxy  # asyncio: only when a step has network

        access = self._access
        shelf = _StoreShelf(access) if access.captured is not None else None
        self._stack.enter_context(
            RecordingProxy(listener, access.hosts, self._on_fetch, upstream=access.upstream, shelf=shelf)
        )

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class _StoreShelf:
    """Bodies in the store: kept there as they come, or served from there."""

    def __init__(self, access: Access) -> None:
        assert access.captured is not None
        self._captured = access.captured
        self._replay = access.replay
        self._offline = access.offline

    def keep(self) -> Sink | None:
        return self._captured.writer()

    def find(self, method: str, url: str) -> Answer | str | None:
        if self._replay is None:
            return "the build runs offline, and nothing was kept for this step" if self._offline else None
        from contractor.network.shelf import Answer

        fetch = self._replay.answers.get(url)
        if fetch is None or method not in ("GET", "HEAD"):
            return f"{self._replay.source} has no answer for it"
        body = self._captured.open(fetch.sha256)
        if body is None:
            return f"{self._replay.source} names sha256:{fetch.sha256}, which is not in the store"
        return Answer(fetch.status, fetch.headers, fetch.size, body)
