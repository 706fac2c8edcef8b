"""What is seen of a retry: a line for each attempt, the running one below them, and the verdict.

✗ in the build  failed with exit code 1     2.3 s
✓ 1 of 3        succeeded                   2.2 s  output differs in line 3: ok
⠹ 2 of 3        running                     0.4 s  gcc -c hello.c
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from contractor.build.debug.verdict import Attempt, Verdict
from contractor.cli.console.live import Screen
from contractor.cli.console.state import Paper, usable
from contractor.cli.console.tail import Tail
from contractor.cli.text import clip, duration, pad, width_of, wrap
from contractor.core.errors import Outcome
from contractor.core.events import AnyEvent, BuildStarted, Notice, StepOutput

_PERIOD = 0.1  # seconds between redraws, at least
_ENDED = len("failed with exit code 127")
_TIME = len("12 min 05 s")
_TITLES = {
    "deterministic": "Deterministic",
    "flaky": "Flaky",
    "infrastructure": "Infrastructure",
    "undecided": "Undecided",
}
_IN_THE_BUILD = "in the build"


class RetryConsole:
    """The renderer of the attempts' events (console.py: `Console` holds the lock). live: it may move the cursor."""

    def __init__(self, stream: TextIO, *, colour: bool, live: bool, width: Callable[[], int]) -> None:
        self._paper = Paper(stream, colour)
        self._screen = Screen(self._paper)
        self._live = live
        self._width = width
        self._label = ""
        self._space = len(_IN_THE_BUILD)
        self._began = 0.0
        self._drawn = 0.0
        self._tail = Tail()
        self._warned: set[str] = set()  # each attempt has the same

    def handle(self, event: AnyEvent) -> None:
        """A warning is said at once; the output only shows while it is the last line."""
        if isinstance(event, StepOutput):
            self._tail.feed(event.data)
        elif isinstance(event, Notice) and event.level == "warning" and event.text not in self._warned:
            self._warned.add(event.text)
            self._say([f"{self._paper.style('yellow', '!')} {self._paper.clean(event.text)}"])
        elif isinstance(event, BuildStarted) and not event.parent:
            self._began, self._tail = event.at, Tail()

    def tick(self, now: float) -> None:
        """Draws the running attempt when its time has come; the clock may jump."""
        if self._live and self._label and not 0 <= now - self._drawn < _PERIOD:
            self._drawn = now
            frames = self._paper.mark("spin")
            mark = self._paper.style("cyan", frames[int(now * 10) % len(frames)])
            last = "".join(self._tail.lines(1, blank=False))
            self._screen.show([], [self._row(mark, self._label, "running", duration(now - self._began), last)])

    def close(self) -> None:
        """Leaves a clean line and a visible cursor."""
        self._label = ""
        self._screen.leave()

    def header(self, text: str, times: int) -> None:
        self._space = max(self._space, len(f"{times} of {times}"))
        columns = usable(self._width()) if self._live else 0
        self._say(wrap(self._paper.clean(text), columns))

    def begin(self, number: int, times: int) -> None:
        """Attempt `number`, from 1, is about to run."""
        self._label = f"{number} of {times}"

    def attempt(self, attempt: Attempt, note: str) -> None:
        """An attempt has ended; the build's own comes before the first `begin`."""
        paper, good = self._paper, attempt.outcome == Outcome.SUCCEEDED
        style = "green" if good else "yellow" if attempt.outcome == Outcome.ABORTED else "bad"
        mark = paper.style(style, paper.mark("done" if good else "failed"))
        label, self._label = self._label or _IN_THE_BUILD, ""
        self._say([self._row(mark, label, attempt.words, duration(attempt.seconds), note)])

    def verdict(self, found: Verdict, remarks: Sequence[str], hints: Sequence[str]) -> None:
        """What the attempts say, and what to type next."""
        paper = self._paper
        good = found.kind == "deterministic" and found.outcome is Outcome.SUCCEEDED
        first, *rest = found.reasons
        title = paper.style("good" if good else "bad", f"{_TITLES[found.kind]}:")
        columns = usable(self._width()) if self._live else 0
        lines = ["", f"{title} {paper.clean(first)}"]
        for text in (*rest, *remarks):
            for part in text.split("\n"):
                lines += ["  " + line for line in wrap(paper.clean(part), columns - 2 if columns else 0)]
        for at, hint in enumerate(hints):
            lines.append((paper.style("bold", "hint: ") if at == 0 else "      ") + paper.clean(hint))
        self._say(lines)

    def _row(self, mark: str, label: str, ended: str, took: str, note: str) -> str:
        paper = self._paper
        text = f"{pad(label, self._space)}  {pad(ended, _ENDED)}  {pad(took, _TIME, right=True)}"
        room = usable(self._width()) - 1 - 2 - width_of(text) - 2 if self._live else 200
        shown = clip(paper.clean(note), room, paper.mark("more")) if room >= 12 else ""
        return f"{mark} {text}  {paper.style('dim', shown)}".rstrip()

    def _say(self, lines: list[str]) -> None:
        self._screen.show(lines, [])
