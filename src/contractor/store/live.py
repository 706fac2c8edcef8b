"""Which builds are running: those that hold the lock of their folder below work/. A killed build's lock is free."""

from __future__ import annotations

import fcntl
import os

from contractor.store.layout import Store


def is_live(store: Store, build: str) -> bool:
    """Whether a build is running now."""
    return held(store.path("work", build, "lock"))


def live_builds(store: Store) -> set[str]:
    """The ids of all running builds."""
    return {build for build in os.listdir(store.path("work")) if is_live(store, build)}


def held(path: str) -> bool:
    """Whether somebody holds this lock. The look itself is shared, so that two at once do not see each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
