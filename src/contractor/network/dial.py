"""Connections to servers: the allow-list, one name lookup a host, the private-address rule, an upstream proxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence

import h11

from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.network.allow import AllowList, Rule, is_address, is_private, join_authority, parse_authority
from contractor.network.wire import Declined, Wire, explain_os

Resolver = Callable[[str], Sequence[str]]
"""A host name to its numeric addresses, best first; may block; raises OSError. Called in a thread of its own."""

_MAX_NAMES = 4096  # a wildcard must not let a step fill the memory with names
_MAX_ADDRESSES = 4  # tried for one connection
_HEAD = 64 << 10


class ProxyLimits(Value, frozen=True):
    """Seconds to wait for a name, a connection and the next byte; connections at once; bytes of a request's head."""

    lookup: float = 20.0
    connect: float = 30.0
    idle: float = 120.0
    connections: int = 256
    head: int = _HEAD


class Upstream(Value, frozen=True):
    """A proxy that this machine must use: authorization is the value of Proxy-Authorization, or empty.

    via: by what we know a request of ours again.
    """

    host: str
    port: int
    authorization: str = ""
    via: bytes = b"1.1 contractor"


def parse_upstream(url: str) -> Upstream | None:
    """`http://[user:password@]host:port` as an Upstream, "" as None; raises Rejected."""
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    user, at, authority = rest.rstrip("/").rpartition("@")
    try:
        if scheme.lower() != "http":
            raise ValueError("only http:// proxies are supported")
        host, port = parse_authority(authority)
    except ValueError as error:
        raise Rejected(
            f"the upstream proxy cannot be used: {error}", hint="write it as http://proxy.example.org:3128"
        ) from None
    secret = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
    return Upstream(
        host, port or 80, f"Basic {secret}" if at else "", b"1.1 contractor-%s" % os.urandom(6).hex().encode()
    )


def system_resolver(host: str) -> list[str]:
    """The addresses that the system's resolver gives, in its order."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Dialer:
    """Makes every connection of one proxy. A name is looked up once and keeps its addresses as long as the proxy lives.

    That saves a lookup a request, and a name that is changed while the step runs (DNS rebinding) has no effect.
    With an upstream proxy the names are not looked up here at all, so whether a wildcard's name may be a private
    address is for that proxy to decide.
    """

    def __init__(self, allow: AllowList, limits: ProxyLimits, upstream: Upstream | None, resolver: Resolver) -> None:
        self.upstream = upstream
        self._allow = allow
        self._limits = limits
        self._resolver = resolver
        self._names: dict[str, asyncio.Future[tuple[str, ...] | OSError]] = {}

    def check(self, host: str, port: int) -> Rule:
        """The rule that allows the host and port; raises Declined with status 403."""
        rule = self._allow.find(host, port)
        if rule is None:
            raise Declined(
                403,
                self._allow.refusal(host, port),
                refused=True,
                hint=f"add {join_authority(host, port) if port not in (80, 443) else host} to the step's `network`",
            )
        return rule

    async def dial(self, host: str, port: int) -> Wire:
        """A connection that speaks HTTP for an allowed host: to the host, or to the upstream proxy."""
        rule = self.check(host, port)
        if self.upstream is not None:
            return await self._connect(self.upstream.host, self.upstream.port, await self._look_up(self.upstream.host))
        addresses = await self._look_up(host)
        if rule.wildcard and (private := next(filter(is_private, addresses), None)):
            raise Declined(
                403,
                f"{host} is allowed by a wildcard only, and {private} is not a public address",
                refused=True,
                hint=f"list {host} by its full name if the step may reach it",
            )
        return await self._connect(host, port, addresses)

    async def tunnel(self, host: str, port: int) -> Wire:
        """A connection whose bytes go to an allowed host and port and nowhere else."""
        wire = await self.dial(host, port)
        if self.upstream is not None:
            try:
                await self._ask_upstream(wire, join_authority(host, port))
            except BaseException:
                wire.reset()
                raise
        return wire

    async def _ask_upstream(self, wire: Wire, authority: str) -> None:
        """CONNECT through the upstream proxy; raises Declined, Lost."""
        assert self.upstream is not None
        conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        headers = [("Host", authority), ("Via", self.upstream.via.decode())]
        if self.upstream.authorization:
            headers.append(("Proxy-Authorization", self.upstream.authorization))
        data = conn.send(h11.Request(method="CONNECT", target=authority, headers=headers))
        await wire.send((data or b"") + (conn.send(h11.EndOfMessage()) or b""))
        try:
            while not isinstance(event := conn.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    conn.receive_data(await wire.receive(_HEAD))
                elif not isinstance(event, h11.InformationalResponse):
                    raise Declined(502, f"the upstream proxy closed the connection to {authority} without an answer")
        except h11.RemoteProtocolError:
            raise Declined(502, "the upstream proxy sent no valid answer") from None
        if not 200 <= event.status_code < 300:
            raise Declined(502, f"the upstream proxy answered {event.status_code} for {authority}")
        wire.push_back(conn.trailing_data[0])

    async def _look_up(self, host: str) -> tuple[str, ...]:
        """The addresses of a name; raises Declined. A lookup that failed is not kept: the next request tries again."""
        if is_address(host):
            return (host,)
        if host not in self._names:
            if len(self._names) >= _MAX_NAMES:
                raise Declined(403, f"the step asked for more than {_MAX_NAMES} different hosts", refused=True)
            self._names[host] = self._start_lookup(host)
        try:
            async with asyncio.timeout(self._limits.lookup):
                found = await asyncio.shield(self._names[host])
        except TimeoutError:
            raise Declined(504, f"waited {self._limits.lookup:g} s for the address of {host}") from None
        if isinstance(found, OSError) or not found:
            self._names.pop(host, None)
            reason = explain_os(found) if isinstance(found, OSError) else "no address"
            raise Declined(502, f"no address found for {host}: {reason}")
        return found

    def _start_lookup(self, host: str) -> asyncio.Future[tuple[str, ...] | OSError]:
        """Resolve in a daemon thread: unlike the loop's own executor it cannot hold up the end of the proxy."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[str, ...] | OSError] = loop.create_future()

        def deliver(found: tuple[str, ...] | OSError) -> None:
            if not future.done():
                future.set_result(found)

        def work() -> None:
            found: tuple[str, ...] | OSError
            try:
                found = tuple(dict.fromkeys(self._resolver(host)))
            except (OSError, UnicodeError) as error:
                found = error if isinstance(error, OSError) else OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(deliver, found)

        threading.Thread(target=work, name=f"lookup {host}", daemon=True).start()
        return future

    async def _connect(self, host: str, port: int, addresses: tuple[str, ...]) -> Wire:
        """A connection to the first address that answers; one that is not the last gets a quarter of the time."""
        peer = join_authority(host, port)
        deadline = time.monotonic() + self._limits.connect
        failure = ""
        candidates = addresses[:_MAX_ADDRESSES]
        for address in candidates:
            left = deadline - time.monotonic()
            patience = left if address == candidates[-1] else min(left, self._limits.connect / 4)
            try:
                return Wire(await _open(address, port, patience), peer, self._limits.idle)
            except TimeoutError:
                failure = f"{address} did not answer"
            except OSError as error:
                failure = f"{address}: {explain_os(error)}"
        if deadline - time.monotonic() < 0.01:
            raise Declined(504, f"waited {self._limits.connect:g} s for a connection to {peer}")
        raise Declined(502, f"connecting to {peer} failed: {failure}")


async def _open(address: str, port: int, patience: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock
