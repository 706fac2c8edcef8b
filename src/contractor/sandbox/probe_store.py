"""What the store's file system can do: overlays are really mounted there; and whether there is room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from contractor.core.errors import ContractorError
from contractor.sandbox import trial
from contractor.sandbox.local import choose
from contractor.sandbox.probe import FAIL, OK, WARN, Check

_ROOM = 5 << 30  # bytes: a base, its packages and a workspace
_FILES = 200_000
_ELSEWHERE = "put the store on a local disk (ext4, xfs, btrfs): --store DIR, or CONTRACTOR_STORE=DIR"
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "afs")


def store_checks(store: str, home: str) -> Iterator[Check]:
    """Checks of an existing store; home: the user's folder, where the store is when nothing else is said."""
    yield from _overlay(store)
    yield _reflink(store)
    yield from _room(store)
    with contextlib.suppress(OSError):
        if (kind := trial.file_system(os.path.realpath(home))) in _NETWORK:
            found = f"{home} is on {kind}: subordinate ids cannot own files there, nor can overlays"
            yield Check("home", OK if trial.file_system(store) not in _NETWORK else FAIL, found, _ELSEWHERE)


def _overlay(store: str) -> Iterator[Check]:
    kind = trial.file_system(store)
    try:
        with choose().start(trial.OPERATIONS) as (supervisor, _group):
            trouble = trial.try_overlay(store, supervisor)
            plus = supervisor.call("lowerdir-plus", {})
    except ContractorError as error:
        yield Check("system trees", FAIL, f"not tried: {error.message}", "see above")
        return
    if trouble:
        yield Check("system trees", FAIL, f"{store} is on {kind}: {trouble}", _ELSEWHERE)
    else:
        yield Check("system trees", OK, f"overlayfs on {kind} ({store})")
    found = "the kernel takes them one by one" if plus else "by mount(2): a tree of more than some 100 may not fit"
    yield Check("layers", OK, found)


def _reflink(store: str) -> Check:
    shared = trial.reflink(f"{store}/work")
    return Check(
        "reflinks", OK, "files share their blocks" if shared else "none here: copies are copied, which is fine"
    )


def _room(store: str) -> Iterator[Check]:
    found = os.statvfs(store)
    free = found.f_bavail * found.f_frsize
    fix = "contractor gc; or put the store elsewhere: --store DIR, or CONTRACTOR_STORE=DIR"
    text = f"{free / (1 << 30):.1f} GiB free"
    yield (
        Check("disk", OK, text) if free >= _ROOM else Check("disk", WARN, f"{text}: little for a base and a build", fix)
    )
    if found.f_files and found.f_favail < _FILES:
        yield Check("inodes", WARN, f"{found.f_favail} files can be made: a base has 10,000", fix)
    elif found.f_files:
        yield Check("inodes", OK, f"{found.f_favail} files can be made")
