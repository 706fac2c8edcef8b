"""The one place where credentials are taken out of the URLs that are written down."""

from __future__ import annotations

import re

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
