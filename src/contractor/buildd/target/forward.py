"""The builder proxy of one build: what networked commands talk to, and what they never learn.

    command --(http_proxy, no credentials)--> door in its own network | RecordingProxy --(credentials)--> builder proxy

Which hosts may be reached is for the builder proxy to say. Each request is a line of the build's log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from contractor.buildd.daemon.revoke import revoke
from contractor.core.fetch import Fetch
from contractor.network.allow import AllowList, Rule
from contractor.network.dial import parse_upstream
from contractor.plan.environment import PROXY_URL

if TYPE_CHECKING:
    import socket

    from contractor.buildd.arguments import Proxied

ENVIRONMENT = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), PROXY_URL),
    "SNAPPY_STORE_NO_CDN": "1",  # the store's content network is not reached through the proxy
}
"""What a command of the build finds; GIT_PROXY_COMMAND is vcs.py's, for it names a program of the target."""


class BuilderProxy:
    """Made of a build's arguments, once; its doors may be opened again and again, until `revoke`.

    say: takes a line for the build's log, from any thread. Raises Rejected for a proxy_url that is no http:// one.
    """

    def __init__(self, arguments: Proxied, say: Callable[[str], object]) -> None:
        parse_upstream(arguments.proxy_url)
        self._url = arguments.proxy_url
        self._endpoint = arguments.revocation_endpoint
        self._fetch_service = arguments.use_fetch_service
        self._say = say
        self._revoked = False

    def door(self) -> Door:
        """For one command."""
        return Door(self._url, self._record)

    def revoke(self) -> None:
        """End the token, the first time that it is asked for; a failure is a line of the log."""
        if self._revoked or not self._endpoint:
            return
        self._revoked = True
        reason = revoke(self._url, self._endpoint, fetch_service=self._fetch_service)
        self._say(f"The proxy's token could not be revoked: {reason}" if reason else "The proxy's token is revoked.")

    def _record(self, fetch: Fetch) -> None:
        self._say(f"[proxy] {line_of(fetch)}")


def line_of(fetch: Fetch) -> str:
    """A request as a line: method, URL without credentials, status, bytes, seconds, and what went wrong."""
    size = fetch.size if fetch.method != "CONNECT" else fetch.size + fetch.sent
    wrong = "" if fetch.verdict == "allowed" else f": {fetch.verdict}: {fetch.reason}"
    return f"{fetch.method} {fetch.url} {fetch.status or '-'} {size} bytes {fetch.seconds:.2f} s{wrong}"


class Door:
    """A context manager, like build.network.Door: `open` takes the listener of the command's own network."""

    def __init__(self, url: str, record: Callable[[Fetch], None]) -> None:
        self._url = url
        self._record = record
        self._stack = ExitStack()

    def open(self, listener: socket.socket) -> None:
        """Forward the command's requests until the block ends."""
        from contractor.network.proxy import RecordingProxy

        self._stack.enter_context(RecordingProxy(listener, Anywhere(()), self._record, upstream=self._url))

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


class Anywhere(AllowList):
    """Every host and port: another proxy decides."""

    def find(self, host: str, port: int) -> Rule | None:
        return Rule(host, (port,))
