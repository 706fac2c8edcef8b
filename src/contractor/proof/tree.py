"""The digests of what an artifact is outside of the store: a file, an archive in a file, or a folder.

A folder has two, both by standards that others compute too (in-toto's DigestSet):

    dirHash    of its regular files, as `find . -type f | cut -c3- | LC_ALL=C sort | xargs sha256sum | sha256sum` gives
    gitTree    of files, links and which files can be executed: what git, with SHA-256, names such a tree

Empty folders, owners, times and other modes are in neither.
"""

from __future__ import annotations

import hashlib
import os
import stat

from contractor.core.digest import CHUNK
from contractor.core.errors import Rejected

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def folder_digests(path: str) -> dict[str, str]:
    """dirHash (unless a name has a line end in it) and gitTree; Rejected when it cannot be read, or has a device."""
    sums: dict[bytes, str] = {}
    try:
        tree = _tree(os.fsencode(path), b"", sums)
    except OSError as error:
        raise Rejected(f"{error.filename or path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise Rejected(f"{path} has more folders in folders than can be read") from error
    found = {"gitTree": (tree or _object(b"tree", b"")).hex()}
    if any(b"\n" in name for name in sums):
        return found
    listing = b"".join(sums[name].encode() + b"  " + name + b"\n" for name in sorted(sums))
    return {"dirHash": hashlib.sha256(listing).hexdigest(), **found}


def _tree(path: bytes, below: bytes, sums: dict[bytes, str]) -> bytes | None:
    """A tree object's digest; None for a folder without a file in it, which git does not name."""
    entries = []
    with os.scandir(path) as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            name = below + entry.name
            if entry.is_symlink():
                entries.append((entry.name, b"120000", _object(b"blob", os.readlink(entry.path))))
            elif entry.is_dir():
                inner = _tree(entry.path, name + b"/", sums)
                if inner is not None:
                    entries.append((entry.name + b"/", b"40000", inner))
            elif entry.is_file():
                mode = b"100755" if entry.stat().st_mode & stat.S_IXUSR else b"100644"
                entries.append((entry.name, mode, _file(entry.path, name, sums)))
            else:
                raise Rejected(f"{os.fsdecode(entry.path)} is neither a file, a link nor a folder")
    if not entries:
        return None
    parts = [b"%b %b\0%b" % (mode, name.removesuffix(b"/"), digest) for name, mode, digest in sorted(entries)]
    return _object(b"tree", b"".join(parts))


def _file(path: bytes, name: bytes, sums: dict[bytes, str]) -> bytes:
    plain = hashlib.sha256()
    with open(path, "rb") as file:
        blob = hashlib.sha256(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while data := file.read(CHUNK):
            plain.update(data)
            blob.update(data)
    sums[name] = plain.hexdigest()
    return blob.digest()


def _object(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha256(b"%b %d\0%b" % (kind, len(content), content)).digest()


def file_digest(path: str) -> str:
    """The sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive_digest(path: str) -> str | None:
    """The sha256 of what a zstd file decompresses to; None when it is none."""
    from contractor.store.compress import open_zstd

    with open(path, "rb") as file:
        if os.pread(file.fileno(), 4, 0) != ZSTD_MAGIC:
            return None
        read, sha = open_zstd(file.fileno()), hashlib.sha256()
        while data := read(CHUNK):
            sha.update(data)
    return sha.hexdigest()
