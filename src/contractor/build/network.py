"""The door of a networked step: the recording proxy, for as long as the step runs; what passes it is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, NamedTuple

from contractor.core.fetch import Fetch

if TYPE_CHECKING:
    import socket

    from contractor.build.secrets.secrets import Secrets
    from contractor.network.shelf import Answer, Expected, Sink
    from contractor.store.captured import Captured

PACKAGE = ".deb"  # how the URL of a package ends; everything else that apt asks for is an index


class Replay(NamedTuple):
    """What a step's requests are answered with, by URL. source: "the lock", "the build ...".

    asks: what a server is asked for besides: what the store has lost and is known by its digest ("lost"); that, and
    every index, for those of the lock are not in this store ("indexes"); or whatever there is no answer for ("rest").
    """

    answers: Mapping[str, Fetch]
    source: str
    asks: Literal["nothing", "lost", "indexes", "rest"] = "nothing"

    @staticmethod
    def of(fetches: Iterable[Fetch], source: str) -> Replay:
        """The last answer that each URL had."""
        return Replay({fetch.url: fetch for fetch in fetches if fetch.kept and fetch.method == "GET"}, source)

    def lost(self, captured: Captured) -> list[Fetch]:
        """The answers whose bodies are not in the store."""
        return [fetch for fetch in self.answers.values() if not os.path.exists(captured.path(fetch.sha256))]

    def online(self, captured: Captured) -> Replay:
        """The same for a build that may ask servers."""
        if all(fetch.url.endswith(PACKAGE) for fetch in self.lost(captured)):
            return self._replace(asks="lost")
        from contractor.plan.lock import original_url

        packages = {original_url(url): fetch for url, fetch in self.answers.items() if url.endswith(PACKAGE)}
        return self._replace(answers=packages, asks="indexes")


class Access(NamedTuple):
    """How a step reaches the network: the hosts it may, through which proxy of this machine, and what is replayed.

    look_up: a host's addresses; None: the system's own look-up. secrets: the step's; what has one of them in it is not
    kept, and a URL is written down without them.
    """

    hosts: tuple[str, ...]
    upstream: str = ""
    captured: Captured | None = None
    replay: Replay | None = None
    offline: bool = False
    look_up: Callable[[str], Sequence[str]] | None = None
    secrets: Secrets | None = None


class Door:
    """A context manager. `open` takes the listener of the step's own network; without hosts nobody calls it."""

    def __init__(self, access: Access, on_fetch: Callable[[Fetch], None]) -> None:
        self._access = access
        self._on_fetch = on_fetch
        self._stack = ExitStack()

    def open(self, listener: socket.socket) -> None:
        """Serve the step's requests to the allowed hosts until the block ends."""
        from contractor.network.dial import system_resolver
        from contractor.network.proxy import RecordingProxy  # asyncio: only when a step has network

        access = self._access
        self._stack.enter_context(
            RecordingProxy(
                listener,
                access.hosts,
                self._on_fetch,
                upstream=access.upstream,
                shelf=_StoreShelf(access) if access.captured is not None else None,
                resolver=access.look_up or system_resolver,
            )
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
        self._secrets = access.secrets

    def keep(self) -> Sink | None:
        writer = self._captured.writer()
        if self._secrets is None:
            return writer
        from contractor.build.secrets.scan import Searched

        return Searched(writer, self._secrets.finder)

    def find(self, method: str, url: str) -> Answer | Expected | str | None:
        replay = self._replay
        if replay is None:
            return "the build runs offline, and nothing was kept for this step" if self._offline else None
        from contractor.network.ledger import redact
        from contractor.plan.lock import OLDER, original_url

        url = redact(url)  # as it is written down
        url = self._secrets.hide(url) if self._secrets is not None else url
        if replay.asks == "indexes" and not url.endswith(PACKAGE):
            return None
        fetch = replay.answers.get(url)
        if fetch is None and replay.asks == "rest" and not url.startswith(OLDER):
            return None
        if fetch is None or method not in ("GET", "HEAD"):
            return f"{replay.source} has no answer for it"
        body = self._captured.open(fetch.sha256)
        if body is None and (replay.asks == "nothing" or fetch.status != 200 or method != "GET"):
            return f"{replay.source} names sha256:{fetch.sha256}, which is not in the store"
        if body is None:
            from contractor.network.shelf import Expected

            return Expected(original_url(url), fetch.sha256)
        from contractor.network.shelf import Answer

        return Answer(fetch.status, fetch.headers, fetch.size, body)
