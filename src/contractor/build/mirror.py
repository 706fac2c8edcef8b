"""Package managers and their mirrors: what holds them to a lock, and what it means when one fails."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator

from contractor.build.context import StepContext
from contractor.build.lock.replay import apt_files
from contractor.build.network import Replay
from contractor.core.errors import Broken, Failed, Unavailable
from contractor.core.fetch import Fetch
from contractor.sandbox.spec import Mount

_EXPIRED = re.compile(rb"Release file for (\S+) is expired \(invalid since ([^)]*)\)")
_EARLY = re.compile(rb"Release file for (\S+) is not valid yet")
_KEY = re.compile(rb"EXPKEYSIG \S+ ([^\n]*?)(?: EXPKEYSIG|\n|$)")
_DEB = re.compile(r"/([a-z0-9][a-z0-9+.-]+)_([^_/]+)_[a-z0-9-]+\.deb\Z")
_UPDATE = "`contractor lock --update` takes what the mirrors have now"


def held_files(context: StepContext) -> tuple[Mount, ...]:
    """The files that hold the step's apt to its lock; nothing without one."""
    files = apt_files(context.replay, context.plan.held.get(context.action.key))
    return tuple(Mount("file", path, data=data, mode=0o444) for path, data in files.items())


def require_held(context: StepContext, packages: Collection[str]) -> None:
    """Broken when what is installed is not what the lock names. packages: all of the tree's, name:arch=version."""
    held = context.plan.held.get(context.action.key)
    if held is None or held.opened:
        return
    wrong = sorted({*held.packages} - {*packages})
    if wrong:
        raise Broken(
            f"the step {context.action.step.name!r} did not install what the lock names",
            details=tuple(f"not there: {text}" for text in wrong[:20]),
            hint=_UPDATE,
        )


@contextlib.contextmanager
def explain_mirror_trouble(context: StepContext) -> Iterator[None]:
    """Turn a failed command into what its requests say: a mirror that is down, in the middle of a sync, or refused."""
    try:
        yield
    except Failed as error:
        replay = context.replay
        raise (_of_lock(error, context, replay) if replay is not None else _of_mirror(error, context)) from error


def _of_lock(error: Failed, context: StepContext, replay: Replay) -> Failed | Broken | Unavailable:
    """The same for a step whose answers are known."""
    changed = [fetch for fetch in context.fetches if "has other bytes" in fetch.reason]
    if changed:
        return Broken(
            f"{error.message}: the mirror has other bytes under a name that {replay.source} has",
            details=tuple(f"{fetch.url}: {fetch.reason}" for fetch in changed[:5]),
            hint=f"import a capsule from a machine that has them; or {_UPDATE}",
        )
    answered = replay.answers
    missing = [fetch for fetch in context.fetches if fetch.verdict == "allowed" and fetch.status in (404, 410)]
    gone = [fetch for fetch in missing if fetch.url in answered and answered[fetch.url].status == 200]
    if gone:
        return Broken(
            f"{error.message}: {replay.source} names what the mirror does not have any more",
            details=tuple(f"{fetch.url}: {fetch.status}" for fetch in gone[:5]),
            hint=f"import a capsule from a machine that has it; or {_UPDATE}",
        )
    lacking = [f for f in context.fetches if f.verdict == "refused" and "which is not in the store" in f.reason]
    if lacking:
        return Unavailable(
            f"{error.message}: what {replay.source} names is not all in the store",
            details=tuple(f"{fetch.url}: {fetch.reason}" for fetch in lacking[:5]),
            hint="build with the network (without --offline), or import a capsule that has it",
        )
    if replay.asks == "indexes" and (details := tuple(_moved_on(context.fetches, replay))):
        return Broken(
            f"{error.message}: the mirror has moved on, and this store has not the index files of {replay.source}",
            details=details[:20],
            hint=f"import a capsule from a machine that has them; or {_UPDATE}",
        )
    unknown = [fetch for fetch in context.fetches if "has no answer for it" in fetch.reason]
    if unknown:
        return Broken(
            f"{error.message}: it asks for what {replay.source} has no answer for",
            details=tuple(fetch.url for fetch in unknown[:5]),
            hint=_UPDATE,
        )
    return _of_mirror(error, context)


def _moved_on(fetches: list[Fetch], replay: Replay) -> Iterator[str]:
    """The packages that the mirror has in another version."""
    locked = {match[1]: match[2] for url in replay.answers if (match := _DEB.search(url))}
    for fetch in fetches:
        match = _DEB.search(fetch.url)
        if match and fetch.verdict == "refused":
            was = locked.get(match[1])
            yield f"{match[1]} {match[2]}, and {was or 'no version of it'} in {replay.source}"


def _of_mirror(error: Failed, context: StepContext) -> Failed | Broken:
    hosts = ", ".join(context.action.hosts)
    refused = [fetch for fetch in context.fetches if fetch.verdict == "refused"]
    failed = [fetch for fetch in context.fetches if fetch.verdict == "failed" or fetch.status >= 500]
    if refused and not any(fetch.verdict == "allowed" for fetch in context.fetches):
        return Broken(
            f"{error.message}: it asked for {refused[0].url}, which is not one of its mirrors ({hosts})",
            hint="the system tree names another mirror than the one it was made from",
        )
    tail = _tail(context)
    if match := _EXPIRED.search(tail):
        return Broken(
            f"{error.message}: the mirror's Release file has expired ({_text(match[2]).removeprefix('since ')} ago)",
            details=(_text(match[1]), "nobody vouches for it any more: it may be an old state, without newer packages"),
            hint=f"is {hosts} kept up, and this machine's clock right? What was locked in time still builds",
        )
    if match := _EARLY.search(tail):
        return Broken(
            f"{error.message}: {_text(match[1])} is from the future",
            hint="this machine's clock is wrong: `date` says what it is",
        )
    if match := _KEY.search(tail):
        return Broken(
            f"{error.message}: the key that signed the archive has expired: {_text(match[1])}",
            hint="the archive needs a newer key: update debian-archive-keyring here, or take a newer suite",
        )
    if failed:
        return Broken(
            f"{error.message}: the mirror did not answer as it should",
            details=tuple(f"{fetch.url}: {fetch.reason or fetch.status}" for fetch in failed[:5]),
            hint=f"is {hosts} up? Building again continues here; or name another `mirror`",
        )
    gone = [fetch for fetch in context.fetches if fetch.status == 404 and "/pool/" in fetch.url]
    sync = (b"Hash Sum mismatch", b"File has unexpected size", b"mirror sync in progress")
    if gone or any(word in tail for word in sync):
        return Broken(
            f"{error.message}: the mirror is in the middle of a sync (its index and its files differ)",
            details=tuple(fetch.url for fetch in gone[:5]),
            hint="wait some minutes and build again: it continues here; or name another `mirror`",
        )
    return error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _tail(context: StepContext) -> bytes:
    """The end of the log, since the step began."""
    with contextlib.suppress(OSError), open(f"{context.store.path('builds', context.build)}/log", "rb") as log:
        log.seek(max(0, context.log.size - (64 << 10)))
        return log.read()
    return b""
