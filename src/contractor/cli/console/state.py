"""What every console needs: the stream and its marks (`Paper`), and what is known of each build (`Builds`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TextIO

from contractor.cli.console.tail import Tail
from contractor.cli.text import human_size, sanitize
from contractor.core.events import (
    AnyEvent,
    ArtifactStored,
    BuildStarted,
    StepCached,
    StepFetched,
    StepFinished,
    StepInfo,
    StepOutput,
    StepStarted,
)
from contractor.core.words import count

_UNICODE = {"done": "✓", "failed": "✗", "open": "▸", "more": "…", "bar": "│", "dot": "·", "spin": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}
_ASCII = {"done": "+", "failed": "x", "open": ">", "more": "..", "bar": "|", "dot": "-", "spin": "|/-\\"}
_SGR = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
    "bad": "1;31",
    "good": "1;32",
}
_HOSTS = 20  # refused hosts that are named one by one: a hostile step may try a million


class Paper:
    """The stream: which marks and characters it can show, whether in colour, and writing to it."""

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._marks = _UNICODE
        self._ascii = False
        self._gone = False
        try:
            "".join(_UNICODE.values()).encode(self._encoding)
        except (UnicodeError, LookupError):
            self._marks, self._ascii = _ASCII, True

    def mark(self, name: str) -> str:
        return self._marks[name]

    def style(self, kind: str, text: str) -> str:
        """The text in a style; as it is without colour."""
        return f"\x1b[{_SGR[kind]}m{text}\x1b[0m" if self._colour and text else text

    def clean(self, foreign: str) -> str:
        """Text that is not ours, made safe and showable: of the same width as what is written."""
        text = sanitize(foreign)
        if self._ascii and not text.isascii():
            text = text.encode(self._encoding, "replace").decode(self._encoding)
        return text

    def write(self, text: str) -> None:
        """Write and flush at once. A reader that went away must not end the build: its log is on disk."""
        if self._gone:
            return
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._gone = True


def usable(width: int) -> int:
    """A terminal that says 0 columns does not know, and in fewer than 20 nothing can be laid out."""
    return max(20, width or 80)


def height_of(stream: TextIO) -> int:
    """Rows of the terminal: a region higher than it would scroll away what cannot be erased any more."""
    try:
        return max(2, os.get_terminal_size(stream.fileno()).lines)
    except (OSError, ValueError, AttributeError):
        return 24


class Refusals:
    """Hosts that the proxy refused or could not reach: each is told once, and counted."""

    def __init__(self) -> None:
        self.hosts: dict[tuple[str, str], int] = {}
        self.others = 0

    def first(self, event: StepFetched) -> bool:
        """Counts the request; True when its host should be told now."""
        key = (event.verdict, host_of(event.url))
        if key in self.hosts:
            self.hosts[key] += 1
            return False
        if len(self.hosts) >= _HOSTS:
            self.others += 1
            return False
        self.hosts[key] = 1
        return True

    def summary(self, verdict: str) -> str:
        """ "deb.debian.org (3 times), example.org", or nothing."""
        told = [
            host + (f" ({times} times)" if times > 1 else "")
            for (kind, host), times in self.hosts.items()
            if kind == verdict
        ]
        if told and self.others:
            told.append(f"and {count(self.others, 'request')} to other hosts")
        return ", ".join(told)


class BuildState:
    """What is known of one build while it runs; `step` is the running step's index, or -1 between steps."""

    def __init__(self, info: BuildStarted, parent: BuildState | None) -> None:
        self.info = info
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else 0
        self.refusals: Refusals = parent.refusals if parent else Refusals()
        self.run = 0
        self.cached = 0
        self.step = -1
        self.last = -1  # the step whose output is in the tail
        self.since = 0.0
        self.tail = Tail()
        self.produced = ""
        self.child: BuildState | None = None  # the base that was built last inside the running step
        self.expected: Sequence[float | None] | None = None  # likely seconds of each step; None: nobody has asked yet

    def step_info(self, index: int) -> StepInfo | None:
        """The step as announced; None when a stream of events from elsewhere names one that is not there."""
        return self.info.steps[index] if 0 <= index < len(self.info.steps) else None

    def remember(self, history: Callable[[BuildStarted], Sequence[float | None]]) -> None:
        """Ask, once, how long the steps are likely to take: of this build and of those that it is a base of."""
        build: BuildState | None = self
        while build is not None and build.expected is None:
            build.expected = history(build.info)
            build = build.parent

    def likely(self, index: int) -> float | None:
        """The seconds that a step is likely to take, where that is known."""
        expected = self.expected or ()
        return expected[index] if 0 <= index < len(expected) else None

    def later(self) -> list[float | None]:
        """The same for each step after the running one."""
        return [self.likely(index) for index in range(self.last + 1, len(self.info.steps))]

    def name_of(self, index: int) -> str:
        """A step's name, as it came; "" when it is not there."""
        info = self.step_info(index)
        return info.name if info else ""

    def begin(self, event: StepStarted) -> None:
        self.step = self.last = event.step
        self.since = event.at
        self.tail = Tail()
        self.produced = ""
        self.child = None


class Builds:
    """Follows the events, so that a console only has to draw."""

    def __init__(self) -> None:
        self._builds: dict[str, BuildState] = {}

    def follow(self, event: AnyEvent) -> BuildState | None:
        """The state of the event's build after it; None when that build never started."""
        if isinstance(event, BuildStarted):
            build = BuildState(event, self._builds.get(event.parent))
            self._builds[event.build] = build
            if build.parent:
                build.parent.child = build
            return build
        known = self._builds.get(event.build)
        if known is None:
            return None
        if isinstance(event, StepOutput):
            known.tail.feed(event.data)
        elif isinstance(event, StepStarted):
            known.begin(event)
        elif isinstance(event, StepCached):
            known.cached += 1
        elif isinstance(event, StepFinished):
            known.run += 1
            known.step = -1
        elif isinstance(event, ArtifactStored):
            known.produced = f"{human_size(event.artifact.size)}, {count(event.artifact.files, 'file')}"
        return known

    def forget(self, build: BuildState) -> None:
        """After its end: a farm's console runs for months."""
        self._builds.pop(build.info.build, None)


def host_of(url: str) -> str:
    """The host and port of a URL, or of CONNECT's "host:port", without a user and a password."""
    return sanitize(url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1])[:100] or "(no host)"


def title(info: StepInfo) -> tuple[str, str]:
    """A step's name, and its action when the name does not say it already; both sanitised."""
    name, action = sanitize(info.name), sanitize(info.action)
    return name, "" if name.startswith(action) else action


def headline(info: BuildStarted) -> list[str]:
    """The parts of a build's first line, after its name; sanitised."""
    parts = [info.arch, *(f"{name}={value}" for name, value in info.matrix.items()), count(len(info.steps), "step")]
    return [sanitize(part) for part in [*parts, f"isolation: {info.tier}" if info.tier else ""] if part]


def warning(build: BuildState, event: StepFetched) -> str:
    """What a person should know of a request that was refused or failed.

    Each part is sanitised on its own: a carriage return or an open escape in one must not swallow the others.
    """
    info = build.step_info(event.step)
    step = f"step {event.step + 1}" + (f", {sanitize(info.name)}" if info else "")
    what = "may not reach" if event.verdict == "refused" else "could not fetch from"
    reason = f": {sanitize(event.reason)}" if event.reason else ""
    return f"{step}, {what} {host_of(event.url)}{reason}"
