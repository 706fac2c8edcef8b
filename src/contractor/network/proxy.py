"""The allow-listing, recording proxy: the only way from a step's network namespace to the world.

The supervisor makes the namespace, listens on its loopback and passes the listening socket out; the proxy accepts on it
here, and dials from the host's namespace. So the sandbox needs no forwarder, no name server and no route.

    step --(loopback of its namespace)--> listener | RecordingProxy --(host's network)--> [upstream proxy] --> server
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from contractor.core.errors import Broken
from contractor.core.fetch import Fetch
from contractor.network.allow import AllowList
from contractor.network.bulk import LANES
from contractor.network.dial import Dialer, ProxyLimits, Resolver, parse_upstream, system_resolver
from contractor.network.keeper import Keeper
from contractor.network.shelf import Shelf
from contractor.network.visit import Shared, Visit
from contractor.network.wire import Wire

_STOP_PATIENCE = 2.0  # seconds for __exit__
_CANCEL_PATIENCE = 1.5  # of these, for the transfers to be recorded
_KEEP_PATIENCE = 30.0  # seconds besides, for a slow disk to take what was fetched
_TRANSIENT = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EPROTO)
)


class RecordingProxy:
    """A context manager that serves a listening socket in a thread of its own.

    listener: a listening TCP socket; the proxy closes it. allow: entries `host`, `host:port`, `*.domain`,
    `*.domain:port`; no entry, no access. on_fetch: called from the proxy's thread once a request, when it has ended; a
    transfer that is open when the context ends is recorded as failed. upstream: `http://[user:password@]host:port` of a
    proxy that this machine must use, or "". shelf: keeps the bodies of plain requests, or answers in
    the servers' place. resolver: replaces the system's name lookup.

    Raises Rejected for an allow-list entry or an upstream that is none; on exit, Broken if it does not stop within two
    seconds or if `on_fetch` raised, because then the ledger is not complete.
    """

    def __init__(  # noqa: PLR0913 - what a machine has, and what a step may
        self,
        listener: socket.socket,
        allow: tuple[str, ...] | AllowList,
        on_fetch: Callable[[Fetch], None],
        *,
        upstream: str = "",
        shelf: Shelf | None = None,
        limits: ProxyLimits = ProxyLimits(),  # noqa: B008 - a frozen value
        resolver: Resolver = system_resolver,
    ) -> None:
        self._listener = listener
        self._on_fetch = on_fetch
        self._limits = limits
        hosts = allow if isinstance(allow, AllowList) else AllowList(allow)
        self._dialer = Dialer(hosts, limits, parse_upstream(upstream), resolver)
        self._thread = threading.Thread(target=self._run, name="contractor proxy", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._visits: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._keeper = Keeper(self._fail)
        self._shared = Shared(self._dialer, limits, self._record, shelf, self._keeper, asyncio.Semaphore(LANES))

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join(_STOP_PATIENCE)
            if self._keeper.busy:
                self._thread.join(_KEEP_PATIENCE)
        self._listener.close()
        if error is not None:
            return  # the first error is the one to tell
        if self._thread.is_alive():
            raise Broken(
                f"the network proxy did not stop within {_STOP_PATIENCE:g} s", hint="see what its on_fetch does"
            )
        if self._failure is not None:
            raise Broken(
                "the record of the network is not complete",
                details=(f"{type(self._failure).__name__}: {self._failure}",),
                hint="report this with the details: it is an error in contractor",
            ) from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as failure:
            self._failure = self._failure or failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        accepting = asyncio.create_task(self._accept())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({accepting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(3):  # a transfer whose last byte is out may still have to wake up to say so
            await asyncio.sleep(0)
        left = {accepting, stopping, *self._visits}
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_PATIENCE)
        await self._keeper.settle(_KEEP_PATIENCE)
        if accepting.done() and not accepting.cancelled() and (failure := accepting.exception()):
            self._failure = self._failure or failure

    async def _accept(self) -> None:
        """Take clients while there is room; more of them wait in the listener's queue."""
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(self._limits.connections)

        def leave(task: asyncio.Task[None]) -> None:
            self._visits.discard(task)
            places.release()

        while True:
            await places.acquire()
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno not in _TRANSIENT:
                    raise
                places.release()
                await asyncio.sleep(0.05)
                continue
            task = asyncio.create_task(self._visit(sock))
            self._visits.add(task)
            task.add_done_callback(leave)

    async def _visit(self, sock: socket.socket) -> None:
        client = Wire(sock, "the client", self._limits.idle)
        try:
            await Visit(client, self._shared).run()
        except Exception as failure:  # an error of ours must not end the proxy, and must not go unseen
            self._fail(failure)

    def _record(self, fetch: Fetch) -> None:
        try:
            self._on_fetch(fetch)
        except Exception as failure:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
