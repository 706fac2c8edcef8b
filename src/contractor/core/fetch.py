"""One request to the network, as the proxy or a download saw it: what the ledger of a step is made of."""

from __future__ import annotations

from typing import Literal

from contractor.core.values import Value

Verdict = Literal["allowed", "refused", "failed"]
FROM_STORE = "from the store"  # the reason of an answer that no server was asked for


class Fetch(Value, frozen=True):
    """url: without credentials; `host:port` for CONNECT. method: HTTP's, or DIRECT for what a step sent past the proxy,
    which is counted, and whose addresses nobody knows. status: the HTTP status that the client saw, 0 if none.

    size: body bytes received; sent: body bytes sent to the server. sha256: of the body as it was received, empty for
    CONNECT and for what was refused. at: seconds since the epoch when the request began; seconds: how long it took.
    kept: the body is in the store; headers: those that giving the answer again needs.
    """

    method: str
    url: str
    verdict: Verdict
    status: int = 0
    size: int = 0
    sha256: str = ""
    reason: str = ""
    at: float = 0.0
    seconds: float = 0.0
    sent: int = 0
    kept: bool = False
    headers: tuple[tuple[str, str], ...] = ()
