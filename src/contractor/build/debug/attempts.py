"""A step of a build again, from its snapshot: the stored plan, the workspace and the tree as they were before it.

Each attempt is a build of its own, with record and log, in which only that step runs. What it makes is compared with
what the attempts before it made, and kept for nobody: were it kept, the luck of one attempt would be every later
build's truth, and the states after the step, which are deltas on its own, would no longer fit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from contractor.build.context import StepContext
from contractor.build.debug.verdict import Attempt, attempt_of
from contractor.build.executor import execute
from contractor.build.facts import custom_path
from contractor.build.options import Emit, Made, Options
from contractor.build.source.git import is_remote
from contractor.build.steer import Steering
from contractor.core import digest
from contractor.core.errors import Outcome, Rejected
from contractor.plan.model import Action, Plan
from contractor.sandbox.local import LocalSandbox
from contractor.spec import model
from contractor.spec.actions import ACTIONS
from contractor.store.layout import Store, in_use
from contractor.store.missing import missing
from contractor.store.records import RETRY, Record
from contractor.store.results import Results, artifact_path

_SHOWN = 3  # paths that differ between two attempts


class Retry(NamedTuple):
    """A step of a build: what is attempted."""

    record: Record
    plan: Plan
    step: int

    @property
    def action(self) -> Action:
        return self.plan.actions[self.step]


class Tried(NamedTuple):
    """An attempt, its record, and where what it left differs from the first that succeeded."""

    attempt: Attempt
    record: Record
    different: tuple[bytes, ...] = ()


class Content:
    """What the attempts left, compared with the first of them: only digests are remembered."""

    def __init__(self) -> None:
        self.last = ""  # of the attempt that runs; empty: it has not succeeded
        self.different: tuple[bytes, ...] = ()
        self._first: dict[bytes, bytes] | None = None
        self._began = 0

    def begin(self) -> None:
        """An attempt is about to run."""
        self.last, self.different = "", ()
        self._began = int(time.time())

    def look(self, context: StepContext, made: Made) -> None:
        """The step has succeeded, and what it left is still there."""
        began = time.monotonic()
        action = context.action
        latest = min(context.plan.epoch, self._began)  # an epoch may be in the future
        parts = [made.artifact.digest if made.artifact is not None else ""]
        paths: dict[bytes, bytes] = {}
        for place in ("workspace", "tree"):
            if place in ACTIONS[action.kind].writes:
                layer = f"{context.place.folder}/layer-{action.key}" if place == "tree" else None
                found = context.place.call("digests", {"layer": layer, "latest": latest})
                parts.append(found["digest"])
                paths.update(found["paths"])
        self.last = digest.of_value(parts)
        if self._first is None:
            self._first = paths
        names = (path for path in {*self._first, *paths} if self._first.get(path) != paths.get(path))
        self.different = tuple(sorted(names)[: _SHOWN + 1])
        context.paused += time.monotonic() - began  # is no time of the step


def own_attempt(retry: Retry) -> Attempt | None:
    """The build's own attempt at the step, where it ran there to its end."""
    step = retry.record.steps[retry.step]
    own = step.outcome not in ("cached", "not run", "running") and not step.tainted
    return attempt_of(retry.record.id, step) if own else None


def attempts(
    retry: Retry, times: int, store: Store, sandbox: LocalSandbox, emit: Emit, options: Options
) -> Iterator[Tried]:
    """At most so many; the last one is aborted when somebody stopped it. To be used while `protected` holds."""
    content = Content()
    steering = Steering(
        anew=(retry.step,),
        last=retry.step,
        needed=frozenset([retry.step]),
        trial=content.look,
        words=(RETRY, retry.record.id),
    )
    for _ in range(times):
        content.begin()
        record = execute(retry.plan, store, sandbox, emit, options._replace(steering=steering))
        attempt = attempt_of(record.id, record.steps[retry.step], content.last)
        if record.outcome == Outcome.ABORTED or attempt.outcome == "not run":
            attempt = _of_build(record, attempt)
        yield Tried(attempt, record, content.different)
        if record.outcome == Outcome.ABORTED:
            return


def _of_build(record: Record, attempt: Attempt) -> Attempt:
    """What ended before the step began: the build's own end."""
    return Attempt(record.id, record.outcome, message=record.message, seconds=attempt.seconds)


@contextmanager
def protected(retry: Retry, store: Store, sandbox: LocalSandbox, folder: str) -> Iterator[None]:
    """See that all that the step reads is there, and have gc leave it alone until the end of the block.

    Rejected: something is gone; it says what, and how to go on.
    """
    action = retry.action
    session = f"retry-{os.getpid()}-{os.urandom(4).hex()}"
    with in_use(store, session):
        with store.using():
            if gone := _gone(retry, store, sandbox, folder):
                raise Rejected(
                    f"step {retry.step + 1}, {action.step.name!r}, of {retry.record.id} cannot be run again: {gone}",
                    hint=_way_out(retry),
                )
            with open(store.path("work", session, "uses"), "w", encoding="ascii") as file:
                file.write("\n".join(key for key in (action.before, action.artifact, *action.layers) if key))
        yield


def _gone(retry: Retry, store: Store, sandbox: LocalSandbox, folder: str) -> str:
    """Words for the first thing that is not there any more of what the step reads."""
    action = retry.action
    reads = ("workspace" in ACTIONS[action.kind].reads or "workspace" in ACTIONS[action.kind].writes) and action.after
    if gone := missing(store, sandbox.ids, action.layers, action.before if reads else ""):
        return gone
    if action.artifact and not model.base_of(action.step.action):  # a base is made when it is not there
        result = Results(store, sandbox.ids).read(action.artifact)
        named = result.artifact.digest if result is not None and result.artifact is not None else action.artifact
        if not os.path.exists(artifact_path(store, named)):
            return f"the artifact sha256:{named[:16]} is gone"
    match action.step.action:
        case model.Source(path=path) if path and not os.path.exists(artifact_path(store, action.inputs["source"])):
            return f"the source sha256:{action.inputs['source'][:16]} is gone from the store"
        case model.Source(git=git) if git and not is_remote(git) and not os.path.exists(os.path.join(folder, git)):
            return f"the repository {git} is not in {os.path.abspath(folder)}"
        case model.Custom(name=name):
            return _custom_gone(folder, name, action.inputs["executable"])
    return ""


def _custom_gone(folder: str, name: str, executable: str) -> str:
    path = custom_path(os.path.abspath(folder), name)
    try:
        same = digest.of_bytes(path.read_bytes()) == executable
    except OSError as error:
        return f"the custom action {path}: {error.strerror}"
    return "" if same else f"the custom action {path} is not as it was"


def _way_out(retry: Retry) -> str:
    """How to go on when something is gone."""
    if isinstance(retry.action.step.action, model.Custom | model.Source):
        return "the attempts read it where the specification is: run this in the folder where the build was run"
    if retry.record.parent:
        return (
            f"a base keeps no states between its steps: `contractor build {retry.record.spec}` makes it as a build "
            "of its own, whose steps can be run again"
        )
    return "build again: what is missing is made anew, and the step can be run again after it"


def original(read: Sequence[str]) -> str:
    """The build that a record's `asked` says it is an attempt at; empty when it is none."""
    return read[1] if len(read) == 2 and read[0] == RETRY else ""
