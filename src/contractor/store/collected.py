"""What was removed from the store, and when: so that a name that is gone is not just unknown.

    collected.jsonl     a line a removal: {"at", "by": who or which rule, "builds": [ids], "keys": [first digits]}

It has at most LARGEST bytes: then the older half goes. It is written after a removal, and only if the disk has room: a
missing line makes an answer shorter, nothing else.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

import msgspec

from contractor.core.values import Value
from contractor.store.layout import Store

LARGEST = 1 << 19
_DIGITS = 16  # of a key: enough to tell one from another
_MOST_KEYS = 8000  # a line


class Collected(Value, frozen=True):
    at: float
    by: str
    builds: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def remember(store: Store, by: str, *, builds: Iterable[str] = (), keys: Iterable[str] = ()) -> None:
    """Note that builds (by id) and results or states (by key) were removed."""
    names = tuple(key[:_DIGITS] for key in keys)[:_MOST_KEYS]
    made = Collected(at=time.time(), by=by, builds=tuple(builds), keys=names)
    if not made.builds and not names:
        return
    path = _path(store)
    with contextlib.suppress(OSError):
        with open(path, "ab") as file:
            file.write(msgspec.json.encode(made) + b"\n")
            size = file.tell()
        if size > LARGEST:
            _shorten(path)


def _shorten(path: str) -> None:
    with open(path, "rb") as file:
        file.seek(-LARGEST // 2, os.SEEK_END)
        file.readline()
        rest = file.read()
    with open(f"{path}.new", "wb") as file:
        file.write(rest)
    os.rename(f"{path}.new", path)


def when_collected(store: Store, key: str) -> str:
    """ "collected on 2025-03-04 10:15 by ...", or nothing when that is not known. key: of a result or a state."""
    name = key[:_DIGITS]
    return next((_words(line) for line in _lines(store) if name in line.keys), "")


def collected_builds(store: Store, text: str) -> dict[str, str]:
    """Builds that are gone, newest first, and when they were collected: those of this id or beginning, or this name."""
    found: dict[str, str] = {}
    for line in _lines(store):
        for build in line.builds:
            if text and (build.startswith(text) or build[16:-5] == text):
                found.setdefault(build, _words(line))
    return dict(sorted(found.items(), reverse=True))


def _words(line: Collected) -> str:
    try:
        when = time.strftime(" on %Y-%m-%d %H:%M", time.localtime(line.at))
    except (OverflowError, ValueError, OSError):  # the file was damaged
        when = ""
    return f"collected{when} by `{line.by}`"


def _lines(store: Store) -> Iterator[Collected]:
    """Newest first."""
    try:
        with open(_path(store), "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in reversed(lines):
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=Collected)


def _path(store: Store) -> str:
    return store.path("collected.jsonl")
