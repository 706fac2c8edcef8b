"""A download that is in the store afterwards, whether or not it was before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from contractor.build.context import StepContext
from contractor.core.errors import Unavailable

_LARGEST = 16 << 30  # bytes of one download


@contextlib.contextmanager
def fetched_blob(context: StepContext, url: str, sha256: str) -> Iterator[BinaryIO]:
    """The bytes with this digest, from the store or else from the URL."""
    blobs = context.store.blobs
    if blobs.has(sha256):
        context.say(f"in the store already: sha256:{sha256}")
    elif context.options.offline:
        raise Unavailable(
            f"the build runs offline, and {url} (sha256:{sha256}) is not in the store",
            hint="build once with the network, or import a capsule that has it",
        )
    else:
        from contractor.network.download import download  # ssl: only when something must be fetched

        context.say(f"fetching {url}")
        with blobs.writer() as writer:
            limit = min(_LARGEST, context.limits.disk)
            proxy = context.options.upstream_proxy
            tick = context.options.tick or (lambda: None)

            def write(data: bytes) -> None:
                tick()
                writer.write(data)

            done = download(url, write, sha256=sha256, limit=limit, upstream=proxy, on_restart=writer.restart)
            context.fetched(done)
            writer.commit(sha256)
    with blobs.open(sha256) as blob:
        yield blob
