"""contractor diff: what differs between two builds, from inputs to outputs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from contractor.build.compare.builds import BuildDiff, as_builtins, compare_builds
from contractor.build.compare.history import plan_of
from contractor.build.compare.members import Members, changed_files, compare_archives
from contractor.build.compare.steps import Side, StepDiff
from contractor.cli import config
from contractor.cli.change_json import explanation_json
from contractor.cli.change_text import ChangeText, Sources
from contractor.cli.commands.list import state_of
from contractor.cli.console.state import Paper
from contractor.cli.diff_text import DiffText
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, when
from contractor.cli.text import duration, sanitize, table
from contractor.core.errors import Broken, Rejected
from contractor.store.layout import Store
from contractor.store.records import Record, Records

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser(
        "diff",
        "Compare two builds: specification, parameters, inputs, steps, packages, requests, environment, times, outputs."
        " Only what differs is told; the last line says whether inputs and outputs are the same. The exit code is 1"
        " when the builds differ, 0 when they differ at most in times, places (files, folders) and the host.",
    )
    which = "a build: an id, its beginning, a name, last, or NAME~1 or last~1 for the one before"
    made.add_argument("a", metavar="A", help=which)
    made.add_argument("b", metavar="B", help="the build that is compared with it, likewise")
    made.add_argument("--json", action="store_true", help="everything that was compared, as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store = open_store(args, settings)
    a, b = side_of(args.a, store), side_of(args.b, store)
    found = compare_builds(a, b)
    members = {
        output.name: compare_archives(store, output.a.digest, output.b.digest)
        for output in found.outputs
        if output.a is not None and output.b is not None and output.how == "differs"
    }
    sources = changed_files(store, [step.explanation for step in found.steps])
    if args.json:
        put_json(as_json(a.record, b.record, found, sources, members))
    else:
        paper = Paper(sys.stdout, settings.colour and sys.stdout.isatty())
        put(heading(a.record, b.record, found))
        put(DiffText(paper, ChangeText(paper, sources), members).lines(found))
    return 1 if found.differs else 0


def side_of(text: str, store: Store) -> Side:
    """A build's record, with what it is in now as its outcome, and its plan if that can be read."""
    records = Records(store)
    record = records.read(records.find(text))
    record = msgspec.structs.replace(record, outcome=state_of(record, store))
    try:
        return Side(record, plan_of(records, record.id))
    except (Rejected, Broken) as error:
        return Side(record, None, error.message)


def heading(a: Record, b: Record, found: BuildDiff) -> list[str]:
    """Which builds these are, and what is to be known about comparing them."""
    rows: list[tuple[str, ...]] = [
        (name, sanitize(record.id), _matrix(record), record.outcome, when(record.started), _took(record))
        for name, record in (("a", a), ("b", b))
    ]
    if not (a.matrix or b.matrix):
        rows = [(*row[:2], *row[3:]) for row in rows]
    return [*table(rows), *(f"note: {sanitize(note)}" for note in found.notes)]


def _matrix(record: Record) -> str:
    return " ".join(f"{sanitize(name)}={sanitize(value)}" for name, value in record.matrix.items())


def _took(record: Record) -> str:
    return duration(record.seconds) if record.finished else ""


def as_json(a: Record, b: Record, found: BuildDiff, sources: Sources, members: Mapping[str, Members]) -> dict[str, Any]:
    """The documented shape: all that was compared, what is the same too. Numbers of steps count from 1."""
    made = as_builtins(found)
    for output in made["outputs"]:
        compared = members.get(output["name"])
        output["members"] = msgspec.to_builtins(compared.changes) if compared is not None else []
        output["members_unknown"] = (compared.why_not or None) if compared is not None else None
    return {
        "version": JSON_VERSION,
        "a": _build(a),
        "b": _build(b),
        **made,
        "steps": [_step(step, sources) for step in found.steps],
        "timings": [{**msgspec.to_builtins(timing), "factor": timing.factor} for timing in found.timings],
    }


def _build(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "matrix": record.matrix,
        "outcome": record.outcome,
        "started": record.started,
        "seconds": record.seconds,
    }


def _step(step: StepDiff, sources: Sources) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(step)
    del made["explanation"]
    return {**made, "a": step.a or None, "b": step.b or None, **explanation_json(step.explanation, sources)}
