"""contractor show: one build in full."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from contractor.cli import config
from contractor.cli.commands.list import DIED, state_of
from contractor.cli.diagnostics import command, kept
from contractor.cli.options import Parser, open_store
from contractor.cli.output import limits_text, put, put_json, when
from contractor.cli.text import clean_lines, duration, human_size, sanitize, table
from contractor.core.fetch import FROM_STORE
from contractor.core.words import count
from contractor.spec.model import Limits
from contractor.store.layout import Store
from contractor.store.pins import pin_of
from contractor.store.progress import RUNNING, so_far
from contractor.store.records import Record, Records, StepRecord


def parser() -> Parser:
    made = Parser("show", "Show a build: steps with times, artifacts, inputs, what took part, and what went wrong.")
    made.add_argument("build", nargs="?", default="last", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("--json", action="store_true", help="the record as it is stored, with its state")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    records = Records(store)
    record = records.read(records.find(args.build))
    if args.json:
        put_json({**msgspec.to_builtins(record), "state": state_of(record, store)})
        return 0
    record = so_far(records, record)
    put(_head(record, store))
    put(_steps(record, store))
    put(_artifacts(record))
    for title, values in (("inputs", record.inputs), ("tools", record.tools), ("host", record.host)):
        put(_values(title, values))
    put(_error(record))
    return 0


def _head(record: Record, store: Store) -> list[str]:
    state = state_of(record, store)
    took = f" after {duration(record.seconds)}" if record.finished else ""
    rows = [
        ("outcome", state + took + (": it was killed, or the machine went down" if state == DIED else "")),
        ("started", when(record.started)),
        ("specification", record.spec),
        ("plan", record.plan),
        ("for", record.arch),
        ("epoch", f"{record.epoch} ({record.epoch_origin})"),
        ("isolation", ("DEGRADED: " if record.degraded else "") + f"{record.tier}, memory limit {record.memory}"),
        ("limits", limits_text(msgspec.convert(record.limits, Limits))),
    ]
    rows += [(f"parameter {name}", value) for name, value in record.parameters.items()]
    rows += [(f"matrix {name}", value) for name, value in record.matrix.items()]
    rows += [(f"base {name}", f"made by {build}") for name, build in record.bases.items()]
    if record.parent:
        rows.append(("base of", record.parent))
    if record.asked:
        rows.append(("asked", " ".join(record.asked)))
    if record.tainted:
        rows.append(("tainted", f"{record.tainted}; do not publish what it made"))
    if found := kept(Records(store), record.id):
        rows.append(("diagnostics", f"{human_size(found[1])}: {command(record.id)}"))
    if record.kept:
        gone = "" if os.path.isdir(record.kept) else " (gone)"
        rows.append(("workspace", f"{record.kept}{gone}"))
    pin = pin_of(store, record.id)
    if pin is not None:
        rows.append(("pinned", f"{when(pin.at)} {pin.reason}".rstrip()))
    rows.append(("record", Records(store).folder(record.id)))
    return [sanitize(record.id), *("  " + line for line in table([(name, sanitize(text)) for name, text in rows]))]


def _steps(record: Record, store: Store) -> list[str]:
    heading = ("", "step", "action", "outcome", "took", "cpu", "memory", "fetched", "log")
    rows = [heading, *(_step(number, step) for number, step in enumerate(record.steps, 1))]
    lines = ["", "steps", *("  " + line for line in table(rows, right=(0, 4, 5, 6)))]
    for number, step in enumerate(record.steps, 1):
        if step.message:
            lines.append(f"  step {number}: {sanitize(step.message)}")
        if step.left and os.path.exists(store.state(step.left)):
            lines.append(f"  its workspace is kept as it left it: contractor shell {record.id} --step {number}")
        elif step.left:
            lines.append("  its workspace was kept for a while, and has been collected")
    return lines


def _step(number: int, step: StepRecord) -> tuple[str, ...]:
    ran = step.outcome not in ("cached", "not run")
    size = sum(fetch.size for fetch in step.fetches)
    refused = sum(fetch.verdict == "refused" for fetch in step.fetches)
    fetched = f"{count(len(step.fetches), 'request')}, {human_size(size)}" if step.fetches else ""
    stored = sum(fetch.reason == FROM_STORE for fetch in step.fetches)
    if stored:
        fetched += ", all from the store" if stored == len(step.fetches) else f", {stored} from the store"
    return (
        str(number),
        sanitize(step.name),
        step.action,
        step.outcome + (f" ({step.exit_code})" if step.exit_code else "") + (", tainted" if step.tainted else ""),
        duration(step.seconds) if ran and step.outcome != RUNNING else "",
        duration(step.cpu_seconds) if step.cpu_seconds else "",
        human_size(step.max_rss) if step.max_rss else "",
        fetched + (f", {refused} refused" if refused else ""),
        f"made by {step.made_by}" if step.made_by else human_size(step.log_end - step.log_start) if ran else "",
    )


def _artifacts(record: Record) -> list[str]:
    if not record.artifacts:
        return []
    rows = [
        (sanitize(item.name), item.format, human_size(item.size), human_size(item.stored), item.digest)
        for item in record.artifacts
    ]
    heading = ("name", "format", "size", "stored", "sha256 of the archive")
    return ["", "artifacts", *("  " + line for line in table([heading, *rows], right=(2, 3)))]


def _values(title: str, values: Mapping[str, str]) -> list[str]:
    rows = [(sanitize(name), sanitize(value)) for name, value in values.items()]
    return ["", title, *("  " + line for line in table(rows))] if rows else []


def _error(record: Record) -> list[str]:
    if not record.message:
        return []
    lines = ["", *clean_lines(f"error: {record.message}")]
    lines += ["  " + line for detail in record.details for line in clean_lines(detail)]
    hints = [line for hint in record.hint.splitlines() for line in clean_lines(hint)]
    return [*lines, *(f"{'hint:' if number == 0 else '     '} {line}" for number, line in enumerate(hints))]
