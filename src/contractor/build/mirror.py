"""A package manager that failed: was it the request, or the mirror? Then it is the operator's turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from contractor.build.context import StepContext
from contractor.core.errors import Broken, Failed


@contextlib.contextmanager
def explain_mirror_trouble(context: StepContext) -> Iterator[None]:
    """Turn a failed command into what its requests say: a mirror that is down, in the middle of a sync, or refused."""
    try:
        yield
    except Failed as error:
        hosts = ", ".join(context.action.hosts)
        refused = [fetch for fetch in context.fetches if fetch.verdict == "refused"]
        failed = [fetch for fetch in context.fetches if fetch.verdict == "failed" or fetch.status >= 500]
        if refused and not any(fetch.verdict == "allowed" for fetch in context.fetches):
            raise Broken(
                f"{error.message}: it asked for {refused[0].url}, which is not one of its mirrors ({hosts})",
                hint="the system tree names another mirror than the one it was made from",
            ) from error
        if failed:
            raise Broken(
                f"{error.message}: the mirror did not answer as it should",
                details=tuple(f"{fetch.url}: {fetch.reason or fetch.status}" for fetch in failed[:5]),
                hint=f"is {hosts} up? Building again continues here; or name another `mirror`",
            ) from error
        gone = [fetch for fetch in context.fetches if fetch.status == 404 and "/pool/" in fetch.url]
        if gone or _mentions(context, b"Hash Sum mismatch", b"File has unexpected size", b"mirror sync in progress"):
            raise Broken(
                f"{error.message}: the mirror is in the middle of a sync (its index and its files differ)",
                details=tuple(fetch.url for fetch in gone[:5]),
                hint="wait some minutes and build again: it continues here; or name another `mirror`",
            ) from error
        raise


def _mentions(context: StepContext, *words: bytes) -> bool:
    with contextlib.suppress(OSError), open(f"{context.store.path('builds', context.build)}/log", "rb") as log:
        log.seek(max(0, context.log.size - (64 << 10)))
        tail = log.read()
        return any(word in tail for word in words)
    return False
