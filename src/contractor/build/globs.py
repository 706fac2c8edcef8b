"""Which paths of a workspace a pattern means.

`*` and `?` stay within a name, `**` crosses names, `[a-z]` is a set. A pattern that is itself a path means that path,
whatever characters it has; a directory that matches brings everything below it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence


def pattern(text: str) -> re.Pattern[bytes]:
    """A pattern as a regular expression over whole paths, as bytes."""
    out = b""
    i = 0
    raw = os.fsencode(text.removeprefix("./").rstrip("/") or "**")
    while i < len(raw):
        char = raw[i : i + 1]
        if raw[i : i + 3] == b"**/":
            out += b"(?:[^/]+/)*"
            i += 3
        elif raw[i : i + 2] == b"**":
            out += b".*"
            i += 2
        elif char == b"[" and (end := raw.find(b"]", i + 2)) > 0:
            inner = raw[i + 1 : end]
            negated = inner[:1] in (b"!", b"^")
            body = inner[1:] if negated else inner
            out += b"[" + (b"^/" if negated else b"") + body.replace(b"\\", rb"\\").replace(b"[", rb"\[") + b"]"
            i = end + 1
        else:
            out += {b"*": b"[^/]*", b"?": b"[^/]"}.get(char, re.escape(char))
            i += 1
    return whole(out)


def whole(pattern: bytes) -> re.Pattern[bytes]:
    """What matches a whole path, of what a glob was turned into."""
    try:
        return re.compile(pattern + rb"\Z", re.DOTALL)
    except re.error:  # a set such as [z-a], which no name is in
        return re.compile(rb"(?!)")


def select(entries: Sequence[tuple[bytes, bool]], globs: Iterable[str]) -> tuple[list[bytes], list[str]]:
    """entries: sorted paths and whether each is a directory. Returns selected paths, and the globs without a match."""
    chosen: set[bytes] = set()
    empty = []
    for glob in globs:
        expression = pattern(glob)
        literal = os.fsencode(glob.removeprefix("./").rstrip("/"))
        matched = [(path, folder) for path, folder in entries if path == literal or expression.match(path)]
        if not matched:
            empty.append(glob)
        chosen.update(path for path, _folder in matched)
        folders = tuple(path + b"/" for path, folder in matched if folder)
        if folders and not _everything(matched, entries):
            chosen.update(path for path, _folder in entries if path.startswith(folders))
    return sorted(chosen), empty


def _everything(matched: Sequence[object], entries: Sequence[object]) -> bool:
    return len(matched) == len(entries)
