"""The worker: one process, one build. Job on standard input, events to one descriptor, the log to another.

It dies with the daemon, and with it everything that it started. SIGTERM asks it to abort: it ends what runs, cleans up
and says ABORTED.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.buildd.log import Log
from contractor.buildd.model import BuildStatus, Event, Job, Outcome
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from types import FrameType

    from contractor.buildd.target.target import Target

_JOB_MAX = 256 << 20  # bytes


def main() -> None:
    """Read the job, do it, and tell how it ended."""
    job = msgspec.json.decode(_input(), type=Job)
    for fd in (job.log, job.events):
        os.set_inheritable(fd, False)
    log = Log(job.log)
    try:
        outcome = _outcome(job, log)
    except Exception as error:  # whatever it is, the daemon is told that this builder could not do it
        outcome = _explained(log, error)
    finally:
        _close(log)
    _send(job.events, Event(ended=outcome))


def _outcome(job: Job, log: Log) -> Outcome:
    from contractor.buildd import pipeline
    from contractor.buildd.arguments import typed
    from contractor.buildd.target.target import Target

    def on_extra(extra: dict[str, Any]) -> None:
        _send(job.events, Event(extra=extra))

    def on_step(name: str) -> None:
        _send(job.events, Event(step=name))

    target = Target(job, log, typed(job.tag, job.arguments), on_extra)
    _listen(target)
    return pipeline.run(target, on_step)


def _listen(target: Target) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        target.abort()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, it is meant for the daemon
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the daemon starts workers with it blocked


def _explained(log: Log, error: Exception) -> Outcome:
    from contractor.buildd.pipeline import say

    say(log, error)
    return Outcome(BuildStatus.BUILDERFAIL)


def _close(log: Log) -> None:
    try:
        log.close()
    except OSError as error:
        sys.stderr.write(f"the log cannot be written: {error.strerror}\n")


def _send(fd: int, event: Event) -> None:
    data = msgspec.json.encode(event) + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def _input() -> bytes:
    parts = []
    while data := os.read(0, 1 << 20):
        parts.append(data)
        if sum(map(len, parts)) > _JOB_MAX:
            raise Rejected(f"a job of more than {_JOB_MAX} bytes")
    return b"".join(parts)


if __name__ == "__main__":
    from contractor.sandbox.syscalls import PR_SET_PDEATHSIG, prctl

    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    main()
