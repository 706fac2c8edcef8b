"""The live console of several builds at once: a row a build, redrawn; warnings and failures stay above the rows.

✓ 4.0     9/9                                           5.0 s
⠹ 4.1     7/9  Compress                                 2.1 s
✗ 4.1.1   6/9  Find the difference             failed   0.4 s
· 4.1.2   waits for its turn
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from contractor.cli.console.live import Screen
from contractor.cli.console.state import Builds, BuildState, Paper, height_of, title, usable, warning
from contractor.cli.console.summary import summary
from contractor.cli.matrix_words import labels_of
from contractor.cli.text import clip, duration, pad, width_of, wrap
from contractor.core.errors import Outcome
from contractor.core.events import (
    AnyEvent,
    BuildFinished,
    BuildStarted,
    Notice,
    StepFetched,
    StepFinished,
    StepOutput,
    StepStarted,
)
from contractor.core.words import count

_PERIOD = 0.08  # seconds between redraws, at least
_WIDEST = 110  # columns
_LONGEST = 1000  # columns of a notice, over several lines


class _Row:
    """What is shown of one build. inner: the build whose step runs, which may be a base's."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.build: BuildState | None = None
        self.inner: BuildState | None = None
        self.note = ""  # what the running step waits for
        self.end: BuildFinished | None = None

    @property
    def rank(self) -> int:
        """Which rows are left out first where there is no room for all: the higher."""
        if self.end is not None:
            return 2 if self.end.outcome is Outcome.SUCCEEDED else 1
        return 0 if self.build is not None else 3


class TableConsole:
    """Draws on a terminal. Not thread-safe: `Console` holds the lock."""

    def __init__(
        self,
        stream: TextIO,
        colour: bool,
        width: Callable[[], int],
        verbose: bool,
        matrices: Sequence[dict[str, str]],
    ) -> None:
        """matrices: the matrix values of each build that there will be."""
        self._paper = Paper(stream, colour)
        self._screen = Screen(self._paper)
        self._builds = Builds()
        self._stream = stream
        self._width = width
        self._verbose = verbose
        labels = labels_of(matrices)
        self._rows = [_Row(self._paper.clean(label)) for label in labels]
        self._of_matrix = {tuple(matrix.items()): row for matrix, row in zip(matrices, self._rows, strict=True)}
        self._of_build: dict[str, _Row] = {}
        self._headed = False
        self._clock = 0.0
        self._drawn = 0.0

    def handle(self, event: AnyEvent) -> None:
        """Shows one event; what only moves a row waits for the next `tick`."""
        build = self._builds.follow(event)
        row = self._of_build.get(event.build)
        if row is not None:
            row.note = ""  # whatever it waited for
        if isinstance(event, StepOutput):
            return
        self._clock = event.at
        if isinstance(event, BuildStarted) and build is not None:
            self._begin(build)
        row = self._of_build.get(event.build)
        if isinstance(event, Notice):
            self._notice(row, event)
        elif row is None or build is None:
            return
        elif isinstance(event, StepStarted):
            row.inner = build
        elif isinstance(event, StepFinished):
            self._finished(row, build, event)
        elif isinstance(event, StepFetched):
            if event.verdict != "allowed" and build.refusals.first(event):
                self._say(self._note(f"{row.label}: {warning(build, event)}"))
        elif isinstance(event, BuildFinished):
            self._end(row, build, event)

    def tick(self, now: float) -> None:
        """Redraws the rows when their time has come."""
        if not self._headed or 0 <= now - self._drawn < _PERIOD:
            return
        self._clock = self._drawn = now
        self._screen.show([], self._region())

    def close(self) -> None:
        """Leaves a clean line and a visible cursor; the words on the whole matrix follow."""
        self._screen.leave()

    def _begin(self, build: BuildState) -> None:
        info = build.info
        if build.parent is not None:
            row = self._of_build.get(info.parent)
            if row is not None:
                self._of_build[info.build] = row
                row.inner = build
            return
        row = self._of_matrix.get(tuple(info.matrix.items()))
        if row is None:
            return
        self._of_build[info.build] = row
        row.build = row.inner = build
        if not self._headed:
            self._headed = True
            facts = [info.arch, count(len(self._rows), "build"), f"isolation: {info.tier}"]
            text = f" {self._paper.mark('dot')} ".join(map(self._paper.clean, facts))
            name = self._paper.clean(info.name)
            self._say([f"{self._paper.style('bold', name)}  {self._paper.style('dim', text)}"])

    def _notice(self, row: _Row | None, event: Notice) -> None:
        if event.level == "warning" or row is None:
            label = f"{row.label}: " if row is not None else ""
            self._say(self._note(f"{label}{event.text}", serious=event.level == "warning"))
        elif event.level == "wait":
            row.note = self._paper.clean(event.text)

    def _finished(self, row: _Row, build: BuildState, event: StepFinished) -> None:
        if build.parent is not None:
            row.inner = build.parent if event.step == len(build.info.steps) - 1 else build
        if self._verbose:
            self._say([self._line(row, self._done_mark(event.outcome), f"{event.step + 1}", build, event)])

    def _end(self, row: _Row, build: BuildState, event: BuildFinished) -> None:
        if build.parent is not None:
            row.inner = build.parent
        else:
            row.end = event
            if event.outcome not in (Outcome.SUCCEEDED, Outcome.ABORTED):
                heading = self._paper.style("bad", row.label)
                self._say(["", heading, *summary(build, event, self._paper, self._columns()), ""])
        self._builds.forget(build)

    def _say(self, lines: list[str]) -> None:
        """Adds lines for good, above the rows."""
        self._drawn = self._clock
        self._screen.show(lines, self._region() if self._headed else [])

    def _note(self, text: str, *, serious: bool = True) -> list[str]:
        mark = self._paper.style("yellow", "!") if serious else self._paper.style("dim", self._paper.mark("dot"))
        text = clip(self._paper.clean(text), _LONGEST, self._paper.mark("more"))
        first, *rest = wrap(text, self._columns() - 3)
        return [f"{mark} {first}", *("  " + line for line in rest)]

    def _region(self) -> list[str]:
        """The rows, as many as there is room for: those that run, those that failed, and as a number the others."""
        room = height_of(self._stream) - 1
        rows = self._rows
        if len(rows) > room:
            chosen = sorted(rows, key=lambda row: row.rank)[: max(1, room - 1)]
            rows = [row for row in rows if row in chosen]
        lines = [self._row(row) for row in rows]
        if len(rows) < len(self._rows) and room > 1:
            left = [row for row in self._rows if row not in rows]
            done = sum(1 for row in left if row.end is not None)
            lines.append(self._paper.style("dim", f"  and {done} done, {len(left) - done} more to come"))
        return lines

    def _row(self, row: _Row) -> str:
        paper = self._paper
        if row.build is None:
            label = pad(row.label, self._label_width())
            return paper.style("dim", f"{paper.mark('dot')} {label}  waits for its turn")
        steps = len(row.build.info.steps)
        if row.end is not None:
            mark = self._done_mark(row.end.outcome)
            at = row.end.step + 1 if row.end.step >= 0 else steps
            name = row.build.name_of(row.end.step) if row.end.step >= 0 else ""
            right = duration(row.end.seconds)
            if row.end.outcome is not Outcome.SUCCEEDED:
                right = f"{row.end.outcome.value}  {right}"
            return self._lay(row.label, mark, f"{at}/{steps}", name, right)
        frames = paper.mark("spin")
        mark = paper.style("cyan", frames[int(self._clock * 10) % len(frames)])
        inner = row.inner or row.build
        name = title(info)[0] if (info := inner.step_info(max(inner.last, 0))) else ""
        if inner is not row.build:
            name = f"{inner.info.name} {inner.last + 1}/{len(inner.info.steps)}, {name}"
        if row.note:
            name = row.note
        right = duration(self._clock - inner.since) if inner.since else ""
        return self._lay(row.label, mark, f"{max(row.build.last, 0) + 1}/{steps}", name, right)

    def _line(self, row: _Row, mark: str, at: str, build: BuildState, event: StepFinished) -> str:
        name = f"{build.info.name}: {build.name_of(event.step)}" if build.parent else build.name_of(event.step)
        return self._lay(row.label, mark, at, name, duration(event.seconds))

    def _lay(self, label: str, mark: str, at: str, name: str, right: str) -> str:
        """One line: mark, label, step, name, and to the right the time."""
        paper = self._paper
        left = f"{pad(label, self._label_width())}  {pad(at, 5, right=True)}  "
        room = min(self._columns() - 1, _WIDEST) - 2 - width_of(left) - width_of(right) - 2
        name = clip(paper.clean(name), max(room, 0), paper.mark("more"))
        return f"{mark} {left}{pad(name, max(room, 0))}  {paper.style('dim', right)}".rstrip()

    def _done_mark(self, outcome: Outcome) -> str:
        if outcome is Outcome.SUCCEEDED:
            return self._paper.style("green", self._paper.mark("done"))
        return self._paper.style("yellow" if outcome is Outcome.ABORTED else "bad", self._paper.mark("failed"))

    def _label_width(self) -> int:
        return min(max(width_of(row.label) for row in self._rows), self._columns() // 3)

    def _columns(self) -> int:
        return usable(self._width())
