"""What is said of several builds: what tells them apart, and the last words on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from contractor.cli.console.state import Paper
from contractor.cli.console.summary import HEADLINES
from contractor.cli.text import clip, duration, human_size, table, width_of, wrap
from contractor.core.errors import EXIT_CODES, Outcome
from contractor.core.words import count
from contractor.store.records import Record, StepRecord

_NAME = 40  # columns of a step's name
_NOT_RUN = ("not run", "skipped")
_WORTH_SAYING = 0.5  # seconds; less of it is what goes on between steps


def labels_of(matrices: Sequence[dict[str, str]]) -> list[str]:
    """A short text for each build: the values of the matrix, those that are the same for all left out."""
    keys = [key for key in matrices[0] if len({matrix[key] for matrix in matrices}) > 1] or list(matrices[0])
    return [" ".join(matrix[key] for key in keys) for matrix in matrices]


def matrix_summary(
    matrices: Sequence[dict[str, str]],
    records: Sequence[Record | None],
    paper: Paper,
    width: int,
    *,
    seconds: float,
    jobs: int,
) -> list[str]:
    """Lines: how many ended how, the time of each stage in each build, what was made, and every failure with its hint.

    records: of each build, None for one that never began. seconds: of all together. width 0: nothing is folded.
    """
    labels = [paper.clean(label) for label in labels_of(matrices)]
    lines = ["", _headline(records, paper, seconds, jobs), "", *_stages(labels, records, paper, width)]
    lines += _artifacts(labels, records, paper, width)
    for label, record in zip(labels, records, strict=True):
        lines += _failure(label, record, paper, width)
    if any(record is None or record.outcome == Outcome.ABORTED.value for record in records):
        again = "run the same command again: finished steps are kept, and builds that succeeded run nothing"
        lines += ["", f"{paper.style('bold', 'hint:')} {again}"]
    return lines


def _headline(records: Sequence[Record | None], paper: Paper, seconds: float, jobs: int) -> str:
    ends: dict[str, int] = {}
    for record in records:
        outcome = record.outcome if record is not None else "not begun"
        ends[outcome] = ends.get(outcome, 0) + 1
    good = set(ends) == {Outcome.SUCCEEDED.value}
    mark = paper.style("good", paper.mark("done")) if good else paper.style("bad", paper.mark("failed"))
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in ends.items())
    facts = f"{duration(seconds)}" + (f", {jobs} at a time" if jobs > 1 else "")
    return f"{mark} {paper.style('bold', count(len(records), 'build'))}: {outcomes}{paper.style('dim', f' in {facts}')}"


def _stages(labels: Sequence[str], records: Sequence[Record | None], paper: Paper, width: int) -> list[str]:
    """A table of the steps that ran in any build, a column a build; where that is too wide, a line a build."""
    rows = [["", *labels]]
    for steps in _aligned(records):
        if any(step is not None and step.outcome not in ("cached", *_NOT_RUN) for step in steps):
            name = _common([step.name for step in steps if step is not None], paper.mark("more"))
            rows.append([clip(paper.clean(name), _NAME, paper.mark("more")), *map(_time, steps)])
    waits = [_waited(record) for record in records]
    if max(waits) >= _WORTH_SAYING:
        rows.append(["waiting for each other", *(duration(wait) if wait >= _WORTH_SAYING else "-" for wait in waits)])
    rows.append(["in all", *("-" if record is None else duration(record.seconds) for record in records)])
    lines = table(rows, right=range(1, len(labels) + 1))
    if width and max(map(width_of, lines)) + 2 >= width:
        return _lines(labels, records, paper, width)
    return [paper.style("dim", f"  {lines[0]}"), *(f"  {line}" for line in lines[1:])]


def _aligned(records: Sequence[Record | None]) -> list[list[StepRecord | None]]:
    """The steps of all builds, each with its like: by position where all have the same actions, else by name."""
    found = [record for record in records if record is not None]
    if len({tuple(step.action for step in record.steps) for record in found}) == 1:
        return [
            [record.steps[index] if record is not None else None for record in records]
            for index in range(len(found[0].steps))
        ]
    names = dict.fromkeys(step.name for record in found for step in record.steps)
    return [
        [
            next((step for step in record.steps if step.name == name), None) if record is not None else None
            for record in records
        ]
        for name in names
    ]


def _common(names: Sequence[str], more: str) -> str:
    """The name that all have, or how all of them begin: a matrix value may be part of it."""
    if len(set(names)) == 1:
        return names[0]
    letters = zip(*names, strict=False)
    return "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, letters)) + more


def _waited(record: Record | None) -> float:
    """Seconds of a build that were in none of its steps."""
    return record.seconds - sum(step.seconds for step in record.steps) if record is not None else 0.0


def _time(step: StepRecord | None) -> str:
    if step is None or step.outcome in _NOT_RUN:
        return "-"
    if step.outcome == "cached":
        return "cached"
    return duration(step.seconds) + ("" if step.outcome == Outcome.SUCCEEDED.value else f" {step.outcome}")


def _lines(labels: Sequence[str], records: Sequence[Record | None], paper: Paper, width: int) -> list[str]:
    """A build a line: its time, and the stages that took longest."""
    rows = []
    for label, record in zip(labels, records, strict=True):
        ran = [] if record is None else [step for step in record.steps if step.outcome not in ("cached", *_NOT_RUN)]
        longest = sorted(ran, key=lambda step: -step.seconds)[:3]
        stages = ", ".join(f"{paper.clean(step.name)} {duration(step.seconds)}" for step in longest)
        total = "-" if record is None else duration(record.seconds)
        rows.append((label, record.outcome if record is not None else "not begun", total, stages))
    return [clip(f"  {line}", width - 1, paper.mark("more")) for line in table(rows, right=(2,))]


def _artifacts(labels: Sequence[str], records: Sequence[Record | None], paper: Paper, width: int) -> list[str]:
    rows = [
        (label, paper.clean(made.name), human_size(made.size), f"sha256:{made.digest}", paper.clean(made.path))
        for label, record in zip(labels, records, strict=True)
        for made in (record.artifacts if record is not None else ())
    ]
    if not rows:
        return []
    lines = table(rows, right=(2,))
    if width and max(map(width_of, lines)) + 2 >= width:
        short = [(*row[:3], row[3][: len("sha256:") + 16] + paper.mark("more"), row[4]) for row in rows]
        lines = [clip(line, width - 3, paper.mark("more")) for line in table(short, right=(2,))]
    return ["", *(f"  {line}" for line in lines)]


def _failure(label: str, record: Record | None, paper: Paper, width: int) -> list[str]:
    if record is None or record.outcome in (Outcome.SUCCEEDED.value, Outcome.ABORTED.value):
        return []
    step = _decisive(record)
    where = f" in step {step[0] + 1} of {len(record.steps)}, {paper.clean(step[1].name)}" if step else ""
    lines = ["", paper.style("bad", f"{paper.mark('failed')} {label} {HEADLINES[Outcome(record.outcome)]}{where}")]
    lines += [f"  {part}" for part in wrap(paper.clean(record.message), width - 3 if width else 0)]
    hint = (record.hint or f"contractor log {record.id}").split("\n")
    lines.append(f"  {paper.style('bold', 'hint:')} {paper.clean(hint[0])}")
    return [*lines, *(f"        {paper.clean(line)}" for line in hint[1:])]


def _decisive(record: Record) -> tuple[int, StepRecord] | None:
    """The step that the build ended with."""
    ran = [(index, step) for index, step in enumerate(record.steps) if step.outcome in EXIT_CODES]
    bad = [(index, step) for index, step in ran if step.outcome != Outcome.SUCCEEDED.value]
    return bad[-1] if bad else None
