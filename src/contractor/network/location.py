"""A URL taken apart for a download, and where a redirect may lead."""

from __future__ import annotations

import base64

from contractor.core.errors import Broken, Rejected
from contractor.core.values import Value
from contractor.network.allow import join_authority, parse_authority
from contractor.network.ledger import redact

_PORTS = {"http": 80, "https": 443}


class Location(Value, frozen=True):
    """An http or https URL. user is `name:password` as bytes; path is the origin form, `/path?query`, ASCII."""

    scheme: str
    host: str
    port: int
    path: str
    user: bytes = b""

    @property
    def authority(self) -> str:
        if self.port != _PORTS[self.scheme]:
            return join_authority(self.host, self.port)
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def authorization(self, header: str) -> dict[str, str]:
        """The header that carries the URL's credentials, if it has any."""
        return {header: f"Basic {base64.b64encode(self.user).decode()}"} if self.user else {}


def parse_location(url: str) -> Location:
    """A URL as a Location; raises Rejected for one that is not http or https, or names no host."""
    import urllib.parse

    scheme, slashes, rest = url.partition("://")
    scheme = scheme.lower()
    if not slashes or scheme not in _PORTS:
        raise Rejected(
            f"{redact(url)} cannot be downloaded: only http:// and https:// URLs can",
            hint="put a local file into the project's sources instead",
        )
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    user, _, authority = rest[:end].rpartition("@")
    try:
        host, port = parse_authority(authority)
    except ValueError as error:
        raise Rejected(f"{redact(url)} cannot be downloaded: {error}", hint="write https://host/path") from None
    path = rest[end:] if rest[end:].startswith("/") else "/" + rest[end:]
    # what is not allowed in a request line (blanks, line ends, non-ASCII) is escaped; what is escaped stays as it is
    path = urllib.parse.quote(path, safe="/?&=:;,+$!*'()@%~-._[]|\"<>\\^`{}")
    return Location(scheme, host, port or _PORTS[scheme], path, urllib.parse.unquote_to_bytes(user))


def next_location(location: Location, target: str) -> Location:
    """Where a redirect leads; raises Rejected if it leaves https or http(s) at all, Broken if it leads nowhere.

    Credentials are not taken along: they were for the first host.
    """
    import urllib.parse

    if not target:
        raise Broken(f"{redact(location.url)} redirects to nowhere", hint="name the final URL")
    try:
        joined = urllib.parse.urljoin(location.url, target)
    except ValueError:
        raise Broken(f"{redact(location.url)} redirects to what is no URL", hint="name the final URL") from None
    found = parse_location(joined)
    if location.scheme == "https" and found.scheme == "http":
        raise Rejected(
            f"{redact(location.url)} redirects from https to {redact(found.url)}, which is not protected",
            hint="name the final URL, or an https mirror",
        )
    return found
