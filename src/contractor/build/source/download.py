"""A download that is in the store afterwards, whether or not it was before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from contractor.build.context import StepContext
from contractor.build.options import Options
from contractor.core.errors import Unavailable
from contractor.core.fetch import Fetch
from contractor.store.layout import Store

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
        context.say(f"fetching {url}")
        context.fetched(download_blob(context.store, url, sha256, context.limits.disk, context.options))
    with blobs.open(sha256) as blob:
        yield blob


def download_blob(store: Store, url: str, sha256: str, limit: int, options: Options) -> Fetch:
    """Fetch a URL into the store's blobs. limit: bytes. Rejected: it has another digest."""
    from contractor.network.download import download  # ssl: only when something must be fetched

    with store.blobs.writer() as writer:
        tick = options.tick or (lambda: None)

        def write(data: bytes) -> None:
            tick()
            writer.write(data)

        done = download(
            url,
            write,
            sha256=sha256,
            limit=min(_LARGEST, limit),
            upstream=options.upstream_proxy,
            on_restart=writer.restart,
        )
        writer.commit(sha256)
    return done
