"""The door of a networked step: the recording proxy, for as long as the step runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from contractor.store.results import FetchRecord

if TYPE_CHECKING:
    import socket

    from contractor.build.context import StepContext
    from contractor.network.ledger import Fetch


@contextlib.contextmanager
def door(context: StepContext) -> Iterator[Callable[[socket.socket], None] | None]:
    """What to do with the listener of the step's own network: nothing, for a step that has none."""
    if not context.action.hosts:
        yield None
        return
    with ExitStack() as stack:

        def open_door(listener: socket.socket) -> None:
            from contractor.network.proxy import RecordingProxy

            stack.enter_context(
                RecordingProxy(
                    listener,
                    context.action.hosts,
                    lambda fetch: context.fetched(as_record(fetch)),
                    upstream=context.options.upstream_proxy,
                )
            )

        yield open_door


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
