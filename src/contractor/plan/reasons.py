"""Why each action will run, or will not: the plan's inputs compared with those of earlier builds. Pure.

An action is compared with the nearest earlier run of its step: that of the newest build in which it finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contractor.core.values import Value
from contractor.plan.causes import Explanation, PlanPair
from contractor.plan.model import Plan
from contractor.plan.words import sentence

FINISHED = ("succeeded", "cached")


class Earlier(Value, frozen=True):
    """A build of the same name. outcomes: of its plan's actions, in their order."""

    build: str
    plan: Plan
    outcomes: tuple[str, ...]
    started: float = 0.0


class Decision(Value, frozen=True):
    """runs: whether the action runs; cause: the position of the step that is why, -1 when it is found."""

    runs: bool
    reason: str
    cause: int = -1


class Run(NamedTuple):
    """A step in an earlier build: its position in that build's plan, and its outcome there."""

    earlier: Earlier
    position: int
    outcome: str


class History:
    """A plan and the builds before it, newest first; they are only asked for when they are needed."""

    def __init__(self, plan: Plan, earlier: Iterable[Earlier]) -> None:
        self.plan = plan
        self._rest = iter(earlier)
        self._known: list[Earlier] = []
        self._pairs: dict[str, PlanPair] = {}

    def _builds(self) -> Iterable[Earlier]:
        yield from self._known
        for build in self._rest:
            self._known.append(build)
            yield build

    def _pair(self, build: Earlier) -> PlanPair:
        if build.build not in self._pairs:
            self._pairs[build.build] = PlanPair(self.plan, build.plan)
        return self._pairs[build.build]

    def same_key(self, position: int) -> Run | None:
        """The newest build that had this very action before it."""
        key = self.plan.actions[position].key
        for build in self._builds():
            for old, action in enumerate(build.plan.actions):
                if action.key == key:
                    return Run(build, old, _outcome(build, old))
        return None

    def nearest(self, position: int) -> Run | None:
        """The newest build in which the action's step finished, else the newest that has it at all."""
        found = None
        for build in self._builds():
            old = self._pair(build).to_old[position]
            if old < 0:
                continue
            run = Run(build, old, _outcome(build, old))
            if run.outcome in FINISHED:
                return run
            found = found or run
        return found

    def explain(self, position: int, run: Run) -> Explanation:
        """How the action differs from its nearest run."""
        return self._pair(run.earlier).explain(position)


def decide(plan: Plan, made_by: Mapping[str, str], earlier: Iterable[Earlier]) -> tuple[Decision, ...]:
    """made_by: the build that made the result, by key, for each action that has one. earlier: newest first."""
    history = History(plan, earlier)
    return tuple(
        Decision(runs=False, reason=f"made by {made_by[action.key]}")
        if action.key in made_by
        else why_runs(history, position)
        for position, action in enumerate(plan.actions)
    )


def reason(plan: Plan, index: int, earlier: Iterable[Earlier]) -> str:
    """Why one action, which has no result, runs: a line. earlier: newest first; no more than needed are taken."""
    return why_runs(History(plan, earlier), index).reason


def why_runs(history: History, position: int) -> Decision:
    """The decision about an action that has no result."""
    same = history.same_key(position)
    if same is not None:
        said = "its result is no longer in the store" if same.outcome in FINISHED else _unfinished(same.outcome)
        return Decision(runs=True, reason=f"{said} ({same.earlier.build})", cause=position)
    run = history.nearest(position)
    if run is None:
        return Decision(runs=True, reason="never ran", cause=position)
    found = history.explain(position, run)
    return Decision(runs=True, reason=sentence(found), cause=_first(found, position))


def _first(found: Explanation, position: int) -> int:
    """The position where the change began; the action's own when that is in no step of this plan."""
    if found.changes:
        return position
    causes = [cause for chained in found.chained for cause in chained.causes if cause.number and not cause.base]
    return min((cause.number - 1 for cause in causes), default=position)


def _outcome(build: Earlier, position: int) -> str:
    return build.outcomes[position] if position < len(build.outcomes) else "not run"


def _unfinished(outcome: str) -> str:
    if outcome == "not run":
        return "was not reached last time"
    return "was interrupted last time" if outcome in ("running", "aborted") else f"{outcome} last time"
