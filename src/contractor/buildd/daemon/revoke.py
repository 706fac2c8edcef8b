"""The end of a proxy token: HTTP DELETE of its revocation endpoint, when the build no longer needs the network.

Two forms. The builder proxy's token server wants the token itself as Basic credentials; the fetch service's control
wants it in a JSON body, and no credentials. Nothing here fails a build: tokens expire by themselves.
"""

from __future__ import annotations

import base64
import json

from contractor.buildd.client.link import Lost, Nonsense, Request, ask
from contractor.buildd.client.place import Place
from contractor.core.errors import ContractorError
from contractor.network.location import Location, parse_location

TIMEOUT = 15.0  # seconds, for all of it
_LARGEST = 1 << 20


def revoke(proxy_url: str, endpoint: str, *, fetch_service: bool) -> str:
    """Why the token of `http://user:token@proxy` could not be revoked; "" when it was. Never raises for the network."""
    try:
        server, user = parse_location(endpoint), parse_location(proxy_url).user
        answer = ask(_place(server), _request(server, user, fetch_service=fetch_service), lambda: None)
    except Lost as lost:
        return lost.reason
    except Nonsense:
        return "the answer is too long"
    except ContractorError as error:
        return error.message
    return "" if 200 <= answer.status < 300 else f"HTTP status {answer.status}"


def _place(server: Location) -> Place:
    return Place(server.scheme, server.host, server.port)


def _request(server: Location, user: bytes, *, fetch_service: bool) -> Request:
    if fetch_service:
        token = user.partition(b":")[2].decode("utf-8", "surrogateescape")
        body = json.dumps({"token": token}).encode()
        headers = {"Content-Type": "application/json"}
    else:
        body = b""
        headers = {"Authorization": f"Basic {base64.b64encode(user).decode()}"}
    return Request("DELETE", server.path, TIMEOUT, _LARGEST, body, headers)
