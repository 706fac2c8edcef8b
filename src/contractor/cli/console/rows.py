"""The lines of the live console, as pure layout: a step, cached steps, the running step with its last output.

✓  1 source                                                    0.1 s
✓  2-9                                                        cached
⠹ 10 Compile  shell                                             12 s
   │ gcc -c hello.c
"""

from __future__ import annotations

from contractor.cli.console.eta import running_times, time_left
from contractor.cli.console.state import BuildState, Paper, headline, title
from contractor.cli.text import clip, duration, pad, width_of, wrap
from contractor.core.errors import Outcome
from contractor.core.events import StepFinished

TAIL_LINES = 5
_FOLD = 3  # so many cached steps in a row become one line
_LONGEST = 1000  # columns of a notice, over several lines
_NAME = 30  # columns that a long name keeps beside its time
_WIDEST = 100  # a time further to the right is hard to bring together with its step


class Rows:
    """Lays out for a width that the caller reads once a line, so that a resized window is followed at once."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def header(self, build: BuildState, columns: int) -> str:
        """The first line of a build."""
        paper, name = self._paper, self._paper.clean(build.info.name)
        facts = f" {paper.mark('dot')} ".join(paper.clean(part) for part in headline(build.info))
        name = clip(name, columns - 1, self._more)
        facts = clip(facts, columns - width_of(name) - 3, self._more)
        return paper.style("bold", name) + ("  " + paper.style("dim", facts) if facts else "")

    def opened(self, build: BuildState, base: BuildState, columns: int) -> str:
        """The step that builds a base, as a heading over the base's own steps."""
        mark = self._paper.style("cyan", self._paper.mark("open"))
        return self._step(build, build.step, mark, "", f"building {self._paper.clean(base.info.name)}", columns=columns)

    def cached(self, build: BuildState, steps: list[int], columns: int) -> list[str]:
        """One line a step, or one for a whole run of them. The steps follow each other."""
        mark = self._paper.style("green", self._paper.mark("done"))
        if len(steps) < _FOLD:
            return [self._step(build, step, mark, "cached", columns=columns) for step in steps]
        text = f"{steps[0] + 1}-{steps[-1] + 1}"
        margin = "  " * build.depth
        gap = self._room(columns) - width_of(margin) - 2 - len(text) - len("cached")
        return [f"{margin}{mark} {text}{' ' * gap}{self._paper.style('dim', 'cached')}"]

    def finished(self, build: BuildState, event: StepFinished, columns: int) -> str:
        """A step that ended, with what it made or how it failed."""
        paper, right = self._paper, duration(event.seconds)
        if event.outcome is Outcome.SUCCEEDED:
            mark = paper.style("green", paper.mark("done"))
            return self._step(build, event.step, mark, right, build.produced, columns=columns)
        mark = paper.style("yellow" if event.outcome is Outcome.ABORTED else "bad", paper.mark("failed"))
        return self._step(build, event.step, mark, f"{event.outcome.value}  {right}", columns=columns)

    def running(self, build: BuildState, now: float, columns: int, height: int) -> list[str]:
        """The running step and the end of its output, in at most `height` lines."""
        paper = self._paper
        frames = paper.mark("spin")
        mark = paper.style("cyan", frames[int(now * 10) % len(frames)])
        right = self._times(build, now, columns)
        lines = [self._step(build, build.step, mark, right, columns=columns)]
        left = time_left(build, now)
        margin = self._margin(build) + paper.mark("bar") + " "
        for line in build.tail.lines(max(0, min(TAIL_LINES, height - 1 - bool(left))), blank=False):
            text = clip(paper.clean(line), columns - 1 - width_of(margin), self._more)
            lines.append(paper.style("dim", margin + text))
        if left and height > 1:
            lines.append(paper.style("dim", f"  {left}"))
        return lines

    def note(self, text: str, columns: int, *, warning: bool) -> list[str]:
        """Something between the steps that someone should read, whole: it is folded, not cut."""
        mark = self._paper.style("yellow", "!") if warning else self._paper.style("dim", self._paper.mark("dot"))
        first, *rest = wrap(clip(self._paper.clean(text), _LONGEST, self._more), columns - 3)
        return [f"{mark} {first}", *("  " + line for line in rest)]

    def aside(self, build: BuildState, text: str, columns: int) -> str:
        """A dim remark under a step."""
        margin = self._margin(build)
        return self._paper.style("dim", margin + clip(self._paper.clean(text), columns - 1 - len(margin), self._more))

    def _times(self, build: BuildState, now: float, columns: int) -> str:
        """How long the running step has run, and as much about how long it will as there is room for."""
        info = build.step_info(build.step)
        name = width_of(self._paper.clean(title(info)[0])) if info else 0
        taken = len(self._margin(build)) + min(name, _NAME) + 2
        times = running_times(now - build.since, build.likely(build.step))
        return next((text for text in times if taken + len(text) <= self._room(columns)), times[-1])

    @property
    def _more(self) -> str:
        return self._paper.mark("more")

    def _room(self, columns: int) -> int:
        """The last column stays free: a terminal that waits there to fold the line behaves in its own way."""
        return min(columns - 1, _WIDEST)

    def _margin(self, build: BuildState) -> str:
        """The space that puts something under the name of a build's steps."""
        return "  " * build.depth + " " * (len(str(len(build.info.steps))) + 3)

    def _step(self, build: BuildState, step: int, mark: str, right: str, detail: str = "", *, columns: int) -> str:
        paper, info = self._paper, build.step_info(step)
        name, action = title(info) if info else ("", "")
        number = str(step + 1).rjust(len(str(len(build.info.steps))))
        margin = "  " * build.depth
        room = self._room(columns) - len(margin) - 2 - len(number) - 1 - len(right) - 2
        name = clip(paper.clean(name), room, self._more)
        detail = f" {paper.mark('dot')} ".join(part for part in (paper.clean(action), detail) if part)
        left = room - width_of(name) - 2
        detail = clip(detail, left, self._more) if left >= 6 else ""
        gap = pad("", room - width_of(name) - (width_of(detail) + 2 if detail else 0))
        text = f"{name}  {paper.style('dim', detail)}" if detail else name
        return f"{margin}{mark} {number} {text}{gap}  {paper.style('dim', right)}".rstrip()
