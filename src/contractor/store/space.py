"""How much room there is where the store lies."""

from __future__ import annotations

import os

from contractor.core.errors import Broken
from contractor.store.layout import Store

FLOOR = 64 << 20  # bytes that must be free before anything starts


def require(store: Store, size: int = FLOOR, what: str = "") -> None:
    """Broken unless `size` bytes are free. what: needs them, as a clause (`the capsule has 7 MiB`)."""
    found = os.statvfs(store.root)
    free = found.f_bavail * found.f_frsize
    if free < size:
        have = f"{free >> 20} MiB are free where the store is ({store.root})"
        raise Broken(
            f"{what}, and {have}" if what else f"only {have}",
            hint="`contractor gc` frees what is no longer needed; or choose another place with --store DIR",
        )
