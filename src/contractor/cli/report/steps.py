"""The steps of a report: outcome, place in the picture, facts, what they ran, their logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from contractor.cli.logs.parts import Part, part_of
from contractor.cli.report import facts, logs, waterfall
from contractor.cli.report.model import Fact, LogView, StepView
from contractor.core.errors import Broken, Rejected
from contractor.plan.model import Action, Plan
from contractor.spec.model import Shell
from contractor.store.layout import Store
from contractor.store.progress import RUNNING
from contractor.store.records import Record, Records, StepRecord

DONE = ("succeeded", "cached", "not run", RUNNING)
_KINDS = {
    "succeeded": "good",
    "cached": "cached",
    "not run": "idle",
    RUNNING: "running",
    "out-of-limits": "limit",
    "unavailable": "limit",
    "broken": "broken",
    "aborted": "stopped",
    "died": "stopped",
}


def kind_of(outcome: str) -> str:
    """The class of colour of an outcome; what is not known is as bad as a failure."""
    return _KINDS.get(outcome, "bad")


class Clock(NamedTuple):
    """started, latest: of the build, the second while it runs. cached: when a step was found to be done, by index."""

    started: float
    latest: float
    cached: dict[int, float]


def deciding(record: Record) -> int:
    """The index of the step that decided the outcome; -1 when none did."""
    return next((index for index, step in enumerate(record.steps) if step.outcome not in DONE), -1)


def views(
    record: Record, plan: Plan | None, store: Store, clock: Clock, *, full: bool
) -> tuple[tuple[StepView, ...], tuple[waterfall.Tick, ...]]:
    """The steps, and the axis of their picture. full: the logs whole, whatever their size."""
    times = [_time(step, index, clock) for index, step in enumerate(record.steps)]
    total = waterfall.longest([at + seconds for at, seconds in times], record.seconds)
    decisive = deciding(record)
    shown = _logs(record, store, decisive, full=full)
    before: tuple[str, ...] = ()
    made = []
    for index, (step, (at, seconds), log) in enumerate(zip(record.steps, times, shown, strict=True)):
        action = _action(plan, index, step)
        ran = step.outcome not in ("cached", "not run")
        made.append(
            StepView(
                number=index + 1,
                name=step.name,
                action=step.action,
                outcome=step.outcome,
                kind=kind_of(step.outcome),
                seconds=seconds,
                at=at,
                bar=waterfall.bar(at, seconds, total) if step.outcome != "not run" else None,
                facts=facts.of_step(step, action, 0.0 if ran else _took(step, store)),
                script=_script(action),
                env=tuple(Fact(*item) for item in action.env.items()) if action is not None else (),
                packages=tuple(sorted(set(step.packages) - set(before))),
                in_tree=len(step.packages),
                message=step.message,
                tainted=step.tainted,
                log=log,
                open=index == decisive or step.outcome == RUNNING,
            )
        )
        before = step.packages or before
    return tuple(made), waterfall.ticks(total)


def _time(step: StepRecord, index: int, clock: Clock) -> tuple[float, float]:
    """Seconds after the build's start, and how long: 0 for what was only looked up."""
    if step.outcome == "cached":
        return max(0.0, clock.cached.get(index, clock.started) - clock.started), 0.0
    if not step.started:
        return 0.0, 0.0
    seconds = clock.latest - step.started if step.outcome == RUNNING else step.seconds
    return max(0.0, step.started - clock.started), max(0.0, seconds)


def _action(plan: Plan | None, index: int, step: StepRecord) -> Action | None:
    """The step's action, where the plan is there and is this build's."""
    if plan is None or index >= len(plan.actions):
        return None
    action = plan.actions[index]
    return action if (action.step.name, action.kind) == (step.name, step.action) else None


def _script(action: Action | None) -> tuple[str, ...]:
    if action is None or not isinstance(action.step.action, Shell):
        return ()
    return tuple(action.step.action.script.removesuffix("\n").split("\n"))


def _took(step: StepRecord, store: Store) -> float:
    """How long a cached step took where it ran."""
    if not step.made_by:
        return 0.0
    try:
        record = Records(store).read(step.made_by)
    except (Rejected, Broken):
        return 0.0
    return next((found.seconds for found in record.steps if found.key == step.key and not found.made_by), 0.0)


def _logs(record: Record, store: Store, decisive: int, *, full: bool) -> list[LogView]:
    """Each step's log, cut to what a page can hold."""
    parts = [_part(record, index, store) for index in range(len(record.steps))]
    sizes = [part.end - part.start if isinstance(part, Part) else 0 for part in parts]
    most = [logs.DECISIVE if index == decisive else logs.STEP for index in range(len(parts))]
    rooms = sizes if full else logs.shares(sizes, logs.TOTAL, most)
    lines = sum(sizes) + 1 if full else max(8, logs.LINES // max(1, sum(map(bool, sizes))))
    return [_view(record, index, parts[index], (rooms[index], lines)) for index in range(len(parts))]


def _part(record: Record, index: int, store: Store) -> Part | str:
    """Where the log is, or why it is nowhere."""
    if record.steps[index].outcome == "not run":
        return ""
    try:
        found = part_of(record, index, store)
    except Rejected as error:
        return error.message
    return found if os.path.exists(found.path) else "its log is gone from the store"


def _view(record: Record, index: int, part: Part | str, most: tuple[int, int]) -> LogView:
    """most: bytes and lines."""
    if isinstance(part, str):
        return LogView(part)
    if part.end <= part.start:
        return LogView("It wrote nothing.")
    try:
        shown = logs.cut(part.path, part.start, part.end, *most)
    except OSError as error:
        return LogView(f"its log cannot be read: {error.strerror}")
    if not shown.size:
        return LogView("its log is gone from the store: the file is shorter than the record says")
    return LogView("", f"contractor log {record.id} --step {index + 1}", shown)


def excerpt(steps: Sequence[StepView], index: int) -> logs.Block | None:
    """The last lines of a step's log."""
    shown = steps[index].log.shown if index >= 0 else None
    return logs.excerpt(shown) if shown is not None else None
