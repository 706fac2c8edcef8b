"""One artifact out of the store in one format, its archive's digest verified on the way; see exporting.py."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator

from contractor.core.digest import CHUNK
from contractor.core.errors import Broken, Rejected
from contractor.core.events import ArtifactInfo
from contractor.store.compress import Read, open_zstd
from contractor.store.unpack import UnpackOptions, unpack

_MAX_FILES = 10_000_000
_SQUASHFS_TIME = 3600.0  # seconds


def _create(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Checked:
    """Reads an artifact's uncompressed archive and hashes it; `finish` raises Broken when it is not what it must be."""

    def __init__(self, artifact: ArtifactInfo, fd: int) -> None:
        self._artifact = artifact
        self._read: Read = open_zstd(fd)
        self._sha = hashlib.sha256()

    def read(self, count: int) -> bytes:
        try:
            data = self._read(count)
        except Rejected as error:
            raise self._damaged(error.message) from error
        self._sha.update(data)
        return data

    def finish(self) -> None:
        while self.read(CHUNK):
            pass
        if self._sha.hexdigest() != self._artifact.digest:
            raise self._damaged(f"its content has the digest {self._sha.hexdigest()}")

    def _damaged(self, why: str) -> Broken:
        return Broken(
            f"the artifact {self._artifact.name} is damaged in the store",
            details=(why, f"expected {self._artifact.digest}"),
            hint=f"`contractor artifacts verify {self._artifact.digest}` sets it aside; then build again",
        )


def _pump(read: Callable[[int], bytes], fd: int) -> str:
    sha = hashlib.sha256()
    while data := read(CHUNK):
        sha.update(data)
        _write(fd, data)
    return sha.hexdigest()


def copy_compressed(artifact: ArtifactInfo, source: int, temporary: str) -> str:
    """The stored bytes as they are; what was written is read again, decompressed and compared."""
    fd = _create(temporary)
    try:
        sha256 = _pump(lambda count: os.read(source, count), fd)
        os.lseek(fd, 0, os.SEEK_SET)
        _Checked(artifact, fd).finish()
    finally:
        os.close(fd)
    return sha256


def copy_plain(artifact: ArtifactInfo, source: int, temporary: str) -> str:
    checked = _Checked(artifact, source)
    fd = _create(temporary)
    try:
        sha256 = _pump(checked.read, fd)
        checked.finish()
    finally:
        os.close(fd)
    return sha256


def unpack_folder(artifact: ArtifactInfo, source: int, temporary: str) -> dict[bytes, str]:
    """As the caller, links inside only. Returns the sums of the files, by their path from the export's folder."""
    checked = _Checked(artifact, source)
    os.mkdir(temporary)
    root = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        options = UnpackOptions(max_bytes=max(artifact.size, CHUNK), max_files=_MAX_FILES)
        try:
            unpack(checked.read, root, options)
        except Rejected as error:
            checked.finish()  # damage is another matter than an archive that is as its build made it
            hint = f"`contractor artifacts get` gives it as it is if {artifact.name} has `format: tar.zst`"
            raise Rejected(
                f"the artifact {artifact.name} cannot be unpacked", details=(error.message,), hint=hint
            ) from error
        checked.finish()
        return dict(_sums_below(root, os.fsencode(artifact.name)))
    finally:
        os.close(root)


def _sums_below(root: int, name: bytes) -> Iterator[tuple[bytes, str]]:
    for folder, _folders, files, fd in os.fwalk(b".", follow_symlinks=False, dir_fd=root):
        for file in files:
            try:
                number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except OSError as error:
                if error.errno == errno.ELOOP:  # a link: what it names has its own line
                    continue
                raise
            with open(number, "rb") as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            yield os.path.normpath(b"/".join((name, folder, file))), sha256


def squashfs(artifact: ArtifactInfo, source: int, temporary: str, epoch: int) -> str:
    """By the host's mksquashfs, from the archive: deterministic, every time the epoch.

    Owners and attributes are the archive's: root's alone, but for a system tree, which would be wrong without its own.
    """
    from contractor.sandbox import process

    tool = process.require_tool("mksquashfs", "squashfs-tools")
    archive = f"{temporary}.tar"
    try:
        copy_plain(artifact, source, archive)
        done = process.run(squashfs_argv(tool, archive, temporary, epoch), timeout=_SQUASHFS_TIME)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(archive)
    if done.code:
        lines = done.output.decode(errors="replace").splitlines()[-5:]
        raise Broken(f"mksquashfs failed with exit code {done.code}", details=tuple(lines))
    with open(temporary, "rb") as made:
        return hashlib.file_digest(made, "sha256").hexdigest()


def squashfs_argv(tool: str, archive: str, image: str, epoch: int) -> list[str]:
    """mksquashfs reads an archive on its standard input, which a shell gives it; no path is part of the script."""
    root = "-root-mode 0755 -root-uid 0 -root-gid 0"
    options = f"-tar {root} -all-time {epoch} -mkfs-time {epoch} -noappend -no-progress"
    return ["/bin/sh", "-c", f'exec "$0" - "$1" {options} -quiet < "$2"', tool, os.path.abspath(image), archive]
