"""Where a builder is: what a person writes as its URL."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.network.allow import join_authority, parse_authority

if TYPE_CHECKING:
    import http.client

PORT = 8221  # of launchpad-buildd
_PORTS = {"http": PORT, "https": 443}


class Place(Value, frozen=True):
    """path: what comes before /rpc and /filecache/, often nothing. user: `name:password`, for a proxy in front."""

    scheme: str
    host: str
    port: int
    path: str = ""
    user: bytes = b""

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{join_authority(self.host, self.port)}{self.path}"

    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(self.user).decode()}"} if self.user else {}

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """An unopened connection. No proxy of this machine's is asked: builders are near."""
        import http.client

        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        import ssl

        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=ssl.create_default_context())


def parse_place(text: str) -> Place:
    """`HOST`, `HOST:PORT` or `http[s]://[user:password@]HOST[:PORT][/path][/rpc]`; raises Rejected."""
    import urllib.parse

    scheme, slashes, rest = text.partition("://")
    if not slashes:
        scheme, rest = "http", text
    authority, slash, path = rest.partition("/")
    user, _, authority = authority.rpartition("@")
    try:
        if scheme.lower() not in _PORTS:
            raise ValueError("only http:// and https:// lead to builders")
        if "?" in rest or "#" in rest or not path.isascii() or not path.isprintable() or " " in path:
            raise ValueError("there is more in it than a host, a port and a path")
        host, port = parse_authority(authority)
    except ValueError as error:
        from contractor.network.ledger import redact

        raise Rejected(
            f"{redact(text) or repr(text)} is no builder's URL: {error}",
            hint=f"write http://HOST:{PORT}, or HOST for that",
        ) from None
    path = (slash + path).rstrip("/").removesuffix("/rpc").rstrip("/")
    return Place(scheme.lower(), host, port or _PORTS[scheme.lower()], path, urllib.parse.unquote_to_bytes(user))
