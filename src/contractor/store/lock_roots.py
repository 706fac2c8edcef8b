"""Which locks were written with this store: what they name stays in it as long as their files are there.

locked/<id>.json    the path of a lock, and the digests that it names (bodies that were fetched, blobs)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import msgspec

from contractor.core import digest
from contractor.core.values import Value
from contractor.store.layout import Store


class Root(Value, frozen=True):
    """path: absolute. here: whether the lock is still there."""

    name: str
    path: str
    digests: frozenset[str]
    here: bool


class _Kept(Value, frozen=True):
    path: str
    digests: tuple[str, ...]


def remember(store: Store, path: str, digests: Iterable[str]) -> None:
    """A lock was written at a path (absolute), or a capsule unpacked there."""
    os.makedirs(store.path("locked"), 0o700, exist_ok=True)
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    name = digest.of_bytes(os.fsencode(path))[:32]
    temporary = store.path("locked", f".{name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(msgspec.json.encode(_Kept(shown, tuple(sorted(set(digests))))))
    os.rename(temporary, store.path("locked", f"{name}.json"))


def roots(store: Store) -> list[Root]:
    """All of them, in no particular order; one that cannot be read is as one whose lock is gone."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for file in os.listdir(store.path("locked")):
            if file.startswith("."):
                continue
            kept = _Kept("", ())
            with contextlib.suppress(OSError, msgspec.DecodeError), open(store.path("locked", file), "rb") as opened:
                kept = msgspec.json.decode(opened.read(), type=_Kept)
            here = bool(kept.path) and os.path.exists(kept.path)
            found.append(Root(file, kept.path, frozenset(filter(digest.is_digest, kept.digests)), here))
    return found
