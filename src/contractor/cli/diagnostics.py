"""What a failed build kept for diagnosis: where it is, and unpacking it into a folder of the caller's."""

from __future__ import annotations

import os

from contractor.core.errors import Rejected
from contractor.store.records import Records

_MAX_FILES = 10_000_000
_MAX_BYTES = 1 << 40  # no more than the build's own disk limit ever let it hold


def kept(records: Records, build: str) -> tuple[str, int] | None:
    """The archive's path and its size in bytes; None when nothing was kept."""
    path = f"{records.folder(build)}/diagnostics.tar.zst"
    try:
        return path, os.path.getsize(path)
    except FileNotFoundError:
        return None


def command(build: str) -> str:
    """What gets it out."""
    return f"contractor artifacts get {build} --diagnostics -o DIR"


def unpack_kept(records: Records, build: str, output: str) -> int:
    """Unpack into a folder, which is made; returns the number of files. A step wrote it: nothing leaves the folder.

    Rejected: nothing was kept, or it does not unpack.
    """
    from contractor.store.compress import open_zstd
    from contractor.store.unpack import UnpackOptions, unpack

    found = kept(records, build)
    if found is None:
        raise Rejected(
            f"the build {build} kept nothing for diagnosis",
            hint="`diagnostics: [GLOB]` in the specification, or of a step, says what is kept when it fails",
        )
    os.makedirs(output, exist_ok=True)
    archive = os.open(found[0], os.O_RDONLY | os.O_CLOEXEC)
    root = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return unpack(open_zstd(archive), root, UnpackOptions(max_bytes=_MAX_BYTES, max_files=_MAX_FILES)).files
    except Rejected as error:
        raise Rejected(
            f"what was kept for diagnosis cannot be unpacked: {error.message}",
            hint=f"`tar --zstd -xf {found[0]} -C DIR` unpacks it all the same",
        ) from error
    finally:
        os.close(archive)
        os.close(root)
