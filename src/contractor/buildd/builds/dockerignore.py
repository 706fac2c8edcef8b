"""Which files of a build's context a .dockerignore leaves out, and which names a pattern of COPY means. Pure.

`*` and `?` stay within a name, `**` (in .dockerignore only) crosses names, `!` takes back what is left out; the last
line that matches a path, or a folder above it, decides. Source: https://docs.docker.com/build/concepts/context/
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

from contractor.build.globs import whole

MAX_BYTES = 1 << 20


class Line(NamedTuple):
    expression: re.Pattern[bytes]
    back: bool  # it takes back


class Ignore:
    """The lines of a .dockerignore."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines: list[Line] = []
        for line in lines:
            text = line.strip()
            if not text or line.startswith("#"):
                continue
            back = text.startswith("!")
            path = posixpath.normpath(text.removeprefix("!").strip()).lstrip("/")
            if path not in ("", "."):
                self._lines.append(Line(_expression(path.encode()), back))

    def leaves_out(self, path: bytes) -> bool:
        """Whether a path (relative to the context) is left out."""
        out = False
        parts = path.split(b"/")
        ways = [b"/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        for line in self._lines:
            if line.back == out and any(line.expression.match(way) for way in ways):
                out = not line.back
        return out


def read(data: bytes) -> Ignore:
    """The file's lines."""
    return Ignore(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").splitlines())


def is_pattern(name: bytes) -> bool:
    """Whether a name of a COPY's source stands for more than itself."""
    return any(char in name for char in b"*?[\\")


def name_pattern(name: bytes) -> re.Pattern[bytes]:
    """One name of a COPY's source as an expression; one that is wrong matches nothing."""
    return _expression(name.replace(b"**", b"*"))


def _expression(path: bytes) -> re.Pattern[bytes]:
    out = b""
    i = 0
    while i < len(path):
        char = path[i : i + 1]
        if path[i : i + 3] == b"**/":
            out += b"(?:.*/)?"
            i += 3
            continue
        if path[i : i + 2] == b"**":
            out += b".*"
            i += 2
            continue
        if char == b"[" and (found := re.compile(rb"\[(\^?)((?:\\.|[^\]\\])+)\]").match(path, i)):
            out += b"(?!/)[" + found[1] + re.sub(rb"([\[&~|])", rb"\\\1", found[2]) + b"]"
            i = found.end()
            continue
        if char == b"\\" and i + 1 < len(path):
            out += re.escape(path[i + 1 : i + 2])
            i += 2
            continue
        out += {b"*": b"[^/]*", b"?": b"[^/]"}.get(char, re.escape(char))
        i += 1
    return whole(out)
