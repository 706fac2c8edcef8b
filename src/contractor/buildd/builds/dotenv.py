"""Files of NAME=value lines, as python-dotenv reads them but without variables in the values. Pure.

    # comment        export NAME=value # comment        NAME='as it is'        NAME="with \\n"        NAME

A name without "=" takes a property away (None).
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[^=\s#'"]+|'[^']*')[^\S\n]*
    (?:(?P<equals>=)[^\S\n]*(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>(?!['"])[^\n]*)))?
    [^\S\n]*(?:\#[^\n]*)?(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_EMPTY = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def read(text: str) -> dict[str, str | None]:
    """The values of a file, the last of a name wins. ValueError names the line that is none of the forms."""
    text = text.replace("\r\n", "\n")
    found: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        empty = _EMPTY.match(text, at)
        if empty:
            at = max(empty.end(), at + 1)
            continue
        line = _LINE.match(text, at)
        if line is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not NAME=value")
        found[line["name"].strip("'")] = _value(line)
        at = line.end()
    return found


def _value(line: re.Match[str]) -> str | None:
    if line["equals"] is None:
        return None
    if line["single"] is not None:
        return re.sub(r"\\([\\'])", r"\1", line["single"])
    if line["double"] is not None:
        return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), line["double"])
    return re.sub(r"\s+#.*", "", line["plain"] or "").strip()
