"""The files of a commit as an archive in the store: a repository is asked for a commit once, and then never again.

    git/<commit>    the digest of the archive; which is a blob, compressed like an artifact

A commit's name is a digest of its files, so it does not matter which repository it came from.
"""

from __future__ import annotations

import os
import time

from contractor.build.place import Place
from contractor.core.digest import is_digest
from contractor.core.errors import Broken
from contractor.store.layout import Store
from contractor.store.results import artifact_path


def archive_of(store: Store, commit: str) -> str:
    """The digest of a commit's archive; "" when it is not in the store."""
    try:
        with open(store.path("git", commit), encoding="ascii") as file:
            digest = file.read(65).strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return digest if is_digest(digest) and os.path.exists(artifact_path(store, digest)) else ""


def keep_archive(store: Store, commit: str, place: Place) -> str:
    """Pack the whole workspace of a place as a commit's archive; returns its digest. All times become 0."""
    temporary = store.path("blobs", f".git-{os.getpid()}-{time.monotonic_ns()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        place.call("date", {"to": ".", "epoch": 0})
        done = place.call("pack", {"paths": None, "epoch": 0, "owners": False}, [fd])
        if done["skipped"]:
            raise Broken(f"the commit {commit} has what is no file: {done['skipped'][:3]}")
        digest: str = done["digest"]
        final = artifact_path(store, digest)
        os.makedirs(os.path.dirname(final), 0o700, exist_ok=True)
        os.rename(temporary, final)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    remember(store, commit, digest)
    return digest


def remember(store: Store, commit: str, digest: str) -> None:
    """Note which archive, that is in the store, a commit's is."""
    os.makedirs(store.path("git"), 0o700, exist_ok=True)
    temporary = store.path("git", f".{commit}.{os.getpid()}")
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{digest}\n")
    os.rename(temporary, store.path("git", commit))
