"""Images as layers: unpacked once by our own rules, found by the sha256 of the image's bytes ever after; and trees of
the host as archives, which are unpacked like them.

images/<mark>    the sha256 of an image file; mark: of its device, inode, size and times, so that it is read once
layers/...       the layer, whose result (kind `image`) names it: without one it does not exist
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from contractor.core import digest
from contractor.core.errors import Broken, ContractorError, Rejected
from contractor.store.layout import Store, locked
from contractor.store.results import Result, Results

if TYPE_CHECKING:
    from contractor.build.place import Place

_FORMAT = 1  # of what unpacking makes of the same bytes
_REMEMBERED = 90 * 86400.0  # seconds that a mark stays
_PATIENCE = 600.0  # seconds to wait for another build that unpacks the same image


class Image:
    """An image file, opened. Use it as a context manager.

    Rejected: it is not there, or no regular file.
    """

    def __init__(self, path: str, store: Store) -> None:
        self._store = store
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise Rejected(
                f"the image cannot be opened: {error.strerror}", hint="call ensurepresent for it first"
            ) from error
        self._stat = os.fstat(self.fd)
        if not os.path.isfile(f"/proc/self/fd/{self.fd}"):
            os.close(self.fd)
            raise Rejected("the image is no regular file")
        self.size = self._stat.st_size

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.fd)

    def digest(self) -> str:
        """The sha256 of its bytes, remembered as long as the file does not change."""
        path = self._store.path("images", self._mark())
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            known = file.read(65).strip()
            if digest.is_digest(known):
                return known
        sha = hashlib.sha256()
        offset = 0
        while data := os.pread(self.fd, 1 << 20, offset):
            sha.update(data)
            offset += len(data)
        self.require_unchanged()
        self._remember(path, sha.hexdigest())
        return sha.hexdigest()

    def require_unchanged(self) -> None:
        now = os.fstat(self.fd)
        if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != self._times():
            raise Broken("the image changed while it was read", hint="files of the cache must not be written to")

    def _times(self) -> tuple[int, int, int]:
        return self._stat.st_size, self._stat.st_mtime_ns, self._stat.st_ctime_ns

    def _mark(self) -> str:
        return digest.of_value([self._stat.st_dev, self._stat.st_ino, *self._times()])

    def _remember(self, path: str, sha256: str) -> None:
        folder = os.path.dirname(path)
        with contextlib.suppress(OSError):
            os.makedirs(folder, 0o700, exist_ok=True)
            temporary = f"{folder}/.{os.getpid()}"
            with open(temporary, "w", encoding="ascii") as file:
                file.write(sha256)
            os.rename(temporary, path)
            for entry in os.scandir(folder):
                if entry.stat().st_mtime < time.time() - _REMEMBERED:
                    os.unlink(entry.path)


def layer_key(sha256: str) -> str:
    """What the layer of an image is called."""
    return digest.of_value({"image": sha256, "format": _FORMAT})


def layer_of(image: Image, place: Place, store: Store, results: Results, build: str) -> tuple[str, bool]:
    """The key of an image's layer, and whether it had to be unpacked. Rejected: the image is not what it should be."""
    sha256 = image.digest()
    key = layer_key(sha256)
    _use(place, store, key)
    if results.find(key) is not None:
        return key, False
    with locked(store.path("locks", f"image-{key[:16]}"), what="another build to unpack this image", wait=_PATIENCE):
        if results.find(key) is not None:
            return key, False
        began = time.monotonic()
        layer = store.layer(place.sandbox.ids, key)
        os.makedirs(os.path.dirname(layer), 0o700, exist_ok=True)
        os.lseek(image.fd, 0, os.SEEK_SET)
        place.call("unpack-image", {"layer": layer}, [image.fd])
        image.require_unchanged()
        results.add(
            Result(
                key=key,
                kind="image",
                name=f"image sha256:{sha256[:16]}",
                build=build,
                finished=time.time(),
                seconds=time.monotonic() - began,
                inputs={"image": sha256, "format": _FORMAT},
                layer=True,
            )
        )
    return key, True


def _use(place: Place, store: Store, key: str) -> None:
    """Have gc leave it as long as this build runs."""
    with store.using(), open(f"{os.path.dirname(place.folder)}/uses", "a", encoding="ascii") as file:
        file.write(f"{key}\n")


@contextlib.contextmanager
def archive_of(tree: int, folder: str, tick: Callable[[], None]) -> Iterator[IO[bytes]]:
    """A tree of the host (its descriptor) as an archive, in a file of the folder without a name: no devices, and
    nothing of what is mounted below it. Rejected: it cannot be read. Broken: it changes, or the disk is full.
    """
    import tempfile

    from contractor.store.pack import PackOptions, pack
    from contractor.store.walk import walk

    with tempfile.TemporaryFile(dir=folder) as file:

        def put(data: bytes) -> None:
            tick()
            file.write(data)

        try:
            with contextlib.closing(walk(tree, None, one_mount=True)) as found:
                paths = [entry.path for entry in found]
            pack(tree, paths, PackOptions(mtime_limit=int(time.time()), owners=True), put)
            file.flush()
        except ContractorError as error:
            if isinstance(error.__cause__, PermissionError):
                raise unreadable(error.message) from error
            raise
        except OSError as error:
            raise Broken(f"the tree cannot be archived: {error.strerror}", hint="free some space") from error
        file.seek(0)
        yield file


def unreadable(message: str) -> Rejected:
    return Rejected(message, hint="run the daemon as root, or have in-target leave a tree that its user can read")
