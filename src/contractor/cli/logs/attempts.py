"""The attempts at a step: each build in which an action of the same key ran, whatever came of it."""

from __future__ import annotations

import os

from contractor.cli.logs.parts import Part, log_path
from contractor.cli.output import when
from contractor.cli.text import duration, sanitize
from contractor.core.errors import Rejected
from contractor.store.layout import Store
from contractor.store.live import is_live
from contractor.store.progress import so_far
from contractor.store.records import Record, Records, StepRecord

_NO_ATTEMPT = ("cached", "not run")


def failed_step(record: Record) -> str:
    """The number of the step that a build ended in: whose attempts are meant when nothing else is said."""
    for number, step in enumerate(record.steps, 1):
        if step.outcome not in ("succeeded", *_NO_ATTEMPT):
            return str(number)
    raise Rejected("--attempts: no step of this build failed", hint="say which step: --step N, or --step NAME")


def attempts(record: Record, index: int, store: Store) -> list[Part]:
    """The log of each attempt at a step, oldest first, each with a title that tells what came of it.

    Rejected when no record of one is left.
    """
    key = record.steps[index].key
    records = Records(store)
    found: list[tuple[Record, int]] = []
    for other in records.all():
        if any(step.key == key for step in other.steps):
            other = so_far(records, other)
            found += [(other, n) for n, step in enumerate(other.steps) if step.key == key and _ran(step)]
    if not found:
        raise Rejected(
            f"no attempt at step {index + 1}, {sanitize(record.steps[index].name)}, is in the store",
            hint="it never ran, or `contractor clean --records` removed the builds that ran it",
        )
    found.reverse()
    return [_part(other, n, store, f"attempt {at} of {len(found)}") for at, (other, n) in enumerate(found, 1)]


def _ran(step: StepRecord) -> bool:
    return step.outcome not in _NO_ATTEMPT


def _part(record: Record, index: int, store: Store, which: str) -> Part:
    step = record.steps[index]
    outcome = step.outcome
    if outcome == "running" and not is_live(store, record.id):
        outcome = "died"
    took = f" after {duration(step.seconds)}" if step.seconds else ""
    facts = [f"{sanitize(record.id)} step {index + 1}", when(step.started), outcome + took]
    path = log_path(store, record.id)
    if not os.path.exists(path):
        facts.append("its log is gone")
    end = step.log_end if os.path.exists(path) else step.log_start
    return Part(path, step.log_start, end, f"{which}: {', '.join(facts)}", record.id, index + 1, step.name)
