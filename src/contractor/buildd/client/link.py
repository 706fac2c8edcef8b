"""One HTTP request to a builder: its time and the size of its answer are limited, and waiting can be given up.

The exchange runs in a thread of its own while the caller waits for it. So a look-up of a name, a server that sends a
byte a second and a silent one all end in time, and Ctrl-C is seen at once: closing the socket ends the thread.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from contractor.buildd.client.place import Place
from contractor.core.errors import Broken

_CHUNK = 256 << 10
_GLANCE = 0.1  # seconds between two looks at the clock and at who wants to stop
_CONNECT = 15.0
_FAREWELL = 2.0  # seconds for the thread of an exchange that was given up


class Sink(Protocol):
    """Takes the body of a 200 or 206. It is called from another thread than the one that asks, which waits."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None: ...

    def take(self, data: bytes) -> None: ...


Tick = Callable[[], None]
"""Called ten times a second while something is waited for; raises what ends the waiting, such as KeyboardInterrupt."""


class Lost(Broken):
    """The connection could not be made, or broke. sent: the builder may have got the request all the same."""

    def __init__(self, place: Place, reason: str, *, sent: bool) -> None:
        super().__init__(
            f"no answer from the builder at {place.url}: {reason}",
            hint="see whether the builder runs there, and whether this machine may reach it",
        )
        self.reason = reason
        self.sent = sent


class Nonsense(Broken):
    """An answer that no builder gives."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(
            f"what answers at {place.url} is no builder: {reason}",
            hint="name the builder as http://HOST:PORT; launchpad-buildd listens on port 8221",
        )


class Request(NamedTuple):
    """path: below the builder's own. limit: bytes of a body that goes to no sink. timeout: seconds for the whole
    exchange, or without a byte where the body goes to a sink."""

    method: str
    path: str
    timeout: float
    limit: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Answer(NamedTuple):
    """headers: names in lower case. body: empty when it went to a sink."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(place: Place, request: Request, tick: Tick, sink: Sink | None = None) -> Answer:
    """Ask, and return the answer.

    Raises Lost, Nonsense for an answer that is larger than the limit, and what tick and sink raise.
    """
    exchange = _Exchange(place, request, sink)
    thread = threading.Thread(target=exchange.run, name="ask builder", daemon=True)
    thread.start()
    try:
        while not exchange.ended.wait(_GLANCE):
            tick()
            exchange.check_time()
    except BaseException:
        exchange.give_up()
        thread.join(_FAREWELL)
        raise
    if exchange.failure is not None:
        raise exchange.failure
    assert exchange.answer is not None
    return exchange.answer


class _Exchange:
    def __init__(self, place: Place, request: Request, sink: Sink | None) -> None:
        self._place = place
        self._request = request
        self._sink = sink
        self._active = time.monotonic()
        self._sent = False
        self._given_up = False
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None  # http.client drops its own once the answer ends the connection
        self.ended = threading.Event()
        self.answer: Answer | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = self._ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failure = Lost(self._place, _words(error), sent=self._sent)
        except _SinkFailed as error:
            self.failure = error.__cause__
        except Exception as error:
            self.failure = error
        finally:
            if self._connection is not None:
                self._connection.close()
            self.ended.set()

    def check_time(self) -> None:
        """Raises Lost when it has lasted too long."""
        if time.monotonic() - self._active > self._request.timeout:
            what = "it sent nothing" if self._sent else "no connection"
            raise Lost(self._place, f"{what} for {self._request.timeout:g} s", sent=self._sent)

    def give_up(self) -> None:
        self._given_up = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> Answer:
        request, connection = self._request, self._place.connection(min(_CONNECT, self._request.timeout))
        self._connection = connection
        connection.connect()
        self._socket = connection.sock
        if self._given_up:
            raise OSError("given up")
        self._socket.settimeout(request.timeout + 1)  # who waits looks at the clock; this ends the thread
        self._sent = True
        headers = {"User-Agent": "contractor", "Accept-Encoding": "identity", "Connection": "close"}
        path = self._place.path + request.path
        given = {**headers, **self._place.authorization(), **request.headers}
        connection.request(request.method, path, request.body or None, given)
        response = connection.getresponse()
        try:
            return self._receive(response)
        finally:
            response.close()

    def _receive(self, response: http.client.HTTPResponse) -> Answer:
        found = {name.lower(): value for name, value in response.getheaders()}
        pieces: list[bytes] = []
        if self._sink is not None and response.status in (200, 206):
            self._in_sink(self._sink.begin, response.status, found)
            self._read(response, self._sink.take, streams=True)
        else:
            self._read(response, pieces.append, streams=False)
        return Answer(response.status, found, b"".join(pieces))

    def _in_sink(self, do: Callable[..., object], *what: object) -> None:
        if self._given_up:
            raise OSError("given up")
        try:
            do(*what)
        except Exception as error:
            raise _SinkFailed from error

    def _read(self, response: http.client.HTTPResponse, take: Callable[[bytes], object], *, streams: bool) -> None:
        """The whole body; raises OSError when it is shorter than it says it is."""
        expected, size = response.length, 0
        while data := response.read1(_CHUNK):
            size += len(data)
            if not streams and size > self._request.limit:
                raise Nonsense(self._place, f"an answer of more than {self._request.limit} bytes")
            if streams:
                self._active = time.monotonic()
            self._in_sink(take, data)
        if expected is not None and size != expected and self._request.method != "HEAD":
            raise OSError(f"the connection ended after {size} of {expected} bytes")


class _SinkFailed(Exception):
    """What the sink raised is no trouble of the network's."""


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it timed out"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended in the middle of its answer"
    if isinstance(error, http.client.HTTPException):
        return "it sent no valid HTTP"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error) or type(error).__name__)[:200]
