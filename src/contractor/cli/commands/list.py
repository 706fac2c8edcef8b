"""contractor list: the builds of the store, newest first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from contractor.cli import config
from contractor.cli.console.eta import left_text
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk, when
from contractor.cli.text import clip, duration, sanitize, table
from contractor.store.layout import Store
from contractor.store.live import is_live
from contractor.store.progress import RUNNING, running_step, so_far
from contractor.store.records import RETRY, VERIFY, Record, Records
from contractor.store.timings import expected

JSON_VERSION = 1
DIED = "died"  # a record says "running", and nobody runs it: killed, or the machine went down
_DEFAULT = 20
_NAME = 30  # columns of a running step's name


def parser() -> Parser:
    made = Parser("list", "List the builds, newest first.")
    made.add_argument("-n", "--number", type=int, default=_DEFAULT, metavar="N", help="at most N, 0: all (default 20)")
    made.add_argument("--all", action="store_true", help="also the builds of bases that others needed")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    found = _records(store, bases=args.all)
    shown = list(islice(found, args.number) if args.number > 0 else found)
    if args.json:
        put_json({"version": JSON_VERSION, "builds": [as_json(record, store) for record in shown]})
        return 0
    if not shown:
        talk("no build yet: `contractor build` makes the first one")
        return 0
    rows = [("build", "name", "outcome", "started", "took", "artifacts")]
    put(table([*rows, *(_row(record, store) for record in shown)], right=(4, 5)))
    if next(found, None) is not None:
        talk(f"the newest {len(shown)}; `contractor list -n 0` shows all")
    return 0


def _records(store: Store, *, bases: bool) -> Iterator[Record]:
    return (record for record in Records(store).all() if bases or not record.parent)


def state_of(record: Record, store: Store) -> str:
    """The record's outcome; for one that says "running", whether that is so."""
    if record.outcome != "running" or is_live(store, record.id):
        return record.outcome
    again = Records(store).read(record.id)  # it may have ended between the two looks
    return DIED if again.outcome == "running" else again.outcome


def _row(record: Record, store: Store) -> tuple[str, ...]:
    state, took = state_of(record, store), duration(record.seconds) if record.finished else "-"
    if state == RUNNING:
        state, took = _running(record, store)
    return (
        sanitize(record.id),
        sanitize(record.name)
        + "".join(f" {key}={sanitize(value)}" for key, value in record.matrix.items())
        + _why(record),
        state + (", tainted" if record.tainted else ""),
        when(record.started),
        took,
        str(len(record.artifacts)),
    )


def _why(record: Record) -> str:
    """What a build is besides a build: one that verifies or retries another."""
    option = record.asked[0] if record.asked else ""
    return f" ({option.removeprefix('--')})" if option in (VERIFY, RETRY) else ""


def _running(record: Record, store: Store) -> tuple[str, str]:
    """The step that a build is at; how long it has run, and how long it is likely to go on."""
    records = Records(store)
    record = so_far(records, record)
    at = running_step(record)
    took = duration(time.time() - record.started)
    if at < 0:
        return RUNNING, took
    step = record.steps[at]
    steps = [(step.name, step.action) for step in record.steps]
    left = left_text(expected(records, record.name, record.matrix, steps)[at:], time.time() - step.started)
    state = f"{RUNNING} {at + 1}/{len(steps)} {clip(sanitize(step.name), _NAME)}"
    return state, f"{took}, {left}" if left else took


def as_json(record: Record, store: Store) -> dict[str, Any]:
    """Times are seconds since the epoch, durations seconds."""
    return {
        "id": record.id,
        "name": record.name,
        "matrix": record.matrix,
        "outcome": state_of(record, store),
        "started": record.started,
        "seconds": record.seconds,
        "artifacts": len(record.artifacts),
        "parent": record.parent,
        "asked": list(record.asked),
        "kept": record.kept,
    }
