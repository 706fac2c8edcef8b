"""A build of the store -> the values of its report. The same build and options give the same values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from contractor.build.compare.history import plan_of
from contractor.cli.commands.list import DIED, state_of
from contractor.cli.console.summary import HEADLINES, TURNS
from contractor.cli.report import facts, steps
from contractor.cli.report.differences import to_last_good
from contractor.cli.report.model import (
    BaseView,
    Fact,
    Failure,
    Fetches,
    FetchView,
    NoticeView,
    Page,
    StepView,
)
from contractor.cli.text import clean_lines, duration, human_size
from contractor.core.errors import Broken, Outcome, Rejected
from contractor.core.events import AnyEvent, Notice, ShellFinished, StepCached, StepFetched
from contractor.core.fetch import Fetch
from contractor.core.words import count
from contractor.plan.model import Plan
from contractor.store.layout import Store
from contractor.store.progress import RUNNING, EventReader, so_far
from contractor.store.records import Record, Records

_MOST_FETCHES = 2000  # rows of a page; the record has all
_TURN_DIED = "It was killed, or the machine went down; finished steps are kept"


def page(store: Store, build: str, *, full: bool) -> Page:
    """The report of a build by its id; full: logs whole. Rejected when there is no such build."""
    records = Records(store)
    record = records.read(build)
    state = state_of(record, store)
    if state != record.outcome and state != DIED:  # it ended between two looks
        record = records.read(build)
    events = EventReader(records.folder(build)).new()
    record = _with_fetches(so_far(records, record), events)
    if state == DIED:
        record = _died(record)
    latest = max([record.started, *(event.at for event in events), _written(records, build)])
    if not record.finished:
        record = msgspec.structs.replace(record, seconds=latest - record.started)
    cached = {event.step: event.at for event in events if isinstance(event, StepCached) and event.build == build}
    clock = steps.Clock(record.started, latest, cached)
    plan = _plan(records, build)
    views, ticks = steps.views(record, plan, store, clock, full=full)
    fetches = _fetches(record)
    return Page(
        build=record.id,
        name=record.name,
        matrix=tuple(Fact(*item) for item in record.matrix.items()),
        outcome=state,
        kind=steps.kind_of(state),
        headline=_headline(record, state),
        summary=tuple(_summary(record, fetches)),
        started=record.started,
        seconds=record.seconds,
        parent=record.parent,
        tainted=record.tainted,
        failure=_failure(record, state, views),
        notices=tuple(_notices(record, events)),
        steps=views,
        ticks=ticks,
        left_out=plan.skipped if plan is not None else (),
        bases=tuple(_bases(record, records)),
        comparison=to_last_good(record, store),
        artifacts=record.artifacts,
        fetches=fetches,
        environment=facts.environment(record),
    )


def _written(records: Records, build: str) -> float:
    """When something last came from a step: output is no stored event."""
    try:
        found = os.stat(f"{records.folder(build)}/log")
    except FileNotFoundError:
        return 0.0
    return found.st_mtime if found.st_size else 0.0


def _plan(records: Records, build: str) -> Plan | None:
    try:
        return plan_of(records, build)
    except (Rejected, Broken):  # not written yet, or by another version
        return None


def _with_fetches(record: Record, events: Sequence[AnyEvent]) -> Record:
    """A running build's fetches are in its events only."""
    if record.outcome != RUNNING:
        return record
    found: dict[int, list[Fetch]] = {}
    for event in events:
        if isinstance(event, StepFetched) and event.build == record.id:
            names = ("method", "url", "verdict", "status", "size", "sha256", "reason", "at")
            fetch = Fetch(**{name: getattr(event, name) for name in names})
            found.setdefault(event.step, []).append(fetch)
    changed = [
        msgspec.structs.replace(step, fetches=step.fetches or tuple(found.get(index, ())))
        for index, step in enumerate(record.steps)
    ]
    return msgspec.structs.replace(record, steps=tuple(changed))


def _died(record: Record) -> Record:
    """The step that ran when it died did not end."""
    changed = [
        msgspec.structs.replace(step, outcome=DIED) if step.outcome == RUNNING else step for step in record.steps
    ]
    return msgspec.structs.replace(record, steps=tuple(changed))


def _headline(record: Record, state: str) -> str:
    """ "failed in step 3 of 6 after 12 s"."""
    if state == "succeeded":
        return f"built in {duration(record.seconds)}"
    number = steps.deciding(record) + 1
    where = f" in step {number} of {len(record.steps)}" if number else ""
    if state == RUNNING:
        now = next((index for index, step in enumerate(record.steps, 1) if step.outcome == RUNNING), 0)
        where = f", in step {now} of {len(record.steps)}" if now else ""
        return f"is still running{where}: this is its state after {duration(record.seconds)}"
    if state == DIED:
        return f"died{where}, after {duration(record.seconds)} or later"
    known = _outcome(state)
    words = HEADLINES[known] if known else state
    return f"{words}{where} after {duration(record.seconds)}"


def _outcome(state: str) -> Outcome | None:
    """None for one of another version."""
    return Outcome(state) if state in list(Outcome) else None


def _summary(record: Record, fetches: Fetches) -> Iterator[str]:
    cached = sum(step.outcome == "cached" for step in record.steps)
    left = sum(step.outcome == "not run" for step in record.steps)
    run = len(record.steps) - cached - left
    yield f"{count(run, 'step')} run"
    if cached:
        yield f"{cached} cached"
    if left:
        yield f"{left} not run"
    if fetches.rows:
        refused = f", {fetches.refused} refused" if fetches.refused else ""
        yield f"{count(len(fetches.rows) + fetches.left_out, 'request')}, {human_size(fetches.size)}{refused}"
    if record.artifacts:
        yield f"{count(len(record.artifacts), 'artifact')}, {human_size(sum(item.size for item in record.artifacts))}"


def _failure(record: Record, state: str, views: Sequence[StepView]) -> Failure | None:
    if state in ("succeeded", RUNNING):
        return None
    index = steps.deciding(record)
    if state == DIED:
        message, turn, hint = "the build did not end", _TURN_DIED, "run the same command again: finished steps are kept"
    else:
        message, hint = record.message, record.hint or f"contractor log {record.id}"
        known = _outcome(state)
        turn = TURNS[known] if known else ""
    details = tuple(line for detail in record.details for line in clean_lines(detail))
    return Failure(
        message, details, turn, tuple(clean_lines(hint)), index + 1, steps.excerpt(views, index) if index >= 0 else None
    )


def _notices(record: Record, events: Sequence[AnyEvent]) -> Iterator[NoticeView]:
    """What the build said besides its output, each thing once; a base's own come without a step."""
    seen = set()
    for event in events:
        if isinstance(event, Notice):
            text, warning = event.text, event.level != "info"
        elif isinstance(event, ShellFinished):
            text, warning = f"somebody had a shell here and changed {count(event.changed, 'file')}", event.changed > 0
        else:
            continue
        notice = NoticeView(text, warning, event.step + 1 if event.build == record.id else 0)
        if notice not in seen:
            seen.add(notice)
            yield notice


def _bases(record: Record, records: Records) -> Iterator[BaseView]:
    for name, build in record.bases.items():
        try:
            found = records.read(build)
        except (Rejected, Broken):
            yield BaseView(name, build, "its record is gone", "idle", 0.0)
        else:
            yield BaseView(name, build, found.outcome, steps.kind_of(found.outcome), found.seconds)


def _fetches(record: Record) -> Fetches:
    """The ledger: what did not pass first, else in the order in which it happened."""
    rows = [
        FetchView(number, step.outcome == "cached", fetch)
        for number, step in enumerate(record.steps, 1)
        for fetch in step.fetches
    ]
    rows.sort(key=lambda row: row.fetch.verdict == "allowed")
    return Fetches(
        rows=tuple(rows[:_MOST_FETCHES]),
        size=sum(row.fetch.size for row in rows),
        refused=sum(row.fetch.verdict == "refused" for row in rows),
        failed=sum(row.fetch.verdict == "failed" for row in rows),
        left_out=max(0, len(rows) - _MOST_FETCHES),
    )
