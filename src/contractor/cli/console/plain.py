"""The console of a pipe: one line an event, whole lines of output, nothing that moves a cursor.

In CI each step folds: `::group::` on GitHub, section markers on GitLab (the only escapes that are ever written).
A step's output must not be able to write such commands itself: see `PlainConsole._lines`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from contractor.cli.console.eta import PATIENCE, WORTH_SAYING, History, roughly
from contractor.cli.console.shell import entered, left
from contractor.cli.console.state import Builds, BuildState, Paper, headline, title, usable, warning
from contractor.cli.console.summary import summary
from contractor.cli.console.tail import Lines
from contractor.cli.text import duration, human_size, sanitize
from contractor.core.errors import Outcome
from contractor.core.events import (
    AnyEvent,
    ArtifactStored,
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


class PlainConsole:
    """Writes lines. Not thread-safe: `Console` holds the lock."""

    def __init__(
        self, stream: TextIO, ci: str, verbose: bool, history: History | None = None, *, recap: bool = False
    ) -> None:
        """recap: a failure shows the last lines again; they do not stand right above it, as in a fold of a CI."""
        self._paper = Paper(stream, colour=False)
        self._ci = ci
        self._recap = recap or bool(ci)
        self._verbose = verbose
        self._builds = Builds()
        self._history = history
        self._asked: BuildState | None = None  # the build whose running step has not been looked up in the history
        self._output = Lines()  # of the step that runs
        self._shell = False  # somebody has one
        self._section = ""  # the fold that is open
        self._sections = 0
        self._clock = 0.0

    def handle(self, event: AnyEvent) -> None:
        """Writes what there is to say of one event, flushed."""
        build = self._builds.follow(event)
        self._clock = event.at
        if isinstance(event, StepOutput):
            self._lines(self._output.feed(event.data))
        elif isinstance(event, Notice):
            self._notice(event.text, event.level == "warning")
        elif build is None:
            return
        elif isinstance(event, BuildStarted):
            self._begin(build)
        elif isinstance(event, BuildFinished):
            self._end(build, event)
        else:
            self._step(build, event)

    def tick(self, now: float) -> None:
        """When a step has run for a moment: once, how long it usually does, where that is long."""
        build = self._asked
        if build is None or self._history is None or self._shell or now - build.since < PATIENCE:
            return
        self._asked = None
        build.remember(self._history)
        likely = build.likely(build.step)
        if likely is not None and likely >= WORTH_SAYING:
            self._lines([f"usually takes {roughly(likely)}"])

    def close(self) -> None:
        self._flush()
        self._fold_end()

    def _begin(self, build: BuildState) -> None:
        self._flush()
        self._fold_end()  # folds do not nest on GitHub: the base's steps get their own
        facts = ", ".join(headline(build.info))
        what = ("base " if build.parent else "") + sanitize(build.info.name)
        self._lines([f"{what}: {facts}"])
        if self._verbose:
            self._lines([f"plan {build.info.plan}"])

    def _step(self, build: BuildState, event: AnyEvent) -> None:
        if isinstance(event, StepStarted | StepFinished):
            self._asked = build if isinstance(event, StepStarted) else None
        if isinstance(event, StepStarted):
            self._flush()
            self._fold(self._heading(build, event.step))
            self._lines([f"reason: {sanitize(event.reason)}"] if event.reason else [])
        elif isinstance(event, StepCached):
            reason = f": {sanitize(event.reason)}" if self._verbose and event.reason else ""
            self._lines([f"{self._heading(build, event.step)}, cached{reason}"])
        elif isinstance(event, StepFinished):
            self._flush()
            self._fold_end()
            word = "done" if event.outcome is Outcome.SUCCEEDED else event.outcome.value
            made = f", {build.produced}" if build.produced else ""
            self._lines([f"{self._place(build, event.step)} {word} {duration(event.seconds)}{made}"])
        elif isinstance(event, ShellStarted):
            self._flush()
            self._lines(entered(self._paper, build.name_of(event.step), event, 0))
            self._shell = True
        elif isinstance(event, ShellFinished):
            self._lines(left(self._paper, event, 0))
            self._shell = False
        elif self._shell:
            return  # the terminal is the shell's, and so is what is fetched
        elif isinstance(event, StepFetched) and event.verdict != "allowed":
            if build.refusals.first(event):
                self._notice(warning(build, event), True)
        elif isinstance(event, StepFetched) and self._verbose:
            self._lines([f"fetched {sanitize(event.url)}, {human_size(event.size)}"])
        elif isinstance(event, ArtifactStored) and self._verbose:
            self._lines(
                [f"stored {sanitize(event.artifact.name)} sha256:{event.artifact.digest.removeprefix('sha256:')}"]
            )

    def _end(self, build: BuildState, event: BuildFinished) -> None:
        self._flush()
        self._fold_end()
        self._builds.forget(build)
        if build.parent:
            return
        self._lines(["", *summary(build, event, self._paper, 0, output=self._recap)])
        if event.outcome is not Outcome.SUCCEEDED and self._ci == "github":
            info = build.step_info(event.step)
            where = ", ".join(sanitize(name) for name in [build.info.name, *([info.name] if info else [])])
            self._annotate("error", event.message or event.outcome.value, f"{where}: {event.outcome.value}")

    def _notice(self, text: str, serious: bool) -> None:
        if serious and self._ci == "github":
            self._annotate("warning", text)
        else:
            self._lines(["warning: " + sanitize(text) if serious else text])

    def _place(self, build: BuildState, step: int) -> str:
        """ "[3/12]"; of a base, "[2/12 debian-12 1/4]"."""
        here = f"{step + 1}/{len(build.info.steps)}"
        parent = build.parent
        while parent:
            here = f"{max(parent.last, 0) + 1}/{len(parent.info.steps)} {sanitize(build.info.name)} {here}"
            build, parent = parent, parent.parent
        return f"[{here}]"

    def _heading(self, build: BuildState, step: int) -> str:
        info = build.step_info(step)
        name, action = title(info) if info else ("", "")
        return f"{self._place(build, step)} " + (f"{action}: {name}" if action else name)

    def _flush(self) -> None:
        self._lines(self._output.finish())

    def _lines(self, lines: list[str]) -> None:
        """Lines from anywhere, in one write.

        GitHub obeys lines that begin with "::", blanks before it or not, and the older "##[" anywhere in a line
        (actions/runner, ActionCommand.cs). A step's are made harmless where anybody can see it; its stop-commands
        would leave the rest of a workflow deaf if we were killed before the token.
        """
        if not lines:
            return
        lines = [self._paper.clean(line) for line in lines]
        if self._ci == "github":
            lines = [("| " if line.lstrip()[:2] == "::" else "") + line.replace("##[", "# #[") for line in lines]
        self._paper.write("".join(line + "\n" for line in lines))

    def _fold(self, heading: str) -> None:
        self._fold_end()
        if self._ci == "github":
            self._section = "group"
            self._paper.write(f"::group::{_data(heading)}\n")
        elif self._ci == "gitlab":
            self._sections += 1
            self._section = f"contractor_{self._sections}"
            start = f"\x1b[0Ksection_start:{int(self._clock)}:{self._section}[collapsed=true]\r\x1b[0K"
            self._paper.write(start + self._paper.clean(heading) + "\n")
        else:
            self._lines([heading])

    def _fold_end(self) -> None:
        if self._section and self._ci == "github":
            self._paper.write("::endgroup::\n")
        elif self._section:
            self._paper.write(f"\x1b[0Ksection_end:{int(self._clock)}:{self._section}\r\x1b[0K\n")
        self._section = ""

    def _annotate(self, kind: str, text: str, heading: str = "") -> None:
        """https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message"""
        about = f" title={_property(heading)}" if heading else ""
        self._paper.write(f"::{kind}{about}::{_data(text)}\n")


class QuietConsole:
    """Says nothing but warnings until a build fails."""

    def __init__(self, stream: TextIO, colour: bool, width: Callable[[], int]) -> None:
        self._terminal = stream.isatty()
        self._paper = Paper(stream, colour and self._terminal)
        self._width = width
        self._builds = Builds()

    def handle(self, event: AnyEvent) -> None:
        build = self._builds.follow(event)
        if build is None:
            return
        if isinstance(event, StepFetched) and event.verdict != "allowed":
            build.refusals.first(event)
        if isinstance(event, ShellStarted):
            columns = usable(self._width()) if self._terminal else 0
            lines = entered(self._paper, build.name_of(event.step), event, columns)
            self._paper.write("".join(line + "\n" for line in lines))
        if isinstance(event, Notice) and event.level == "warning":
            self._paper.write(f"warning: {self._paper.clean(event.text)}\n")
        if isinstance(event, BuildFinished):
            self._builds.forget(build)
            if event.outcome is not Outcome.SUCCEEDED and not build.parent:
                lines = summary(build, event, self._paper, usable(self._width()) if self._terminal else 0)
                self._paper.write("".join(line + "\n" for line in lines))

    def tick(self, now: float) -> None:
        """Nothing moves here."""

    def close(self) -> None:
        """Nothing is left open."""


def _data(text: str) -> str:
    """The text of a workflow command; sanitised, so that only the percent sign is left to escape, and line ends."""
    lines = "\n".join(sanitize(line) for line in text.split("\n"))
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
