"""HTTP messages on their way through the proxy: what is asked for, which headers travel, and a server's reply.

Both sides are parsed into h11 events and written again, so nothing passes that h11 did not understand, and a message's
length is decided once: what looks like one request here cannot be two at the server (RFC 9112 sections 6 and 11).
"""

from __future__ import annotations

import re

import h11

from contractor.core.values import Value
from contractor.network.allow import join_authority, parse_authority
from contractor.network.dial import Upstream
from contractor.network.wire import CHUNK, Declined, Wire

Headers = list[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1; Expect is answered here, Host and the two framing headers are written anew or kept with care
_HOP_BY_HOP = frozenset(
    b"connection proxy-connection keep-alive te trailer upgrade proxy-authorization proxy-authenticate"
    b" proxy-authentication-info".split()
)
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_MEANING = _FRAMING | {b"host"}
_DIGITS = 18  # of a length: fewer than 63 bits
_QUOTED = re.compile(r":? (?:bytearray\(|b['\"])")
_HEAD = 64 << 10


def explain(error: h11.ProtocolError) -> str:
    """h11's reason without the bytes that it quotes: they may be anything, and a credential too."""
    return _QUOTED.split(str(error), maxsplit=1)[0]


class Target(Value, frozen=True):
    """Where a plain request goes: path is the origin form, `/path?query`."""

    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        return f"http://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        brackets = f"[{self.host}]" if ":" in self.host else self.host
        return brackets if self.port == 80 else join_authority(self.host, self.port)


def parse_target(text: str) -> Target:
    """An absolute `http://` URI as a Target; raises Declined with status 400."""
    scheme, slashes, rest = text.partition("://")
    if not slashes or scheme.lower() != "http":
        raise Declined(400, "this is a proxy: it takes http:// URLs, and CONNECT for everything else", refused=True)
    if "#" in rest:
        raise Declined(400, "the URL has a fragment, which no server is asked for", refused=True)
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if "@" in authority:  # RFC 9110 section 4.2.4
        raise Declined(400, "the URL carries credentials", refused=True, hint="send an Authorization header")
    host, port = parse_host_port(authority)
    return Target(host, port or 80, path if path.startswith("/") else "/" + path)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """A request's authority; raises Declined with status 400."""
    try:
        return parse_authority(text)
    except ValueError as error:
        raise Declined(400, f"the request names no server: {error}", refused=True) from None


def end_to_end(message: h11.Request | h11.Response) -> Headers:
    """The headers that travel on. `Connection` can add names, but never the ones that say how long a message is."""
    named = {
        token.strip().lower() for name, value in message.headers if name == b"connection" for token in value.split(b",")
    } - _FRAMING
    return [(raw, value) for raw, value in message.headers.raw_items() if raw.lower() not in _HOP_BY_HOP | named]


def check_framing(request: h11.Request) -> None:
    """Refuse a request that another reader may read otherwise; raises Declined with status 400, 405 or 505."""
    names = [name for name, _ in request.headers]
    chunked = b"transfer-encoding" in names
    if request.http_version not in (b"1.0", b"1.1"):
        version = request.http_version.decode("ascii")
        raise Declined(505, f"this proxy speaks HTTP/1.1 and 1.0, not {version}", refused=True)
    if request.method == b"TRACE":  # an upstream proxy may send back what we told it alone
        raise Declined(405, "TRACE is not passed on", refused=True)
    if any(b"_" in name and name.replace(b"_", b"-") in _MEANING for name in names):  # CGI takes one for the other
        raise Declined(400, "the request has a header with an underscore that looks like another", refused=True)
    if chunked and b"content-length" in names:
        raise Declined(400, "the request has both Content-Length and Transfer-Encoding", refused=True)
    if chunked and request.http_version < b"1.1":
        raise Declined(400, "an HTTP/1.0 request cannot have Transfer-Encoding", refused=True)
    if request.method == b"CONNECT" and not _FRAMING.isdisjoint(names):
        raise Declined(400, "CONNECT has no body", refused=True)
    for name, value in request.headers:
        if name == b"content-length" and (len(value) > _DIGITS or (value.startswith(b"0") and value != b"0")):
            raise Declined(400, "the request has a Content-Length that is not plainly written", refused=True)


def has_body(request: h11.Request) -> bool:
    """True if the request says that a body follows."""
    return any(name in _FRAMING and value != b"0" for name, value in request.headers)


def check_loop(request: h11.Request, upstream: Upstream | None) -> None:
    """Refuse what we sent to the upstream proxy ourselves, and came back; raises Declined with status 508."""
    if upstream is not None and any(name == b"via" and upstream.via in value for name, value in request.headers):
        raise Declined(508, "the upstream proxy sends requests back here: a loop", hint="see what `http_proxy` names")


def outgoing(request: h11.Request, target: Target, upstream: Upstream | None) -> h11.Request:
    """The request as the server gets it: the URI's host whatever the client's Host header said."""
    dropped = (b"host", b"expect")
    headers = [(b"Host", target.authority.encode())]
    headers += [(raw, value) for raw, value in end_to_end(request) if raw.lower() not in dropped]
    if upstream is not None:
        headers.append((b"Via", upstream.via))
        if upstream.authorization:
            headers.append((b"Proxy-Authorization", upstream.authorization.encode()))
    path = target.path if upstream is None else target.url
    return h11.Request(method=request.method, target=path, headers=headers)


class Reply:
    """One server's answer. The head is h11's; a body of known length, or to the end, is taken from the wire directly.

    (h11 copies a body four times, which costs a third of the throughput; only chunked bodies need its parser.)
    """

    def __init__(self, wire: Wire, conn: h11.Connection, method: bytes) -> None:
        self.wire = wire  # its server's
        self._conn = conn
        self._method = method
        self._left: int | None = None  # None: to the end of the connection, or chunked
        self._chunked = False
        self._ended = False
        self.head = h11.Response(status_code=502, headers=[])

    async def read_head(self) -> None:
        """Wait for the final status; raises Declined with status 502, Lost."""
        try:
            while not isinstance(event := self._conn.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    self._conn.receive_data(await self.wire.receive(_HEAD))
                elif not isinstance(event, h11.InformationalResponse):
                    raise Declined(502, f"{self.wire.peer} closed the connection without an answer")
        except h11.RemoteProtocolError as error:
            raise Declined(502, f"{self.wire.peer} sent no valid answer: {explain(error)}") from None
        self.head = event
        self._frame()

    def _frame(self) -> None:
        """How the body's end is found (RFC 9112 section 6.3)."""
        headers = dict(self.head.headers)
        if self._method == b"HEAD" or self.head.status_code in (204, 304):
            self._left = 0
        elif b"transfer-encoding" in headers:
            self._chunked = True
            return
        elif b"content-length" in headers:
            self._left = int(headers[b"content-length"])
        self._ended = self._left == 0
        self.wire.push_back(self._conn.trailing_data[0])

    async def read(self) -> bytes:
        """The next piece of the body, empty at its end; raises Declined if it ends too early, Lost."""
        if self._ended:
            return b""
        piece = await (self._read_chunked() if self._chunked else self._read_plain())
        self._ended = self._ended or not piece or self._left == 0
        return piece

    async def _read_plain(self) -> bytes:
        if self._left is None:
            return await self.wire.receive()
        if self._left == 0:
            return b""
        data = await self.wire.receive(min(CHUNK, self._left))
        if not data:
            raise Declined(502, f"{self.wire.peer} closed the connection {self._left} bytes before the body's end")
        self._left -= len(data)
        return data

    async def _read_chunked(self) -> bytes:
        pieces: list[bytes] = []
        try:
            while not isinstance(event := self._conn.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Data):
                    pieces.append(event.data)
                elif pieces:
                    return b"".join(pieces)  # many small chunks go on as one
                else:
                    self._conn.receive_data(await self.wire.receive())
        except h11.RemoteProtocolError as error:
            raise Declined(502, f"{self.wire.peer} broke off the body: {explain(error)}") from None
        self._ended = True
        self.wire.push_back(self._conn.trailing_data[0])
        return b"".join(pieces)

    @property
    def rest(self) -> int:
        """Bytes of the body that are still to be received, where that is known and none has come already; else 0."""
        return 0 if self._left is None or self.wire.ahead else self._left

    def skip(self, size: int) -> None:
        """So many bytes of the body have been received by somebody else."""
        assert self._left is not None
        self._left -= size

    def has_ended(self) -> bool:
        """True when no more of the body will come, which is often known with the last piece already."""
        return self._ended or self._left == 0

    @property
    def reusable(self) -> bool:
        """True if the connection can carry another request: both sides agree on where this answer ended."""
        tokens = [value.lower() for name, value in self.head.headers if name == b"connection"]
        framed = self._left == 0 or self._chunked
        return self._ended and framed and self.head.http_version >= b"1.1" and not any(b"close" in t for t in tokens)
