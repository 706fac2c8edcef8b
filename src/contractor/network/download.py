"""The contractor's own downloads: one URL whose sha256 is known before the first byte arrives.

http.client and ssl are imported when a download starts, because every command would otherwise pay for them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from contractor.core.errors import Broken, OutOfLimits, Rejected
from contractor.core.fetch import Fetch
from contractor.network.ledger import redact
from contractor.network.location import Location, next_location, parse_location

if TYPE_CHECKING:
    import http.client

PAUSES = (0.5, 2.0)  # seconds before the second and the third attempt

_CHUNK = 256 << 10
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_RETRIED = frozenset((408, 425, 429))  # and every 5xx
_PAGE_STARTS = (b"<!doctype", b"<html")


class _Trouble(Broken):
    """An attempt that failed in a way that another one may not."""


class _Body:
    """What has arrived in one attempt: it is counted, hashed and passed to the sink."""

    def __init__(self, sink: Callable[[bytes], object], limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self.size = 0
        self.start = b""

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def add(self, data: bytes) -> None:
        """A piece; raises OutOfLimits before the sink gets more than the limit."""
        self.check(self.size + len(data))
        self.start += data[: 64 - len(self.start)]
        self.size += len(data)
        self._sha256.update(data)
        self._sink(data)

    def check(self, size: int) -> None:
        if size > self._limit:
            raise OutOfLimits(
                f"the download is larger than the limit of {self._limit} bytes", hint="raise the limit if that is meant"
            )


def download(  # noqa: PLR0913 - six say what is wanted, the seventh lets the sink begin again
    url: str,
    sink: Callable[[bytes], object],
    *,
    sha256: str,
    limit: int = 8 << 30,
    timeout: float = 60.0,
    upstream: str = "",
    on_restart: Callable[[], object] | None = None,
) -> Fetch:
    """Fetch a URL into `sink`, piece by piece, and return only if the bytes have the sha256.

    Until this returns the sink has nothing that may be used. sha256: 64 lower-case hexadecimal digits. limit: bytes.
    timeout: seconds to connect, and without a byte. upstream: `http://[user:password@]host:port` of a proxy, or "".
    on_restart: called before a further attempt, so that the sink can drop what it got; without it only attempts that
    delivered nothing are repeated. There are three, for connection failures and 5xx.

    Raises Rejected for another digest, a URL that is not http or https, a 4xx answer or a redirect to plain http;
    OutOfLimits over the limit; Broken for everything else that goes wrong on the network. What the sink raises passes.
    """
    location = parse_location(url)
    at, started = time.time(), time.monotonic()
    for attempt in range(len(PAUSES) + 1):
        body = _Body(sink, limit)
        try:
            final = _attempt(location, body, timeout, upstream)
        except _Trouble as trouble:
            if attempt == len(PAUSES) or (body.size and on_restart is None):
                raise _broken(url, trouble.message, attempt + 1) from trouble.__cause__
            time.sleep(PAUSES[attempt])
            if on_restart is not None:
                on_restart()
            continue
        break
    _check_digest(url, body, sha256)
    reason = "" if final == location else f"redirected to {redact(final.url)}"
    seconds = time.monotonic() - started
    return Fetch(
        method="GET",
        url=redact(url),
        verdict="allowed",
        status=200,
        size=body.size,
        sha256=body.sha256,
        reason=reason,
        at=at,
        seconds=seconds,
    )


def _broken(url: str, reason: str, attempts: int) -> Broken:
    return Broken(
        f"downloading {redact(url)} failed: {reason}",
        details=(f"{attempts} attempts",) if attempts > 1 else (),
        hint="see whether the server is reachable from this machine, or name a mirror",
    )


def _check_digest(url: str, body: _Body, expected: str) -> None:
    if body.sha256 == expected:
        return
    details = [f"expected sha256 {expected}", f"received sha256 {body.sha256}", f"received {body.size} bytes"]
    hint = "compare with what upstream publishes, and change the sha256 only if the new file is the one you want"
    if body.start.lstrip().lower().startswith(_PAGE_STARTS):
        details.append("the server sent a web page")
        hint = "open the URL in a browser: it may be an error page, a login or a link to the real file"
    raise Rejected(f"{redact(url)} has another sha256 than the specification says", details=tuple(details), hint=hint)


def _attempt(location: Location, body: _Body, timeout: float, upstream: str) -> Location:
    """Follow redirects to a 200 and read its body; the location that it came from. Raises _Trouble, ContractorError."""
    import http.client

    for _ in range(_MAX_REDIRECTS + 1):
        connection = _connection(location, timeout, upstream)
        try:
            try:
                response = _ask(connection, location, upstream)
            except (http.client.HTTPException, OSError) as error:
                raise _explain(location, error, timeout) from error
            if response.status not in _REDIRECTS:
                _check_status(location, response)
                _read(response, body)
                return location
            location = next_location(location, response.getheader("Location") or "")
        finally:
            connection.close()
    raise Broken(
        f"{redact(location.url)} was reached by more than {_MAX_REDIRECTS} redirects", hint="name the final URL"
    )


def _connection(location: Location, timeout: float, upstream: str) -> http.client.HTTPConnection:
    """An unopened connection to the location's host, through the upstream proxy if there is one."""
    import http.client

    via = parse_location(upstream) if upstream else None
    first = via or location
    if location.scheme == "http":
        return http.client.HTTPConnection(first.host, first.port, timeout=timeout)
    import ssl

    connection = http.client.HTTPSConnection(
        first.host, first.port, timeout=timeout, context=ssl.create_default_context()
    )
    if via is not None:
        connection.set_tunnel(location.host, location.port, via.authorization("Proxy-Authorization"))
    return connection


def _ask(connection: http.client.HTTPConnection, location: Location, upstream: str) -> http.client.HTTPResponse:
    headers = {"Host": location.authority, "User-Agent": "contractor", "Accept": "*/*", "Accept-Encoding": "identity"}
    headers |= location.authorization("Authorization")
    target = location.path
    if upstream and location.scheme == "http":
        headers |= parse_location(upstream).authorization("Proxy-Authorization")
        target = f"http://{location.authority}{location.path}"
    connection.request("GET", target, headers=headers)
    return connection.getresponse()


def _check_status(location: Location, response: http.client.HTTPResponse) -> None:
    status, reason = response.status, f"the server answered {response.status} {response.reason}".rstrip()
    if status == 200:
        return
    if status >= 500 or status in _RETRIED:
        raise _Trouble(reason)
    if 400 <= status < 500:
        raise Rejected(
            f"downloading {redact(location.url)} failed: {reason}", hint="the URL is wrong, or the file has been moved"
        )
    raise _broken(location.url, reason, 1)


def _read(response: http.client.HTTPResponse, body: _Body) -> None:
    """The whole body, as long as it says it is; raises _Trouble if it is shorter, OutOfLimits."""
    expected = response.length  # None: chunked, or to the end of the connection
    if expected is not None:
        body.check(expected)
    while data := _receive(response):
        body.add(data)
    if expected is not None and body.size != expected:
        raise _Trouble(f"the connection ended after {body.size} of {expected} bytes")


def _receive(response: http.client.HTTPResponse) -> bytes:
    """The next piece. Separate from the sink, whose OSError (a full disk) is no network trouble."""
    import http.client

    try:
        return response.read(_CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _Trouble(f"the connection broke: {_words(error)}") from error


def _explain(location: Location, error: Exception, timeout: float) -> Broken:
    """A failure to connect or to get an answer: _Trouble, or Broken if another attempt cannot help."""
    import ssl

    peer = location.authority
    if isinstance(error, ssl.SSLCertVerificationError):
        return Broken(
            f"downloading {redact(location.url)} failed: the certificate of {peer} is not trusted",
            details=(error.verify_message,),
            hint="install the authority's certificate in the system's trust store, or use another mirror",
        )
    if isinstance(error, TimeoutError):
        return _Trouble(f"{peer} did not answer within {timeout:g} s")
    return _Trouble(f"no answer from {peer}: {_words(error)}")


def _words(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return "it timed out" if isinstance(error, TimeoutError) else text
