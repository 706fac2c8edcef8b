"""Which packages have to move with those that are updated: what apt says when it refuses to move these alone. Pure.

apt's resolver takes one version of each package into account, and the pins say which. So what it cannot bring together
is read from its words, and asked again without the pins that are in the way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_NAME = rb"[a-z0-9][a-z0-9+.-]+"
_UNMET = re.compile(
    rb"^ +(?:(?P<who>" + _NAME + rb")(?::[a-z0-9-]+)? : +)?(?P<how>PreDepends|Depends|Breaks|Conflicts): (?P<what>"
    rb"(?P<name>" + _NAME + rb")(?::[a-z0-9-]+)?(?: \([^()\n]*\))?) but [0-9][^\n]* is to be installed(?: or)?\r?$",
    re.MULTILINE,
)
_WHO = re.compile(rb"^ (" + _NAME + rb")(?::[a-z0-9-]+)? : ", re.MULTILINE)
_HEAD = b"The following packages have unmet dependencies:"
_WORDS = {b"Breaks": "breaks", b"Conflicts": "conflicts with"}


def followers(said: bytes, pinned: Collection[str]) -> dict[str, str]:
    """By name, the pinned packages that have to move, too, and why, in words. said: the end of what apt said."""
    found: dict[str, str] = {}
    for who, how, what, name in _unmet(said.rpartition(_HEAD)[2]):
        word = _WORDS.get(how, "needs")
        moving = next((each for each in (name, who) if each in pinned), "")
        if moving:
            found.setdefault(moving, f"{who} {word} {what}")
    return found


def _unmet(text: bytes) -> Iterator[tuple[str, bytes, str, str]]:
    """Who, how, what, and the name in what. Only the first line about a package says whose they are."""
    for match in _UNMET.finditer(text):
        before = _WHO.findall(text, 0, match.end())
        if before:
            yield before[-1].decode(), match["how"], match["what"].decode(), match["name"].decode()
