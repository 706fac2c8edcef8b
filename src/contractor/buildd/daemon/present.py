"""ensurepresent: a file fetched into the cache, checked by its name, while everything else goes on.

The body is hashed and written in a thread, in large pieces; the file gets its name when it is whole, right and synced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from contractor import __version__
from contractor.buildd.daemon.cache import Cache

if TYPE_CHECKING:
    import aiohttp

NO_URL, CACHED, DOWNLOADED = "No URL", "Cache", "Download"
MISMATCH = "Digests did not match, removing again!"
ERROR = "Error accessing Librarian: "

_PIECE = 1 << 20
_CONNECT, _SILENCE, _WHOLE = 30.0, 60.0, 2 * 3600.0  # seconds
_REDIRECTS = 10


class Wanted(NamedTuple):
    """A file, and where from; what is in it never reaches a log. name: a name of the cache."""

    name: str
    url: str
    username: str
    password: str


class Fetcher:
    """Fetches files into a cache; several at once, and each once, however many ask for it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, wanted: Wanted) -> str:
        """The info of ensurepresent's answer; whether the file is there now is the cache's to say."""
        lock = self._locks.get(wanted.name)
        if lock is None:
            lock = self._locks[wanted.name] = asyncio.Lock()
        async with lock:
            self._cache.use([wanted.name])
            if self._cache.has(wanted.name):
                return CACHED
            return await self._download(wanted)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _download(self, wanted: Wanted) -> str:
        import aiohttp

        arriving = Arriving(self._cache, wanted.name)
        try:
            async with self._answer(wanted) as pieces:
                await asyncio.to_thread(arriving.open)
                while piece := await pieces.readexactly_or_rest():
                    await asyncio.to_thread(arriving.add, piece)
            return DOWNLOADED if await asyncio.to_thread(arriving.finish) else MISMATCH
        except TimeoutError:
            return f"{ERROR}{_host(wanted.url)} did not answer or went silent"
        except (aiohttp.ClientError, ValueError) as error:
            return ERROR + _words(error, wanted)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return ERROR + ("the disk of the file cache is full" if full else _words(error, wanted))
        finally:
            arriving.discard()

    @contextlib.asynccontextmanager
    async def _answer(self, wanted: Wanted) -> AsyncIterator[_Pieces]:
        """The body of a 200, after redirects. The credentials go with the first request, and to no other host."""
        import aiohttp

        if self._session is None:
            limits = aiohttp.ClientTimeout(total=_WHOLE, sock_connect=_CONNECT, sock_read=_SILENCE)
            headers = {"User-Agent": f"contractor/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
            self._session = aiohttp.ClientSession(
                timeout=limits, headers=headers, auto_decompress=False, trust_env=False, read_bufsize=2 * _PIECE,
                cookie_jar=aiohttp.DummyCookieJar(),
            )  # fmt: skip
        if urlsplit(wanted.url).scheme not in ("http", "https"):
            raise ValueError("the URL is not http or https")
        auth = None
        if wanted.username or wanted.password:
            auth = aiohttp.BasicAuth(wanted.username, wanted.password, "utf-8")
        async with self._session.get(wanted.url, auth=auth, max_redirects=_REDIRECTS) as response:
            if response.status != 200:
                raise ValueError(f"HTTP Error {response.status}: {response.reason}")
            yield _Pieces(response.content)


class _Pieces:
    """A body in large pieces: a thread for each small one would cost more than the work."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def readexactly_or_rest(self) -> bytes:
        try:
            return await self._content.readexactly(_PIECE)
        except asyncio.IncompleteReadError as error:
            return error.partial


class Arriving:
    """A file of the cache that is not whole yet: hidden, until `finish` gives it its name. Not for the event loop."""

    def __init__(self, cache: Cache, name: str) -> None:
        self._path = cache.path(name)
        self._name = name
        self._temporary = os.path.join(cache.folder, f".{os.urandom(8).hex()}.tmp")
        self._hash = hashlib.sha256() if len(name) == 64 else hashlib.sha1(usedforsecurity=False)
        self._fd = -1
        self._busy = threading.Lock()  # a download that is given up may have a thread at work

    def open(self) -> None:
        self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def add(self, data: bytes) -> None:
        with self._busy:
            self._hash.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

    def finish(self) -> bool:
        """Whether it is what its name says; then it is there, and durable."""
        with self._busy:
            if self._hash.hexdigest() != self._name:
                return False
            os.fsync(self._fd)
            os.rename(self._temporary, self._path)
            return True

    def discard(self) -> None:
        """Whatever has no name by now goes."""
        with self._busy:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


def _host(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(url).hostname or "the server"
    return "the server"


def _words(error: Exception, wanted: Wanted) -> str:
    """What went wrong, in a line, without the credentials."""
    text = " ".join((str(error) or type(error).__name__).split())[:300]
    if wanted.url and wanted.url in text:
        text = text.replace(wanted.url, "the URL")
    if wanted.password:
        text = text.replace(wanted.password, "***")
    from contractor.buildd.sanitize import clean

    return clean(text.encode(errors="replace")).decode(errors="replace")
