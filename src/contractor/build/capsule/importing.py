"""Unpack a capsule: its project into a folder, everything else into the store; verified before any of it is used.

What comes is written to temporary files; only when the last byte of the capsule was right do they get their names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple

from contractor.build.capsule.layout import Item, Manifest, Reader
from contractor.build.source import git_archive
from contractor.core.errors import ContractorError, Rejected, from_os_error
from contractor.store import lock_roots, space
from contractor.store.compress import ZstdSink
from contractor.store.landing import Landing, Obstacle
from contractor.store.layout import Store
from contractor.store.results import artifact_path
from contractor.store.unpack import UnpackOptions, unpack

_MOST_FILES = 5_000_000


class Imported(NamedTuple):
    """folder: of the project; spec: its specification. sha256: of the capsule. added: bytes that the store had not."""

    manifest: Manifest
    folder: str
    spec: str
    sha256: str
    added: int


def import_capsule(path: str, folder: str, store: Store) -> Imported:
    """folder: new, or empty; "" for one with the project's name. Rejected: the capsule is not whole, or the folder will
    not do. Nothing has changed then."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}", hint="name the capsule's file") from error
    with file, ExitStack() as stack:
        reader = Reader(file, os.path.basename(path))
        target = stack.enter_context(_Folder(folder or reader.manifest.name, reader.manifest))
        stage = stack.enter_context(_Stage(store))
        size = reader.manifest.size
        space.require(store, size + space.FLOOR, f"the capsule has {size >> 20} MiB")
        archives: list[tuple[Item, str]] = []
        for item in reader.manifest.items:
            if item.kind == "project":
                target.file(item, reader.pieces(item))
            elif item.kind == "sources":
                archives.append((item, stage.plain(reader.pieces(item))))
            else:
                stage.add(item, reader.pieces(item))
        sha256 = reader.finish()
        for item, temporary in sorted(archives, key=lambda pair: -_depth(pair[0].path)):  # the outer ones set times
            target.archive(item, temporary)
        added = stage.commit()
        target.commit()
    spec = os.path.join(target.path, reader.manifest.spec)
    lock_roots.remember(store, os.path.abspath(f"{os.path.splitext(spec)[0]}.lock"), stage.digests)
    return Imported(reader.manifest, target.path, spec, sha256, added)


def _depth(path: str) -> int:
    return 0 if path == "." else path.count("/") + 1


class _Stage:
    """What comes into the store, under temporary names that gc knows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: list[str] = []
        self._wanted: list[tuple[Item, str, str]] = []  # temporary path, digest
        self.digests: set[str] = set()

    def __enter__(self) -> _Stage:
        os.makedirs(self._store.path("captured", "tmp"), 0o700, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        for path in self._made:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def plain(self, pieces: Iterator[bytes]) -> str:
        """Bytes as they are, in a file of their own, whose path is returned."""
        with self._temporary() as file:
            for piece in pieces:
                file.write(piece)
            return str(file.name)

    def add(self, item: Item, pieces: Iterator[bytes]) -> None:
        """Something of the store's; an archive is compressed, as the store keeps it."""
        if item.kind != "git":
            self._wanted.append((item, self.plain(pieces), item.digest))
            return
        with self._temporary() as file, ZstdSink(file.fileno()) as sink:
            for piece in pieces:
                sink(piece)
        self._wanted.append((item, str(file.name), item.digest))

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[BinaryIO]:
        path = self._store.path("captured", "tmp", f"import-{os.urandom(12).hex()}")
        self._made.append(path)
        try:
            with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise from_os_error(error) from error

    def commit(self) -> int:
        """Give everything its name; returns how many bytes the store did not have."""
        added = 0
        for item, temporary, digest in self._wanted:
            self.digests.add(digest)
            final = self._place(item)
            if not os.path.exists(final):
                added += os.path.getsize(temporary)
            os.makedirs(os.path.dirname(final), 0o700, exist_ok=True)
            os.rename(temporary, final)  # also over what is there: that may be damaged, this is not
            if item.kind == "git":
                git_archive.remember(self._store, item.name, digest)
        return added

    def _place(self, item: Item) -> str:
        if item.kind == "captured":
            return self._store.captured.path(item.digest)
        return (
            artifact_path(self._store, item.digest) if item.kind == "git" else str(self._store.blobs.path(item.digest))
        )


class _Folder:
    """The project's folder: filled below a temporary name in it, which nothing leads out of."""

    def __init__(self, path: str, manifest: Manifest) -> None:
        self.path = path
        self._new = False
        self._done = False
        self._part = f".import-{os.urandom(6).hex()}"
        self._sources = any(item.kind == "sources" for item in manifest.items)

    def __enter__(self) -> _Folder:
        try:
            self._new = not os.path.isdir(self.path)
            os.makedirs(self.path, exist_ok=True)
            if os.listdir(self.path):
                raise Rejected(f"the folder {self.path} is not empty", hint="name a new one: capsule import FILE DIR")
            if self._sources and (above := _checkout_above(self.path)):
                raise Rejected(
                    f"the folder {self.path} is inside the git checkout {above}",
                    details=("the capsule's sources would be read as that repository's files",),
                    hint="name a folder outside of it: capsule import FILE DIR",
                )
            os.mkdir(os.path.join(self.path, self._part), 0o755)
            self._root = os.open(os.path.join(self.path, self._part), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except BaseException as error:
            if self._new:
                with contextlib.suppress(OSError):
                    os.rmdir(self.path)
            if isinstance(error, OSError):
                raise Rejected(f"the folder {self.path} cannot be made: {error.strerror}") from error
            raise
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._root)
        if not self._done:
            from contractor.store.remove import remove_tree

            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                remove_tree(fd, self._part)
            finally:
                os.close(fd)
            if self._new:
                with contextlib.suppress(OSError):
                    os.rmdir(self.path)

    def file(self, item: Item, pieces: Iterator[bytes]) -> None:
        with _explained(item), Landing(self._root) as landing:
            fd = landing.file(tuple(item.name.encode().split(b"/")))
            with open(fd, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                os.fchmod(fd, 0o755 if item.executable else 0o644)

    def archive(self, item: Item, temporary: str) -> None:
        options = UnpackOptions(max_bytes=item.size, max_files=_MOST_FILES, links="any")
        parts = () if item.path == "." else tuple(item.path.encode().split(b"/"))
        with _explained(item), Landing(self._root) as landing, open(temporary, "rb") as file:
            unpack(file.read, landing.enter(parts), options)

    def commit(self) -> None:
        part = os.path.join(self.path, self._part)
        for name in sorted(os.listdir(part)):
            os.rename(os.path.join(part, name), os.path.join(self.path, name))
        os.rmdir(part)
        self._done = True


@contextlib.contextmanager
def _explained(item: Item) -> Iterator[None]:
    try:
        yield
    except Obstacle as error:
        raise Rejected(f"the capsule is refused: {item.path or item.name}: {error}") from error
    except ContractorError:
        raise
    except OSError as error:
        raise from_os_error(error) from error


def _checkout_above(path: str) -> str:
    here = os.path.abspath(path)
    while not os.path.exists(os.path.join(here, ".git")):
        if os.path.dirname(here) == here:
            return ""
        here = os.path.dirname(here)
    return here
