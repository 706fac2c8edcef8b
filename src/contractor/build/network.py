"""The door of a networked step: the recording proxy, for as long as the step runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from contractor.store.results import FetchRecord

if TYPE_CHECKING:
    import socket

    from contractor.network.ledger import Fetch


class Door:
    """A context manager. `open` takes the listener of the step's own network; without hosts nobody calls it."""

    def __init__(self, hosts: tuple[str, ...], on_fetch: Callable[[FetchRecord], None], upstream: str = "") -> None:
        self._hosts = hosts
        self._on_fetch = on_fetch
        self._upstream = upstream
        self._stack = ExitStack()

    def open(self, listener: socket.socket) -> None:
        """Serve the step's requests to the allowed hosts until the block ends."""
        from contractor.network.proxy import RecordingProxy  # asyncio: only when a step has network

        self._stack.enter_context(
            RecordingProxy(
                listener, self._hosts, lambda fetch: self._on_fetch(as_record(fetch)), upstream=self._upstream
            )
        )

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def as_record(fetch: Fetch) -> FetchRecord:
    return FetchRecord(
        method=fetch.method,
        url=fetch.url,
        verdict=fetch.verdict,
        status=fetch.status,
        size=fetch.size,
        sha256=fetch.sha256,
        reason=fetch.reason,
        at=fetch.at,
        seconds=fetch.seconds,
    )
