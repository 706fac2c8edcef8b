"""The daemon's HTTP: /rpc, and the file cache at /filecache/ with ranges, on one port.

Whoever connects is a stranger: bodies, heads, idle connections and slow readers have limits. A web page may not call
us (requests with an Origin are refused), and what we serve may not run in a browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import html
import os
import socket
import time
from email.utils import formatdate
from urllib.parse import quote

from aiohttp import web

from contractor.buildd.daemon import rpc
from contractor.buildd.daemon.cache import Cache
from contractor.buildd.daemon.calls import Calls
from contractor.core.errors import Rejected

_BODY_WITHIN = 60.0  # seconds for a request's body
_PIECE_WITHIN = 60.0  # seconds for a reader to take a piece of a file
_IDLE = 75.0  # seconds of a connection without a request
_HEAD_WITHIN = 30.0  # seconds of a new connection without its first request
_MOST_CONNECTIONS = 1000
_PIECE = 256 << 10
_CALLS_WITHIN = 0.5  # seconds for calls that run when the daemon ends; after as many again they are cancelled
_NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_HEADERS = {
    "Content-Type": "text/html",  # whatever it is: clients of this protocol expect it
    "Accept-Ranges": "bytes",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves calls and files until it is closed."""

    def __init__(self, calls: Calls, cache: Cache) -> None:
        self._calls = calls
        self._cache = cache
        self._server = web.Server(self._handle, access_log=None, keepalive_timeout=_IDLE, tcp_keepalive=True)
        self._since: dict[web.RequestHandler, float] = {}  # of connections without a request
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> list[tuple[str, int]]:
        """Begin on every address that the host's name has here; port 0 is one free port for all of them. Raises OSError
        when one is taken, or there is none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for address in dict.fromkeys(str(info[4][0]) for info in found):
            try:
                listening = await loop.create_server(self._connect, address, port, backlog=128, reuse_address=True)
            except OSError as error:
                if error.errno not in _NO_ADDRESS or (address == str(found[-1][4][0]) and not self._listening):
                    raise
                continue  # ::1 is localhost in /etc/hosts also where there is no IPv6
            self._listening.append(listening)
            port = listening.sockets[0].getsockname()[1]
        self._sweeper = loop.create_task(self._sweep())
        return [listening.sockets[0].getsockname()[:2] for listening in self._listening]

    async def close(self) -> None:
        """No new connection; calls that run are cancelled."""
        for listening in self._listening:
            listening.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._server.pre_shutdown()  # idle connections
        await self._server.shutdown(_CALLS_WITHIN)

    def _connect(self) -> web.RequestHandler:
        connection = self._server()
        self._since[connection] = time.monotonic() - _IDLE + _HEAD_WITHIN
        return connection

    async def _sweep(self) -> None:
        """Close what has no request for too long: half-open and silent connections, and heads that never end."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            open_now = set(self._server.connections)
            for connection in [*self._since]:
                if connection not in open_now and now - self._since[connection] > 1:
                    del self._since[connection]
                elif now - self._since[connection] > _IDLE or len(open_now) > _MOST_CONNECTIONS:
                    connection.force_close()
                    if connection.transport is not None:
                        connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._since.pop(request.protocol, None)
        try:
            return await self._answer(request)
        finally:
            self._since[request.protocol] = time.monotonic()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if "Origin" in request.headers:
            return _refuse(403, "a web page may not use a builder")
        if path in ("/rpc", "/rpc/"):
            return await self._rpc(request)
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "only GET", {"Allow": "GET, HEAD"})
        if path in ("/filecache", "/filecache/"):
            return await asyncio.to_thread(self._listing)
        if path.startswith("/filecache/"):
            return await self._file(request, path.removeprefix("/filecache/"))
        return _refuse(404, "there are /rpc and /filecache/")

    async def _rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return _refuse(405, "XML-RPC is a POST", {"Allow": "POST"})
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await asyncio.wait_for(_body(request), _BODY_WITHIN)
        except TimeoutError:
            return _refuse(408, "the body did not come in time")
        if body is None:
            return _refuse(413, f"a request is at most {rpc.LARGEST} bytes")
        return web.Response(body=await self._calls.answer(body), content_type="text/xml")

    def _listing(self) -> web.Response:
        rows = (f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>\n' for name in self._cache.names())
        page = f"<!doctype html>\n<title>filecache</title>\n<ul>\n{''.join(rows)}</ul>\n"
        return web.Response(
            text=page, headers={name: _HEADERS[name] for name in [*_HEADERS][2:]}, content_type="text/html"
        )

    async def _file(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        try:
            fd = await asyncio.to_thread(self._cache.open, name)
        except (OSError, Rejected):
            return _refuse(404, "no such file")
        try:
            return await self._send(request, fd)
        finally:
            os.close(fd)

    async def _send(self, request: web.BaseRequest, fd: int) -> web.StreamResponse:
        """As much as there is when it is asked for, whole or from a place on."""
        found = os.fstat(fd)
        size = found.st_size
        headers = {**_HEADERS, "Last-Modified": formatdate(found.st_mtime, usegmt=True)}
        start, end, status = 0, size, 200
        try:
            wanted = request.http_range
        except ValueError:
            wanted = slice(None, None, 1)  # a range that is none is not looked at: RFC 9110, section 14.2
        if wanted.start is not None or wanted.stop is not None:
            start, end, _step = wanted.indices(size)
            status = 206
            if start >= end:
                return _refuse(416, "there is nothing at that place", {**_HEADERS, "Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = end - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        with contextlib.suppress(TimeoutError):
            while start < end:
                data = await asyncio.to_thread(os.pread, fd, min(_PIECE, end - start), start)
                if not data:
                    break
                await asyncio.wait_for(response.write(data), _PIECE_WITHIN)
                start += len(data)
        if start < end:  # too slow, or the file has been cut: the client must not take it for the whole
            request.protocol.force_close()
            if request.transport is not None:
                request.transport.abort()
        return response


async def _body(request: web.BaseRequest) -> bytes | None:
    """None as soon as it is known to be too large."""
    if (request.content_length or 0) > rpc.LARGEST:
        return None
    parts = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > rpc.LARGEST:
            return None
        parts.append(piece)
    return b"".join(parts)


def _refuse(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    plain = {name: value for name, value in (headers or {}).items() if name != "Content-Type"}
    response = web.Response(status=status, text=f"{text}\n", headers=plain, content_type="text/plain")
    if status in (403, 408, 413):
        response.force_close()
    return response
