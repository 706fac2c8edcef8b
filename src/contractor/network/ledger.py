"""What was fetched: one `Fetch` a request, and the one place where credentials are taken out of URLs.

Imports nothing heavy: build records read and write fetches on machines that never start a proxy.
"""

from __future__ import annotations

import re
from typing import Literal

from contractor.core.values import Value

Verdict = Literal["allowed", "refused", "failed"]

REDACTED = "***"

# everything before the last @ of an authority, wherever in the text an authority starts
_USERINFO = re.compile(r"(^|//)[^/?#]*@")
_PARAMETER = re.compile(r"(?P<name>[^=&;?#]*)=(?P<value>[^&;#]*)")
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|passphrase|api[-_.]?key|access[-_.]?key|private|(^|[-_.])key$|auth(?!or)|signature"
    r"|(^|[-_.])sig$|credential|session|jwt|bearer",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"(gh[opsur]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|eyJ)[A-Za-z0-9]|//[^/?#]*@")


class Fetch(Value, frozen=True, kw_only=True):
    """One request through the proxy, or one download.

    url: redacted; `host:port` for CONNECT. status: the HTTP status that the client saw, 0 if none. size: body bytes
    received. sent: body bytes sent to the server. sha256: of the body as it was received, empty for CONNECT and for
    what was refused. at: seconds since the epoch when the request began. seconds: how long it took.
    """

    method: str
    url: str
    verdict: Verdict
    status: int = 0
    size: int = 0
    sent: int = 0
    sha256: str = ""
    reason: str = ""
    at: float
    seconds: float


def redact(url: str) -> str:
    """The URL without credentials: `user:password@` and the values of parameters that look like tokens become `***`.

    Works on any text, well-formed or not, because what a step sends is not; redacting twice changes nothing more.
    """
    url = _USERINFO.sub(rf"\1{REDACTED}@", url)
    cut = min((at for at in (url.find("?"), url.find("#")) if at >= 0), default=len(url))
    return url[:cut] + _PARAMETER.sub(_redact_parameter, url[cut:])


def _redact_parameter(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if not value or not (_SECRET_NAME.search(_unescape(name)) or _SECRET_VALUE.search(_unescape(value))):
        return match[0]
    return f"{name}={REDACTED}"


def _unescape(text: str) -> str:
    """Percent escapes undone, character by character: enough to recognise ASCII names, without urllib."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
