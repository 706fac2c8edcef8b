"""A folder as source: what git tracks and what it does not ignore, else everything; named by its archive's digest.

The archive (owners 0:0, every time the epoch) goes into the store, so that what was built can be built again. A
signature of all files' stat results saves reading an unchanged folder again; files as young as the clock's grain are
not trusted to be unchanged.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from contractor.build.context import StepContext
from contractor.build.source.git import SAFE
from contractor.core import digest as digests
from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.sandbox import process
from contractor.store.layout import Store
from contractor.store.results import artifact_path

_GRAIN = 50_000_000  # ns: what is younger than this may yet change without a new time


class _Known(Value, frozen=True):
    signature: str
    digest: str


class Source:
    """A folder's files at one moment: relative paths as bytes, sorted."""

    def __init__(self, path: str, store: Store, leave: tuple[str, ...]) -> None:
        self.path = path
        self._store = store
        self.files, self.git = list_files(path, store, leave)
        self.newest, self._signature, self._young = self._look()

    def _look(self) -> tuple[int, str, bool]:
        newest, latest = 0, 0
        base = os.fsencode(self.path)
        lines = []
        here = []
        for name in self.files:
            try:
                found = os.lstat(os.path.join(base, name))
            except FileNotFoundError:
                continue  # tracked, but deleted in the folder: so it is not part of the source
            here.append(name)
            newest = max(newest, int(found.st_mtime))
            latest = max(latest, found.st_ctime_ns)
            lines.append((name, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
        self.files = here
        signature = digests.of_bytes(msgspec.msgpack.encode(lines))
        return newest, signature, latest > time.time_ns() - _GRAIN

    def digest(self, epoch: int) -> str:
        """The digest of its archive, made (and stored) unless it is known that nothing changed."""
        cache = self._store.path("sources", digests.of_bytes(os.fsencode(f"{self.path}\0{epoch}")))
        with contextlib.suppress(OSError, msgspec.DecodeError):
            with open(cache, "rb") as file:
                known = msgspec.json.decode(file.read(), type=_Known)
            if known.signature == self._signature and os.path.exists(artifact_path(self._store, known.digest)):
                return known.digest
        digest = self._pack(epoch)
        if not self._young:
            temporary = f"{cache}.{os.getpid()}"
            with open(temporary, "wb") as file:
                file.write(msgspec.json.encode(_Known(self._signature, digest)))
            os.rename(temporary, cache)
        return digest

    def _pack(self, epoch: int) -> str:
        from contractor.store.compress import ZstdSink
        from contractor.store.pack import PackOptions, pack

        temporary = self._store.path("blobs", f".source-{os.getpid()}-{time.monotonic_ns()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with ZstdSink(fd, 1) as sink:
                options = PackOptions(mtime_limit=epoch, fixed_mtime=epoch, only_executable=True)
                done = pack(root, self.files, options, sink)
            final = artifact_path(self._store, done.digest)
            os.makedirs(os.path.dirname(final), 0o700, exist_ok=True)
            os.rename(temporary, final)
        except BaseException as error:
            os.unlink(temporary)
            if isinstance(error, Rejected):
                raise _unreadable(self.path, error.message) from error
            raise
        finally:
            os.close(fd)
            os.close(root)
        return done.digest


def list_files(path: str, store: Store, leave: tuple[str, ...]) -> tuple[list[bytes], bool]:
    """What belongs to the source in a folder: relative paths, sorted, and whether git said so.

    Some may not exist: git tracks them, and they were deleted. Rejected: there is no such folder, or it is unreadable.
    """
    if not os.path.isdir(path):
        raise Rejected(f"the source {path} is no folder", hint="`source: {path: ...}` names a folder")
    tracked = _tracked(path) if _in_git(path) else None
    part = is_part(path, store, leave)
    try:
        names = tracked if tracked is not None else _walk(os.fsencode(path), part)
        return sorted(filter(part, names)), tracked is not None
    except OSError as error:
        raise _unreadable(path, f"{os.fsdecode(error.filename)}: {error.strerror}") from error


def _tracked(path: str) -> list[bytes] | None:
    """What git tracks or does not ignore below a folder; None when there is no git, or it is of no use here."""
    git = process.which("git")
    if git is None:
        return None
    argv = [git, "-C", path, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    done = process.run(argv, env=SAFE)
    return done.output.split(b"\0")[:-1] if done.code == 0 else None


def is_part(path: str, store: Store, leave: tuple[str, ...]) -> Callable[[bytes], bool]:
    """Whether a path below a source's folder may belong to it: not when it is in the store, or below one of `leave`."""
    bases = {os.fsencode(folder) for folder in (path, os.path.realpath(path))}
    left = [os.fsencode(folder) for folder in (*leave, store.root, os.path.realpath(store.root))]
    return lambda name: not any(_below(os.path.join(base, name), left) for base in bases)


def _unreadable(path: str, why: str) -> Rejected:
    return Rejected(f"the source {path}: {why}", hint="make it readable, or have git ignore it")


def _in_git(path: str) -> bool:
    here = os.path.abspath(path)
    while True:
        if os.path.exists(f"{here}/.git"):
            return True
        parent = os.path.dirname(here)
        if parent == here:
            return False
        here = parent


def _walk(base: bytes, part: Callable[[bytes], bool]) -> Iterator[bytes]:
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(base, folder) if folder else base) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != b".git" and part(name):  # the store may hold what nobody may read
                        waiting.append(name)
                        yield name
                else:
                    yield name


def _below(path: bytes, folders: list[bytes]) -> bool:
    return any(path == folder or path.startswith(folder + b"/") for folder in folders)


def read_source(folder: str, path: str, store: Store, leave: tuple[str, ...]) -> Source:
    """folder: where the specification is. leave: absolute paths that are no part of the source; the store never is."""
    return Source(os.path.abspath(os.path.join(folder, path)), store, leave)


@contextlib.contextmanager
def source_blob(context: StepContext, digest: str) -> Iterator[BinaryIO]:
    """The source's archive, as it was when the plan was made."""
    path = artifact_path(context.store, digest)
    try:
        blob = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError as error:
        raise Rejected("the source's archive is gone from the store", hint="build again: it is read anew") from error
    with blob:
        yield blob
