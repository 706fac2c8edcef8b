"""Builds that somebody wants to keep with all that they need: a file in the build's folder.

    builds/<id>/pinned     {"at": seconds since the epoch, "reason": text}

gc reads it under its lock, and whoever pins holds the same lock shared: what is there when `pin` returns will stay.
"""

from __future__ import annotations

import contextlib
import os
import time

import msgspec

from contractor.core.errors import Broken
from contractor.core.values import Value
from contractor.store.layout import Store


class Pin(Value, frozen=True):
    """at: seconds since the epoch; 0 when the file cannot be read, which pins all the same."""

    at: float = 0.0
    reason: str = ""


def pin_of(store: Store, build: str) -> Pin | None:
    """A build's pin, None when it has none."""
    try:
        with open(_path(store, build), "rb") as file:
            return msgspec.json.decode(file.read(), type=Pin)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Pin()


def pin(store: Store, build: str, reason: str) -> Pin:
    """Pin a build, or give its pin another reason. To be called within `store.using()`; Broken if it cannot be written.

    The build's folder must be there.
    """
    made = Pin(at=time.time(), reason=reason)
    path = _path(store, build)
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.json.encode(made))
        os.rename(f"{path}.new", path)
    except OSError as error:
        raise Broken(f"the pin cannot be written: {path}: {error.strerror}", hint="`contractor gc`") from error
    return made


def unpin(store: Store, build: str) -> None:
    """From now on gc's rules hold for the build; nothing goes at once."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(store, build))


def _path(store: Store, build: str) -> str:
    return store.path("builds", build, "pinned")
