"""The console of a terminal: finished steps stay as lines, the running one lives below them and is redrawn.

The cursor rests on the first line of the live region, never after it. So a redraw is "erase from here, write, go back
up", and it stays right when the window gets narrower and the terminal folds the old lines into more rows: terminals
move the cursor along with the text it stands on. Counting rows would need to know how each terminal folds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from contractor.cli.console.eta import PATIENCE, History
from contractor.cli.console.rows import Rows
from contractor.cli.console.shell import entered, left
from contractor.cli.console.state import Builds, BuildState, Paper, height_of, usable, warning
from contractor.cli.console.summary import summary
from contractor.cli.text import human_size, sanitize
from contractor.core.events import (
    AnyEvent,
    BuildFinished,
    BuildStarted,
    Notice,
    ShellFinished,
    ShellStarted,
    StepCached,
    StepFetched,
    StepFinished,
    StepOutput,
    StepStarted,
)

_PERIOD = 0.08  # seconds between redraws, at least

_HIDE, _SHOW, _ERASE = "\x1b[?25l", "\x1b[?25h", "\r\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a terminal that counts a character wider than we do must not fold a line


class Screen:
    """Permanent lines above, a region that is redrawn below; one write a change, so that nothing flickers."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._region: list[str] = []
        self._hidden = False

    def show(self, lines: list[str], region: list[str]) -> None:
        """Adds `lines` for good, then shows the region; lines may be wider than the terminal, the region may not."""
        if not lines and region == self._region:
            return
        parts = []
        if self._region or self._hidden:
            parts.append(_ERASE)
        parts += [line + "\n" for line in lines]
        if region:
            parts += ["" if self._hidden else _HIDE, _NO_WRAP, "\n".join(region), "\r"]
            parts += [f"\x1b[{len(region) - 1}A" if len(region) > 1 else "", _WRAP]
            self._hidden = True
        self._region = region
        self._paper.write("".join(parts))

    @property
    def busy(self) -> bool:
        """Whether there is a region to see."""
        return bool(self._region)

    def leave(self) -> None:
        """Erases the region and gives the cursor back."""
        if self._hidden:
            self._paper.write(_ERASE + _WRAP + _SHOW)
        self._region, self._hidden = [], False


class LiveConsole:
    """Draws on a terminal. Not thread-safe: `Console` holds the lock."""

    def __init__(
        self,
        stream: TextIO,
        colour: bool,
        width: Callable[[], int],
        verbose: bool,
        history: History | None = None,
    ) -> None:
        self._paper = Paper(stream, colour)
        self._screen = Screen(self._paper)
        self._rows = Rows(self._paper)
        self._builds = Builds()
        self._stream = stream
        self._width = width
        self._verbose = verbose
        self._history = history
        self._build: BuildState | None = None  # the innermost one that runs
        self._cached: list[int] = []  # its cached steps that are not lines yet: they may fold into one
        self._clock = 0.0  # of the last event or tick
        self._drawn = 0.0
        self._held: list[AnyEvent] | None = None  # while the terminal is a shell's: what waits for its end

    def handle(self, event: AnyEvent) -> None:
        """Shows one event: at once, but for output, which waits for the next `tick`."""
        build = self._builds.follow(event)
        if isinstance(event, StepOutput):
            return
        self._clock = event.at
        columns = self._columns()
        if self._of_shell(build, event, columns):
            return
        if isinstance(event, Notice):
            self._say(self._rows.note(event.text, columns, warning=event.level == "warning"))
        elif build is None:
            return
        elif isinstance(event, BuildStarted):
            self._begin(build, columns)
        elif isinstance(event, StepCached):
            self._skip(build, event, columns)
        elif isinstance(event, StepStarted):
            self._turn(build)
            self._say([self._rows.aside(build, event.reason, columns)] if event.reason else [])
        elif isinstance(event, StepFetched):
            self._fetched(build, event, columns)
        elif isinstance(event, StepFinished):
            self._say([self._rows.finished(build, event, columns)])
        elif isinstance(event, BuildFinished):
            self._end(build, event, columns)

    def tick(self, now: float) -> None:
        """Redraws the live region when its time has come; the clock may jump."""
        if self._held is not None or self._build is None or 0 <= now - self._drawn < _PERIOD:
            return
        self._clock = self._drawn = now
        if self._history and self._build.step >= 0 and now - self._build.since >= PATIENCE:
            self._build.remember(self._history)
        self._screen.show([], self._region())

    def close(self) -> None:
        """Leaves a clean line and a visible cursor, whatever was going on."""
        if cached := self._take_cached():
            self._screen.show(cached, [])
        self._build = None
        self._screen.leave()

    def _of_shell(self, build: BuildState | None, event: AnyEvent, columns: int) -> bool:
        """Give the terminal to a shell, hold what is to be said until it has ended; True when that was all."""
        if isinstance(event, ShellStarted) and build:
            self._screen.show(
                [*self._take_cached(), *entered(self._paper, build.name_of(event.step), event, columns)], []
            )
            self._screen.leave()
            self._held = []
        elif isinstance(event, ShellFinished):
            waiting, self._held = self._held or [], None
            self._screen.show(left(self._paper, event, columns), [])
            for held in waiting:
                self.handle(held)
        elif self._held is not None:
            if not isinstance(event, StepFetched):  # the person has seen it, and it is not the step's
                self._held.append(event)
        else:
            return False
        return True

    def _begin(self, build: BuildState, columns: int) -> None:
        if build.parent:
            # The base's steps come beneath their step, so its line has to be there before theirs.
            lines = [self._rows.opened(build.parent, build, columns)]
        else:
            lines = [self._rows.header(build, columns)]
        if self._verbose:
            lines.append(self._rows.aside(build, f"plan {build.info.plan}", columns))
        cached = self._take_cached()
        self._build = build
        self._say([*cached, *lines])

    def _skip(self, build: BuildState, event: StepCached, columns: int) -> None:
        if self._verbose:
            reason = [self._rows.aside(build, event.reason, columns)] if event.reason else []
            self._say([*self._rows.cached(build, [event.step], columns), *reason])
            return
        self._turn(build)
        if self._cached and self._cached[-1] + 1 != event.step:
            self._say([])
        self._cached.append(event.step)

    def _turn(self, build: BuildState) -> None:
        """To the build that has the word: with several at once, each step's lines still tell whose they are."""
        if build is not self._build:
            self._say([])
            self._build = build

    def _fetched(self, build: BuildState, event: StepFetched, columns: int) -> None:
        if event.verdict != "allowed":
            if build.refusals.first(event):
                self._say(self._rows.note(warning(build, event), columns, warning=True))
        elif self._verbose:
            self._say([self._rows.aside(build, f"{sanitize(event.url)}  {human_size(event.size)}", columns)])

    def _end(self, build: BuildState, event: BuildFinished, columns: int) -> None:
        if build.parent:  # its step's own line follows
            self._turn(build.parent)
        else:
            self._screen.show([*self._take_cached(), "", *summary(build, event, self._paper, columns)], [])
            self._screen.leave()
            self._build = None
        self._builds.forget(build)

    def _say(self, lines: list[str]) -> None:
        """Adds lines for good, and draws the running step again when it is on the screen or has waited long enough."""
        lines = [*self._take_cached(), *lines]
        due = not 0 <= self._clock - self._drawn < _PERIOD  # a step of a few milliseconds gets a line, no picture
        region = self._region() if due or self._screen.busy else []
        if region:
            self._drawn = self._clock
        self._screen.show(lines, region)

    def _take_cached(self) -> list[str]:
        cached, self._cached = self._cached, []
        return self._rows.cached(self._build, cached, self._columns()) if cached and self._build else []

    def _region(self) -> list[str]:
        """The running step; or the cached steps so far, which may be looked up over a slow disk."""
        build, columns = self._build, self._columns()
        if build is None:
            return []
        if self._cached:
            return self._rows.cached(build, self._cached, columns)
        return self._rows.running(build, self._clock, columns, height_of(self._stream) - 1) if build.step >= 0 else []

    def _columns(self) -> int:
        return usable(self._width())
