"""Both state machines, pure: what the builder does, and how a build ends.

A transition takes what is and returns what will be, or raises Refused and changes nothing. Whoever performs them makes
the new value durable before anybody is told of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from contractor.buildd.model import BuilderState, BuildStatus, Outcome
from contractor.core.errors import Rejected
from contractor.core.values import Value

_S = BuilderState
_E = BuildStatus

# What is legal, and where it leads; all else is refused.
BUILDER: dict[tuple[BuilderState, str], BuilderState] = {
    (_S.IDLE, "build"): _S.BUILDING,
    (_S.BUILDING, "ended"): _S.WAITING,
    (_S.BUILDING, "abort"): _S.ABORTING,
    (_S.ABORTING, "abort"): _S.ABORTING,
    (_S.ABORTING, "failed to abort"): _S.ABORTING,
    (_S.ABORTING, "ended"): _S.WAITING,
    (_S.WAITING, "clean"): _S.IDLE,
}
# How a build that had one status has it later: its first failure stays, and only the builder's own goes above it.
# Collecting results and cleaning up can fail what was OK; an abort ends all but the builder's own failure.
BUILD: dict[tuple[BuildStatus | None, BuildStatus], BuildStatus] = {
    **{(None, new): new for new in _E},
    **{(_E.OK, new): new for new in _E},
    **{(old, new): old for old in _E if old is not _E.OK for new in _E},
    **{(old, _E.ABORTED): _E.ABORTED for old in _E if old is not _E.BUILDERFAIL},
}


class Refused(Rejected):
    """A call that this state does not take."""


class Current(Value, frozen=True):
    """What the builder is doing, with everything that must survive it.

    inputs: names in the cache that the build uses. placed: names that the worker put there. status, outcome: how the
    build ended, so far. extra: the extra status. proxy: what proxy_info() answers, None for builds that have none.
    """

    state: BuilderState = BuilderState.IDLE
    build_id: str = ""
    tag: str = ""
    inputs: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()
    status: BuildStatus | None = None
    outcome: Outcome | None = None
    extra: dict[str, Any] = {}
    proxy: dict[str, Any] | None = None

    def results(self) -> set[str]:
        """The names in the cache that are this build's own, and go with it."""
        files = set(self.outcome.files.values()) if self.outcome else set()
        return (files | set(self.placed) | set(_of_jobs(self.extra))) - set(self.inputs)


def _of_jobs(extra: dict[str, Any]) -> Iterator[str]:
    """The files of `ci` jobs: in the extra status, and nowhere else."""
    jobs = extra.get("jobs")
    for job in jobs.values() if isinstance(jobs, dict) else ():
        if isinstance(job, dict):
            output = job.get("output")
            names = [job.get("log"), job.get("properties"), *(output.values() if isinstance(output, dict) else ())]
            yield from (name for name in names if isinstance(name, str))


def _moved(current: Current, call: str) -> BuilderState:
    state = BUILDER.get((current.state, call))
    if state is None:
        raise Refused(f"{call}() is not possible while the builder is {current.state.value}")
    return state


def later(status: BuildStatus | None, new: BuildStatus) -> BuildStatus:
    """A build's status, after something more was said about it."""
    return BUILD[status, new]


def require_idle(current: Current) -> None:
    """Refused unless a build may begin."""
    _moved(current, "build")


def begin(
    current: Current, build_id: str, tag: str, inputs: tuple[str, ...], proxy: dict[str, Any] | None = None
) -> Current:
    """A build has been taken."""
    return Current(state=_moved(current, "build"), build_id=build_id, tag=tag, inputs=inputs, proxy=proxy)


def abort(current: Current) -> Current:
    return msgspec.structs.replace(current, state=_moved(current, "abort"))


def failed_to_abort(current: Current) -> Current:
    """The time for an abort is over."""
    return msgspec.structs.replace(
        current, state=_moved(current, "failed to abort"), status=later(current.status, BuildStatus.BUILDERFAIL)
    )


def told(current: Current, extra: dict[str, Any]) -> Current:
    """The extra status of a running build, from its worker."""
    if current.state not in (BuilderState.BUILDING, BuilderState.ABORTING):
        raise Refused("no build is running")
    return msgspec.structs.replace(current, extra=extra)


def ended(current: Current, outcome: Outcome | None, placed: Iterable[str] = ()) -> Current:
    """The worker is gone. outcome: what it said at its end, None if it did not. placed: what it put into the cache."""
    state = _moved(current, "ended")
    if current.state is BuilderState.ABORTING:
        said = outcome.status if outcome else BuildStatus.ABORTED
        status = later(later(current.status, said), BuildStatus.ABORTED)
    else:
        status = later(current.status, outcome.status if outcome else BuildStatus.BUILDERFAIL)
    shown = outcome if outcome and outcome.status is status else Outcome(status)
    all_placed = sorted({*placed, *(outcome.files.values() if outcome else ())})
    return msgspec.structs.replace(current, state=state, status=status, outcome=shown, placed=tuple(all_placed))


def clean(current: Current) -> Current:
    """The results are named until they are gone: `cleaned` says so."""
    return Current(state=_moved(current, "clean"), placed=tuple(sorted(current.results())))


def cleaned(current: Current) -> Current:
    """What an idle builder had to remove is gone."""
    return msgspec.structs.replace(current, placed=())


def after_restart(current: Current, placed: Iterable[str] = ()) -> Current:
    """What is true when the daemon begins: no worker outlives it, so a build that was running is no more."""
    if current.state in (BuilderState.BUILDING, BuilderState.ABORTING):
        return ended(current, None, placed)
    return current


def status(current: Current) -> dict[str, Any]:
    """What status() says, but for the log's tail and the version."""
    said: dict[str, Any] = {} if current.state is BuilderState.IDLE else dict(current.extra)
    said["builder_status"] = current.state.wire
    if current.state is not BuilderState.IDLE:
        said["build_id"] = current.build_id
    if current.state is BuilderState.WAITING:
        assert current.outcome is not None
        said["build_status"] = current.outcome.status.wire
        if current.outcome.status.has_files:
            said["filemap"] = dict(current.outcome.files)
            said["dependencies"] = current.outcome.dependencies
    return said
