"""One connected socket of the proxy: receive, send, and the two ways to end.

Not asyncio streams: a stream copies every byte three times on its way, and hides whether an end was clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
import time

from contractor.core.errors import Broken, ContractorError

CHUNK = 256 << 10  # bytes received at once: larger ones fall out of the CPU's cache before they are hashed
_PIECE = 64 << 10  # bytes that a slow receiver may take one idle time for
_RECEIVE_COST = 16 << 10  # a short read costs as much time as this many bytes
_GLANCE = 0.05  # seconds between two looks of a waiting thread at whether it is to stop
_LINGER = 1.0  # seconds to wait for a client that still sends while it is being refused
_LINGER_BYTES = 4 << 20


def explain_os(error: OSError) -> str:
    """The system's words for an errno, because asyncio replaces them; a resolver's negative numbers have their own."""
    code = error.errno or 0
    return os.strerror(code) if code > 0 else error.strerror or str(error)


class Lost(Broken):
    """A connection that cannot be used any more; `timeout` says that it was silent, not gone."""

    def __init__(self, wire: Wire, message: str, *, timeout: bool = False) -> None:
        super().__init__(message, hint=f"see whether {wire.peer} is up and reachable from this machine")
        self.wire = wire
        self.timeout = timeout


class Declined(ContractorError):
    """A request that the proxy answers itself, with an HTTP status; `refused` by rule, else failed."""

    def __init__(self, status: int, message: str, *, refused: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.refused = refused


class Wire:
    """A non-blocking stream socket in the running loop. `idle` seconds without progress raise Lost."""

    def __init__(self, sock: socket.socket, peer: str, idle: float) -> None:
        self._sock = sock
        self._idle = idle
        self._ahead = b""
        self._interrupted = False
        self._greed = 0  # received without having waited
        self._loop = asyncio.get_running_loop()
        self.peer = peer  # for messages: `host:port`, or "the client"
        self.active = time.monotonic()  # when bytes last moved
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def receive(self, limit: int = CHUNK) -> bytes:
        """Up to `limit` bytes, b"" at the end; raises Lost."""
        if self._ahead:
            data, self._ahead = self._ahead[:limit], self._ahead[limit:]
            return data
        try:
            data = self._sock.recv(limit)
        except BlockingIOError:
            data = await self._wait(limit)
        except OSError as error:
            raise self._lost("receiving from", error) from None
        else:
            self._greed += len(data) + _RECEIVE_COST
            if self._greed > CHUNK:  # bytes that are always there must not starve the other connections
                self._greed = 0
                await asyncio.sleep(0)
        self.active = time.monotonic()
        return data

    async def _wait(self, limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                return await self._loop.sock_recv(self._sock, limit)
        except TimeoutError:
            raise Lost(self, f"{self.peer} sent nothing for {self._idle:g} s", timeout=True) from None
        except OSError as error:
            raise self._lost("receiving from", error) from None

    async def send(self, data: bytes | bytearray) -> None:
        """All of the bytes; raises Lost."""
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._lost("sending to", error) from None
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])
        self.active = time.monotonic()

    async def _send_rest(self, data: memoryview) -> None:
        try:
            for start in range(0, len(data), _PIECE):
                async with asyncio.timeout(self._idle):
                    await self._loop.sock_sendall(self._sock, data[start : start + _PIECE])
        except TimeoutError:
            raise Lost(self, f"{self.peer} took nothing for {self._idle:g} s", timeout=True) from None
        except OSError as error:
            raise self._lost("sending to", error) from None

    def _lost(self, doing: str, error: OSError) -> Lost:
        return Lost(self, f"{doing} {self.peer} failed: {explain_os(error)}")

    # --- for a thread that has the socket to itself for a while: see bulk.py ---

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes, and how many came; 0 at the end. Raises Lost."""
        while not self._interrupted:
            try:
                got = self._sock.recv_into(buffer)
            except BlockingIOError:
                self._wait_for(select.POLLIN, "sent")
            except OSError as error:
                raise self._lost("receiving from", error) from None
            else:
                self.active = time.monotonic()
                return got
        raise Lost(self, "interrupted")

    def send_all(self, data: memoryview) -> None:
        """Wait until all of it is sent; raises Lost."""
        while data and not self._interrupted:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                self._wait_for(select.POLLOUT, "took")
            except OSError as error:
                raise self._lost("sending to", error) from None
        self.active = time.monotonic()

    def _wait_for(self, what: int, word: str) -> None:
        poll = select.poll()
        poll.register(self._sock, what)
        until = time.monotonic() + self._idle
        while not (self._interrupted or poll.poll(_GLANCE * 1000)):
            if time.monotonic() > until:
                raise Lost(self, f"{self.peer} {word} nothing for {self._idle:g} s", timeout=True)

    def interrupt(self) -> None:
        """Make the thread that waits for this socket stop. (To shut it down would look like a clean end.)"""
        self._interrupted = True

    @property
    def ahead(self) -> int:
        """Bytes that were received, and nobody has read yet."""
        return len(self._ahead)

    def push_back(self, data: bytes) -> None:
        """Bytes that were received but belong to whoever reads next."""
        self._ahead = data + self._ahead

    def is_quiet(self) -> bool:
        """True if the other side is still there and has sent nothing: the connection can carry another request."""
        try:
            return not self._ahead and self._sock.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True
        except OSError:
            return False

    def finish_sending(self) -> None:
        """Tell the other side that nothing more comes."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    async def linger(self) -> None:
        """End after an answer that the other side may not have read yet.

        Closing with unread bytes sends a reset, and that would take the answer out of the client's hands.
        """
        self.finish_sending()
        left = _LINGER_BYTES
        with contextlib.suppress(TimeoutError, Lost):
            async with asyncio.timeout(_LINGER):
                while left > 0 and (data := await self.receive()):
                    left -= len(data)
        self.close()

    def reset(self) -> None:
        """End so that the other side cannot take it for a clean end."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End cleanly; safe to call again."""
        self._sock.close()
