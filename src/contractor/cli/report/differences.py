"""What differs from the last good build of the same name: `contractor diff`'s comparison, in its words."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import msgspec

from contractor.build.compare.builds import BuildDiff, compare_builds
from contractor.build.compare.history import plan_of
from contractor.build.compare.members import changed_files
from contractor.build.compare.steps import Side
from contractor.cli.change_text import ChangeText
from contractor.cli.console.state import Paper
from contractor.cli.diff_text import DiffText
from contractor.cli.report.model import Changes, Comparison
from contractor.core.errors import Broken, Rejected
from contractor.store.layout import Store
from contractor.store.records import Record, Records

_ELSEWHERE = ("outcome", "plan")  # the page's top says these
_SOURCES = 32 << 20  # compressed bytes of two sources that are read to say which files differ: half a second


def to_last_good(record: Record, store: Store) -> Comparison:
    """The comparison with the newest earlier build of the same name and matrix that ran whole and well."""
    records = Records(store)
    good = _last_good(record, records)
    if good is None:
        return Comparison()
    found = compare_builds(_side(good, records), _side(record, records))
    if record.outcome != "succeeded":  # that it made less, in less time, is no difference to tell
        made = tuple(output for output in found.outputs if output.b is not None)
        found = msgspec.structs.replace(found, outputs=made, timings=())
    sources = changed_files(store, [step.explanation for step in found.steps], most=_SOURCES)
    paper = Paper(io.StringIO(), colour=False)
    lines = DiffText(paper, ChangeText(paper, sources), {}).lines(found)[:-1]  # the verdict speaks of a and b
    kinds = tuple(kind for kind in _sections(lines) if kind.title not in _ELSEWHERE)
    return Comparison(good.id, good.started, kinds, _note(found, record))


def _last_good(record: Record, records: Records) -> Record | None:
    for build in records.ids():
        if build >= record.id or build[16:-5] != record.name:
            continue
        try:
            found = records.read(build)
        except (Rejected, Broken):
            continue
        whole = all(step.outcome in ("succeeded", "cached") for step in found.steps)
        if found.outcome == "succeeded" and found.matrix == record.matrix and whole and not found.tainted:
            return found
    return None


def _side(record: Record, records: Records) -> Side:
    try:
        return Side(record, plan_of(records, record.id))
    except (Rejected, Broken) as error:
        return Side(record, None, error.message)


def _sections(lines: Sequence[str]) -> Iterator[Changes]:
    """A title stands at the margin, after an empty line; what belongs to it is indented."""
    title, rows = "", list[str]()
    for line in lines:
        if line and not line.startswith(" "):
            if rows:
                yield Changes(title, tuple(rows))
            title, rows = line, []
        elif line:
            rows.append(line[2:])
    if rows:
        yield Changes(title, tuple(rows))


def _note(found: BuildDiff, record: Record) -> str:
    """What it means that nothing differs in what went in."""
    if found.packages or found.fetches or not found.same_inputs:
        return ""
    if record.outcome == "succeeded":
        same = all(output.how == "same" for output in found.outputs)
        return "The same went in, and the same came out." if same else "The same went in, but other bytes came out."
    if record.outcome == "failed":
        return "The same went in, but that build succeeded: what fails depends on something that is no input."
    return "The same went in."
