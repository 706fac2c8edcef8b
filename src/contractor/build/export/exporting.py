"""Copy artifacts out of the store, each checked on the way, with a SHA256SUMS that `sha256sum -c` understands.

    DIR/NAME.tar.zst  NAME.tar  NAME.squashfs  NAME/      by the artifact's format
    DIR/SHA256SUMS                                        of all files that this export wrote
    DIR/arch-arm64,variant-full/...                       the same for each combination of a matrix

Everything is made under a temporary name beside its own, and replaces what had that name before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import msgspec

from contractor.build.export.copying import copy_compressed, copy_plain, squashfs, unpack_folder
from contractor.core.errors import Broken, Rejected
from contractor.core.events import ArtifactInfo
from contractor.proof.tree import folder_digests
from contractor.store.layout import Store
from contractor.store.records import Record
from contractor.store.remove import remove_tree
from contractor.store.results import artifact_path

SUMS = "SHA256SUMS"
_SUFFIXES = {"tar.zst": ".tar.zst", "tar": ".tar", "squashfs": ".squashfs", "directory": ""}
_MAX_FOLDER = 200  # bytes of a combination's folder name; file systems take 255


def export(records: Sequence[Record], store: Store, folder: str, many: bool) -> list[ArtifactInfo]:
    """Copy the artifacts of these builds, as `export_artifacts`. many: a folder for each combination of the matrix."""
    return [
        copied
        for record in records
        for copied in export_artifacts(
            record.artifacts, store, target_folder(folder, record.matrix, many), record.epoch
        )
    ]


def target_folder(folder: str, matrix: dict[str, str], many: bool) -> str:
    """Where a build's artifacts go: a folder of its own when it is one of several."""
    return f"{folder}/{combination_folder(matrix)}" if many and matrix else folder


def export_artifacts(
    artifacts: Sequence[ArtifactInfo], store: Store, folder: str, epoch: int
) -> tuple[ArtifactInfo, ...]:
    """Copy a build's artifacts; returns them with the path and the digests of each copy.

    Rejected: the folder cannot be written. Broken: an artifact is damaged or gone, or the disk is full.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        digests = _export_all(artifacts, store, folder, epoch)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Broken(f"the disk is full: {folder}", hint="choose another folder with -o DIR") from error
        raise Rejected(
            f"cannot write {error.filename or folder}: {error.strerror}", hint="choose another folder with -o DIR"
        ) from error
    names = map(exported_name, artifacts)
    return tuple(
        msgspec.structs.replace(artifact, path=f"{folder}/{name}", copy=digests[name])
        for artifact, name in zip(artifacts, names, strict=True)
    )


def combination_folder(matrix: dict[str, str]) -> str:
    """A folder's name for a combination, such as `arch-arm64,variant-full`; different ones never get the same."""
    name = ",".join(f"{quote(key, safe='+._~')}-{quote(value, safe='+._=~')}" for key, value in matrix.items())
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > _MAX_FOLDER:
        name = f"{name[:_MAX_FOLDER]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return name


def exported_name(artifact: ArtifactInfo) -> str:
    """What an artifact is called in the folder."""
    return artifact.name + _SUFFIXES[artifact.format]


def _export_all(artifacts: Sequence[ArtifactInfo], store: Store, folder: str, epoch: int) -> dict[str, dict[str, str]]:
    """Returns the digests of each copy, by its name."""
    sums: dict[bytes, str] = {}
    digests: dict[str, dict[str, str]] = {}
    for artifact in artifacts:
        _require_plain(artifact)
        name = exported_name(artifact)
        with _stored(store, artifact) as source, _appearing(folder, name) as temporary:
            if artifact.format == "directory":
                sums.update(unpack_folder(artifact, source, temporary))
                digests[name] = folder_digests(temporary)
            elif artifact.format == "squashfs":
                sums[os.fsencode(name)] = squashfs(artifact, source, temporary, epoch)
            elif artifact.format == "tar":
                sums[os.fsencode(name)] = copy_plain(artifact, source, temporary)
            else:
                sums[os.fsencode(name)] = copy_compressed(artifact, source, temporary)
        if artifact.format != "directory":
            digests[name] = {"sha256": sums[os.fsencode(name)]}
    with _appearing(folder, SUMS) as temporary, open(temporary, "xb") as file:
        file.writelines(sums_lines(sums, artifacts))
    return digests


def sums_lines(sums: dict[bytes, str], artifacts: Sequence[ArtifactInfo]) -> list[bytes]:
    """The lines of SHA256SUMS: names as sha256sum escapes them, sorted; then each archive's own digest as a comment."""
    lines = []
    for name in sorted(sums):
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        lines.append((b"\\" if escaped != name else b"") + sums[name].encode() + b"  " + escaped + b"\n")
    for artifact in sorted(artifacts, key=lambda item: item.name):
        lines.append(f"# sha256 of the uncompressed archive of {artifact.name}: {artifact.digest}\n".encode())
    return lines


def _require_plain(artifact: ArtifactInfo) -> None:
    """A record is a file like others: a name in it must not lead out of the folder."""
    if artifact.format not in _SUFFIXES or artifact.name.startswith(".") or not artifact.name.isprintable():
        raise Broken(f"the record has an artifact that cannot be copied: {artifact.name!r} ({artifact.format})")
    if "/" in artifact.name or not artifact.name or artifact.name == SUMS:
        raise Broken(f"the record has an artifact whose name is no file name: {artifact.name!r}")


@contextlib.contextmanager
def _stored(store: Store, artifact: ArtifactInfo) -> Iterator[int]:
    """The stored archive's descriptor; what goes wrong in it is damage, whatever found it."""
    path = artifact_path(store, artifact.digest)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Broken(
            f"the artifact {artifact.name} is not in the store: {path}", hint="build again: its step then runs again"
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _appearing(folder: str, name: str) -> Iterator[str]:
    """A temporary path that becomes folder/name when the block ends well, in place of a file or folder there."""
    temporary = f"{folder}/.{name}.{os.urandom(4).hex()}"
    old = f"{temporary}.old"
    try:
        yield temporary
        if os.path.isdir(temporary) and os.path.lexists(f"{folder}/{name}"):
            os.rename(f"{folder}/{name}", old)
        os.rename(temporary, f"{folder}/{name}")
    except IsADirectoryError as error:
        raise Rejected(f"{folder}/{name} is a directory", hint="move it away, or choose another folder") from error
    finally:
        for path in (temporary, old):
            if os.path.lexists(path):
                _remove(path)


def _remove(path: str) -> None:
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(fd, os.path.basename(path))
    finally:
        os.close(fd)
