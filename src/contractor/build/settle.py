"""Syncing the store after a build, without making anyone wait for it."""

from __future__ import annotations

import contextlib
import os

from contractor.sandbox.syscalls import syncfs
from contractor.store.layout import Store
from contractor.store.results import Results


def settle_in_background(store: Store, ids: str) -> None:
    """A forked child syncs and then keeps the results for good; if it dies, the next build's does."""
    if os.fork():  # noqa: TID251 - starts no program
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        Results(store, ids).settle(syncfs)
    finally:
        os._exit(0)


def collect() -> None:
    """Take note of the children that have ended, for a process that lives on after its builds."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
