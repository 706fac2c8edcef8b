"""The steps of two builds compared: inputs, packages, requests, times. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.plan.align import Known, align, inverse, moved
from contractor.plan.causes import Explanation, PlanPair
from contractor.plan.model import Plan
from contractor.plan.reasons import FINISHED
from contractor.store.records import Record, StepRecord


class Side(NamedTuple):
    """A build. plan: None when it cannot be read, for the reason in why_not."""

    record: Record
    plan: Plan | None
    why_not: str = ""


class StepDiff(Value, frozen=True):
    """A step that one or both have. a, b: its number in each, from 1; 0 where it is not.

    how: same; changed (by itself, or its base did); follows (only from other steps); added; removed.
    """

    a: int
    b: int
    name: str
    action: str
    how: str
    moved: bool = False
    outcome_a: str = ""
    outcome_b: str = ""
    explanation: Explanation = Explanation()


class PackageChange(Value, frozen=True):
    """A package of a system tree; None where it is not installed."""

    name: str
    a: str | None
    b: str | None


class StepPackages(Value, frozen=True):
    """What is installed after a step, where it differs. earlier: so many of these differed after a step before it."""

    a: int
    b: int
    name: str
    changes: tuple[PackageChange, ...]
    earlier: int = 0


class FetchChange(Value, frozen=True):
    """A request. how: added, removed, changed; what: each thing that differs in a changed one, (a, b)."""

    method: str
    url: str
    how: str
    what: dict[str, tuple[Any, Any]] = {}


class Timing(Value, frozen=True):
    """Seconds; None where the step did not run in that build. a, b: the numbers, 0 for the whole build (name "")."""

    a: int
    b: int
    name: str
    seconds_a: float | None
    seconds_b: float | None

    @property
    def factor(self) -> float | None:
        return self.seconds_b / self.seconds_a if self.seconds_a and self.seconds_b is not None else None


def steps(a: Side, b: Side) -> tuple[StepDiff, ...]:
    """All steps, in the order of b; those that only a has come where they were."""
    pair = PlanPair(b.plan, a.plan) if a.plan is not None and b.plan is not None else None
    olds, news = a.record.steps, b.record.steps
    if pair is not None and (len(pair.to_old), len(pair.to_new)) == (len(news), len(olds)):
        to_old, away = pair.to_old, pair.moved
    else:  # records alone
        pair, to_old = None, align(_known(news), _known(olds))
        away = moved(to_old)
    found = [
        (float(position), _step(position, old, (olds, news), pair, position in away))
        for position, old in enumerate(to_old)
    ]
    before = -1
    for old, position in enumerate(inverse(to_old, len(olds))):
        before = max(before, position)
        if position < 0:
            gone = StepDiff(old + 1, 0, olds[old].name, olds[old].action, "removed", outcome_a=olds[old].outcome)
            found.append((before + 0.5, gone))
    return tuple(step for _place, step in sorted(found, key=lambda item: item[0]))


def _step(
    position: int,
    old: int,
    both: tuple[Sequence[StepRecord], Sequence[StepRecord]],
    pair: PlanPair | None,
    away: bool,
) -> StepDiff:
    olds, news = both
    step = news[position]
    if old < 0:
        return StepDiff(0, position + 1, step.name, step.action, "added", outcome_b=step.outcome)
    explanation = pair.explain(position) if pair is not None else Explanation()
    how = "same"
    if step.key != olds[old].key:
        based = any(cause.base for chained in explanation.chained for cause in chained.causes)
        how = "changed" if explanation.changes or based or pair is None else "follows"
    return StepDiff(
        old + 1, position + 1, step.name, step.action, how, away, olds[old].outcome, step.outcome, explanation
    )


def _known(found: Sequence[StepRecord]) -> list[Known]:
    return [Known(step.key, step.name, step.action) for step in found]


def packages(a: Side, b: Side, found: Iterable[StepDiff]) -> tuple[StepPackages, ...]:
    """Steps that both have and finished, and after which other packages are installed."""
    told: set[PackageChange] = set()
    made = []
    for step in found:
        if not (step.a and step.b):
            continue
        old, new = a.record.steps[step.a - 1], b.record.steps[step.b - 1]
        if old.outcome not in FINISHED or new.outcome not in FINISHED:
            continue
        olds, news = _versions(old.packages), _versions(new.packages)
        names = sorted({*olds, *news})
        changes = [PackageChange(name, olds.get(name), news.get(name)) for name in names]
        changes = [change for change in changes if change.a != change.b]
        if changes:
            made.append(StepPackages(step.a, step.b, step.name, tuple(changes), len(told.intersection(changes))))
            told.update(changes)
    return tuple(made)


def _versions(items: Iterable[str]) -> dict[str, str]:
    return {name: version for name, _equals, version in (item.partition("=") for item in items)}


def fetches(a: Side, b: Side, found: Iterable[StepDiff]) -> tuple[FetchChange, ...]:
    """Requests by method and URL; of repeated ones the last that was allowed.

    A step that one build has and did not reach says nothing, so it is left out in both.
    """
    told = [step for step in found if "not run" not in (step.outcome_a, step.outcome_b)]
    olds = _requests(a.record.steps[step.a - 1] for step in told if step.a)
    news = _requests(b.record.steps[step.b - 1] for step in told if step.b)
    made = []
    for method, url in sorted({*olds, *news}):
        old, new = olds.get((method, url)), news.get((method, url))
        if old is None or new is None:
            made.append(FetchChange(method, url, "added" if old is None else "removed"))
            continue
        pairs = {name: (getattr(old, name), getattr(new, name)) for name in ("verdict", "status", "size", "sha256")}
        what = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if what:
            made.append(FetchChange(method, url, "changed", what))
    return tuple(made)


def _requests(steps: Iterable[StepRecord]) -> dict[tuple[str, str], Fetch]:
    found: dict[tuple[str, str], Fetch] = {}
    for step in steps:
        for fetch in step.fetches:
            known = found.get((fetch.method, fetch.url))
            if known is None or fetch.verdict == "allowed" or known.verdict != "allowed":
                found[fetch.method, fetch.url] = fetch
    return found


def timings(a: Side, b: Side, found: Iterable[StepDiff]) -> tuple[Timing, ...]:
    """The whole builds, then the steps that ran in one of them or in both."""
    whole = [side.record.seconds if side.record.finished else None for side in (a, b)]
    made = [Timing(0, 0, "", whole[0], whole[1])]
    for step in found:
        old = _seconds(a.record.steps[step.a - 1]) if step.a else None
        new = _seconds(b.record.steps[step.b - 1]) if step.b else None
        if old is not None or new is not None:
            made.append(Timing(step.a, step.b, step.name, old, new))
    return tuple(made)


def _seconds(step: StepRecord) -> float | None:
    return None if step.outcome in ("cached", "not run") else step.seconds
