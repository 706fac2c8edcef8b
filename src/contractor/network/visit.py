"""One client connection of the proxy, from its first request to its end.

Every request ends in exactly one of: its answer passed on; an answer of the proxy's own (_REASONS); or, when half an
answer is out already, a reset, so that no client can take half a file for a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

import h11

from contractor.core.fetch import FROM_STORE, Fetch
from contractor.network.bulk import LONG, Bulk
from contractor.network.dial import Dialer, ProxyLimits
from contractor.network.keeper import Keeper
from contractor.network.message import (
    Reply,
    Target,
    check_framing,
    check_loop,
    end_to_end,
    explain,
    has_body,
    outgoing,
    parse_host_port,
    parse_target,
)
from contractor.network.shelf import KEPT_HEADERS, Answer, Expected, Shelf
from contractor.network.transfer import Transfer
from contractor.network.tunnel import join
from contractor.network.wire import Declined, Lost, Wire

_HEAD_CHUNK = 64 << 10
_REPLAYED = 256 << 10  # bytes of a piece
_LAST = 64 << 10  # bytes at a long body's end
_KEPT = (200, 301, 302, 303, 307, 308, 404)  # statuses that are answers, and will be again
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    508: "Loop Detected",
}


class _Sent:
    """What h11 has to know of bytes that it has not seen."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


class Shared(NamedTuple):
    """What the visits of one proxy have in common. keeper, lanes: without them nothing is kept, or passes in bulk."""

    dialer: Dialer
    limits: ProxyLimits
    record: Callable[[Fetch], None]
    shelf: Shelf | None = None
    keeper: Keeper | None = None
    lanes: asyncio.Semaphore | None = None


class Visit:
    """Serves the requests of one client, one after the other; keeps one server connection for the next request."""

    def __init__(self, client: Wire, shared: Shared) -> None:
        self._client = client
        self._dialer, self._limits, self._record, self._shelf, self._keeper, self._lanes = shared
        self._conn = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        self._transfer: Transfer | None = None
        self._answered = False  # a byte of an answer is out: too late for one of our own
        self._kept: tuple[str, int, Wire] | None = None

    async def run(self) -> None:
        """Until the client leaves, something breaks, or the task is cancelled because the step ended."""
        try:
            while await self._serve_one():
                self._conn.start_next_cycle()
                self._answered = False
        except asyncio.CancelledError:
            if self._transfer is not None:
                self._transfer.finish("failed", "the step ended")
            self._client.reset()
            raise
        except Exception:  # such as a full disk: it must not look like an end of what was sent
            self._client.reset()
            raise
        finally:
            self._drop_kept()
            self._client.close()

    async def _serve_one(self) -> bool:
        """One request; True if the connection can take another."""
        self._transfer = None
        try:
            request = await self._read_head()
            if request is None:
                return False
            method, url = request.method.decode("ascii", "replace"), request.target.decode("ascii", "replace")
            self._transfer = Transfer(method, url, self._record, self._keeper)
            check_framing(request)
            check_loop(request, self._dialer.upstream)
            if request.method == b"CONNECT":
                if self._shelf is not None and isinstance(why := self._shelf.find(method, url), str):
                    raise Declined(403, why, refused=True)
                await self._tunnel(url, self._transfer)
                return False
            target = parse_target(url)
            found = self._shelf.find(method, target.url) if self._shelf is not None else None
            if isinstance(found, Expected):
                return await self._get_expected(found, request, self._transfer)
            if found is not None:
                return await self._answer(found, self._transfer)
            reply = await self._ask(target, request, self._transfer)
            return await self._pass_on(reply, self._transfer)
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint if error.error_status_hint in _REASONS else 400
            await self._decline(Declined(status, f"the request is not valid HTTP: {explain(error)}", refused=True))
        except Declined as declined:
            await self._decline(declined)
        except Lost as lost:
            await self._lose(lost)
        return False

    async def _read_head(self) -> h11.Request | None:
        """The next request, None if the client has left or never asked; raises Declined, Lost, RemoteProtocolError."""
        try:
            async with asyncio.timeout(self._limits.idle):  # for the whole head: a byte a minute is no progress
                while not isinstance(event := self._conn.next_event(), h11.Request):
                    if event is not h11.NEED_DATA:
                        return None
                    self._conn.receive_data(await self._client.receive(_HEAD_CHUNK))
        except (TimeoutError, Lost) as gone:
            # to leave between two requests is no event; to stop inside a head is
            silent = isinstance(gone, TimeoutError) or gone.timeout
            if silent and self._conn.trailing_data[0]:
                raise Declined(408, f"the request was not complete after {self._limits.idle:g} s") from None
            return None
        size = sum(len(name) + len(value) + 4 for name, value in event.headers) + len(event.target)
        if size > self._limits.head:
            raise Declined(431, f"the request's head is {size} bytes, more than {self._limits.head}", refused=True)
        return event

    async def _ask(self, target: Target, request: h11.Request, transfer: Transfer) -> Reply:
        """Send the request to its server and wait for the head of the answer."""
        kept = self._take_kept(target, request)
        if kept is not None:
            try:
                return await self._send(kept, target, request, transfer)
            except (Lost, Declined) as error:
                kept.reset()
                if isinstance(error, Lost) and error.timeout:
                    raise
                # a server may close an idle connection at any moment: that is no failure, and GET can be repeated
        server = await self._dialer.dial(target.host, target.port)
        return await self._send(server, target, request, transfer)

    async def _send(self, server: Wire, target: Target, request: h11.Request, transfer: Transfer) -> Reply:
        self._kept = (target.host, target.port, server)  # so that it is closed whatever happens from here on
        conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_CHUNK)
        try:
            head = conn.send(outgoing(request, target, self._dialer.upstream)) or b""
        except h11.LocalProtocolError as error:
            raise Declined(400, f"the request is not valid HTTP: {explain(error)}", refused=True) from None
        if not has_body(request):
            head += conn.send(h11.EndOfMessage()) or b""
        await server.send(head)
        if conn.our_state is h11.SEND_BODY:
            await self._send_body(server, conn, transfer)
        reply = Reply(server, conn, request.method)
        await reply.read_head()
        return reply

    async def _send_body(self, server: Wire, conn: h11.Connection, transfer: Transfer) -> None:
        """The client's body to the server, framed anew; trailers are left out."""
        if self._conn.they_are_waiting_for_100_continue:
            go = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self._client.send(self._conn.send(go) or b"")
        while not isinstance(event := self._conn.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                transfer.sent += len(event.data)
                await server.send(conn.send(event) or b"")
            else:
                self._conn.receive_data(await self._client.receive())
        await server.send(conn.send(h11.EndOfMessage()) or b"")

    async def _get_expected(self, expected: Expected, request: h11.Request, transfer: Transfer) -> bool:
        """Ask the server for the whole of what is known by its digest; True as for `_pass_on`."""
        target = parse_target(expected.url)
        plain = h11.Request(method="GET", target=request.target, headers=[("Host", target.authority)])
        transfer.expected = expected.sha256
        return await self._pass_on(await self._ask(target, plain, transfer), transfer)

    async def _pass_on(self, reply: Reply, transfer: Transfer) -> bool:
        """The server's answer to the client; True if the client's connection can take another request."""
        head = reply.head
        headers = end_to_end(head)
        out = self._conn.send(h11.Response(status_code=head.status_code, headers=headers, reason=head.reason)) or b""
        transfer.begin_body(head.status_code)
        if self._shelf is not None and transfer.method == "GET" and head.status_code in _KEPT:
            if self._keeper is not None:
                await self._keeper.room()
            transfer.sink = self._shelf.keep()
            transfer.headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in head.headers
                if name.decode("latin-1") in KEPT_HEADERS
            )
        while not reply.has_ended() and (piece := await reply.read()):
            transfer.add(piece)
            if reply.has_ended():
                transfer.check()  # before the last piece: no client has all of what it should not have
            data = self._conn.send(h11.Data(data=piece)) or b""
            if reply.has_ended():
                data += self._conn.send(h11.EndOfMessage()) or b""
            self._answered = True
            await self._client.send(out + data if out else data)
            out = b""
            if reply.rest > LONG and self._lanes is not None and not self._lanes.locked():
                async with self._lanes:
                    await self._carry(reply, transfer, reply.rest - _LAST)
        transfer.check()
        if self._conn.our_state is h11.SEND_BODY:
            out += self._conn.send(h11.EndOfMessage()) or b""
        self._answered = True
        if out:
            await self._client.send(out)
        transfer.finish("allowed", "as it was locked" if transfer.expected and transfer.status == 200 else "")
        if not reply.reusable:
            self._drop_kept()
        return self._is_next_possible()

    async def _carry(self, reply: Reply, transfer: Transfer, size: int) -> None:
        """So much of the body outside of the loop; not its end, which is only sent when the whole is right."""
        bulk = Bulk(reply.wire, self._client, (transfer.count, transfer.keep))
        await bulk.carry(size)
        reply.skip(bulk.received)
        self._conn.send_with_data_passthrough(h11.Data(data=_Sent(bulk.received)))  # type: ignore[arg-type]

    async def _answer(self, found: Answer | str, transfer: Transfer) -> bool:
        """In a server's place; True if the client's connection can take another request."""
        if isinstance(found, str):
            raise Declined(404, found, refused=True)
        with found.body:
            headers = [(name, value) for name, value in found.headers]
            headers.append(("Content-Length", str(found.size)))
            out = self._conn.send(h11.Response(status_code=found.status, headers=headers)) or b""
            transfer.begin_body(found.status)
            transfer.stored, transfer.headers = transfer.method == "GET", found.headers
            self._answered = True
            while transfer.method != "HEAD" and (piece := found.body.read(_REPLAYED)):
                transfer.add(piece)
                await self._client.send(out + (self._conn.send(h11.Data(data=piece)) or b""))
                out = b""
        await self._client.send(out + (self._conn.send(h11.EndOfMessage()) or b""))
        transfer.finish("allowed", FROM_STORE)
        return self._is_next_possible()

    def _is_next_possible(self) -> bool:
        if self._conn.their_state is h11.SEND_BODY:  # an empty body has an end that nobody has asked for yet
            with contextlib.suppress(h11.RemoteProtocolError):
                self._conn.next_event()
        return self._conn.our_state is h11.DONE and self._conn.their_state is h11.DONE

    async def _tunnel(self, authority: str, transfer: Transfer) -> None:
        host, port = parse_host_port(authority)
        if port is None:
            raise Declined(400, f"CONNECT {host} names no port", refused=True)
        server = await self._dialer.tunnel(host, port)
        self._kept = (host, port, server)
        transfer.status = 200
        self._answered = True
        await self._client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._client.push_back(self._conn.trailing_data[0])
        try:
            await join(self._client, server, transfer, self._limits.idle)
        except Lost:
            server.reset()
            raise
        transfer.finish("allowed")

    async def _decline(self, declined: Declined) -> None:
        """Record, and answer if it is not too late: else reset."""
        transfer = self._transfer or Transfer("", "", self._record)
        status = transfer.status if self._answered else declined.status
        transfer.finish("refused" if declined.refused else "failed", declined.message, status=status)
        if self._answered:
            return self._client.reset()
        text = f"contractor: {declined.message}\n" + (f"hint: {declined.hint}\n" if declined.hint else "")
        body = text.encode("utf-8", "replace")
        head = (
            f"HTTP/1.1 {declined.status} {_REASONS[declined.status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        with contextlib.suppress(Lost):
            await self._client.send(head if transfer.method == "HEAD" else head + body)
            await self._client.linger()
        return None

    async def _lose(self, lost: Lost) -> None:
        """A connection broke: answer 502 or 504 if the client is still there to hear it."""
        if lost.wire is not self._client:
            return await self._decline(Declined(504 if lost.timeout else 502, lost.message, hint=lost.hint))
        if self._transfer is not None:
            self._transfer.finish("failed", lost.message)
        return self._client.reset()

    def _take_kept(self, target: Target, request: h11.Request) -> Wire | None:
        """The kept connection if it leads to the target, still lives, and the request may be sent twice."""
        if self._kept is None:
            return None
        host, port, wire = self._kept
        repeatable = request.method in (b"GET", b"HEAD") and not has_body(request)
        if repeatable and (host, port) == (target.host, target.port) and wire.is_quiet():
            return wire
        self._drop_kept()
        return None

    def _drop_kept(self) -> None:
        if self._kept is not None:
            self._kept[2].close()
            self._kept = None
