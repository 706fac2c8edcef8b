"""One SHA256SUMS over all builds of a matrix, made of those that their exports wrote (export/exporting.py).

DIR/SHA256SUMS        SOURCE_VERSION-4.0/kit/..., SOURCE_VERSION-4.1/kit/...
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from contractor.build.export.exporting import SUMS, combination_folder, sums_lines
from contractor.build.verify.sums import read_sums
from contractor.core.errors import Broken


def write_sums(folder: str, matrices: Sequence[dict[str, str]]) -> None:
    """Of the builds with these matrix values, which have all been exported to this folder."""
    files: dict[bytes, str] = {}
    archives: list[bytes] = []
    for part in map(combination_folder, matrices):
        if not os.path.exists(f"{folder}/{part}/{SUMS}"):
            continue  # a build without an artifact
        found = read_sums(f"{folder}/{part}")
        files |= {os.fsencode(f"{part}/{name}"): digest for name, digest in found.files.items()}
        archives += [
            f"# sha256 of the uncompressed archive of {part}/{name}: {digest}\n".encode()
            for name, digest in found.archives.items()
        ]
    temporary = f"{folder}/.{SUMS}.{os.urandom(4).hex()}"
    try:
        with open(temporary, "xb") as file:
            file.writelines([*sums_lines(files, ()), *sorted(archives)])
        os.rename(temporary, f"{folder}/{SUMS}")
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise Broken(f"cannot write {folder}/{SUMS}: {error.strerror}") from error


def forget_sums(folder: str) -> None:
    """Some of the builds failed: sums of an earlier run would be taken for theirs."""
    with contextlib.suppress(OSError):
        os.unlink(f"{folder}/{SUMS}")
