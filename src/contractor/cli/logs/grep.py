"""Searching a log: lines that match a regular expression, with their step, their number and the lines around them."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

from contractor.cli.logs.parts import Part
from contractor.cli.logs.sinks import Lines
from contractor.cli.output import put
from contractor.cli.text import sanitize, width_of
from contractor.core.errors import Rejected

Form = Literal["terminal", "colour", "pipe", "json"]

_LOOK = 0.25  # seconds between two looks at the search
_LOOKS = 8  # a line that is searched for that many looks is given up: two seconds
_AROUND = 30  # characters of a wrong pattern shown on each side of the place
_SGR = {"match": "1;31", "number": "36", "context": "2"}


def compile_pattern(text: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Rejected, with the place in it, when it is no regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what future versions of Python may read otherwise
            return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        from shlex import quote

        at, plain = error.pos or 0, sanitize(quote(re.escape(text)))
        before = sanitize(text[max(0, at - _AROUND) : at])
        shown = before + sanitize(text[at : at + _AROUND])
        raise Rejected(
            f"--grep: {error.msg} at character {at + 1} of the pattern",
            details=(shown, " " * width_of(before) + "^"),
            hint=f"it is a Python regular expression; for the plain text write --grep {plain}",
        ) from error
    except (OverflowError, RecursionError) as error:
        raise Rejected(f"--grep: the pattern is too large: {error}", hint="write it shorter") from error


class Searcher:
    """A pattern with a time budget, as some patterns take for ever on some lines. To be entered while it is used."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._searches = 0
        self._busy = 0  # the number of the search that goes on
        self._seen = 0
        self._looks = 0

    def __enter__(self) -> Searcher:
        self._before = signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def spans(self, text: str, *, all_of_them: bool) -> list[tuple[int, int]]:
        """Where the pattern matches; the first place only, when that is enough. Raises TooSlow."""
        self._searches += 1
        self._busy = self._searches
        try:
            if all_of_them:
                return [match.span() for match in self._pattern.finditer(text)]
            match = self._pattern.search(text)
            return [match.span()] if match else []
        finally:
            self._busy = 0

    def _look(self, _signal: int, _frame: object) -> None:
        """The `re` module looks for signals while it searches; what is raised here ends it."""
        if not self._busy or self._busy != self._seen:
            self._seen, self._looks = self._busy, 0
            return
        self._looks += 1
        if self._looks >= _LOOKS:
            self._looks = 0
            raise TooSlow


class TooSlow(Exception):
    """The search of one line took longer than its budget: between two functions here, not an error of its own."""


class Grep:
    """A sink that shows what matches, with `context` lines around it. `found`: whether anything did."""

    def __init__(self, searcher: Searcher, context: int, form: Form, *, builds: bool = False) -> None:
        self.found = False
        self._searcher = searcher
        self._context = context
        self._form = form
        self._builds = builds  # parts are of several builds: say which

    def begin(self, part: Part) -> None:
        self._part = part
        self._lines = Lines(part.first)
        self._before: deque[tuple[int, str]] = deque(maxlen=self._context)
        self._after = 0
        self._last = 0  # the number of the line that was shown last

    def feed(self, data: bytes) -> None:
        self._search(self._lines.feed(data))

    def end(self) -> None:
        self._search(self._lines.finish())

    def pause(self) -> None:
        sys.stdout.flush()

    def _search(self, lines: list[tuple[int, str]]) -> None:
        every = self._form == "colour"
        for number, text in lines:
            try:
                spans = self._searcher.spans(text, all_of_them=every)
            except TooSlow as error:
                raise self._too_slow(number, text) from error
            if spans:
                put(self._group(number, text, spans))
                self.found, self._after, self._last = True, self._context, number
            elif self._after:
                self._after -= 1
                self._last = number
                put([self._line(number, text, None)])
            elif self._context:
                self._before.append((number, text))

    def _group(self, number: int, text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
        """A line that matches, after what stands before it."""
        first = self._before[0][0] if self._before else number
        terminal = self._form in ("terminal", "colour")
        if terminal and not self._last:
            yield f"==> {self._part.title}"
        elif self._context and self.found and first > self._last + 1 and self._form != "json":
            yield "--"
        for before in self._before:
            yield self._line(*before, None)
        self._before.clear()
        yield self._line(number, text, spans)

    def _line(self, number: int, text: str, spans: list[tuple[int, int]] | None) -> str:
        """One line of output; spans is None for a line around a match."""
        part, mark = self._part, "-" if spans is None else ":"
        if self._form == "json":
            return _as_json(part, number, text, match=spans is not None)
        if self._form == "pipe":
            step = f"{part.step} {sanitize(part.name)}" if part.step else sanitize(part.build)
            build = f"{sanitize(part.build)}{mark}" if self._builds and part.step else ""
            return f"{build}{step}{mark}{number}{mark}{text}"
        if self._form == "terminal":
            return f"{number:>6}{mark} {text}"
        if spans is None:
            return _style("context", f"{number:>6}- {text}")
        return _style("number", f"{number:>6}:") + " " + _marked(text, spans)

    def _too_slow(self, number: int, text: str) -> Rejected:
        part = self._part
        step = f"step {part.title}, " if part.step else ""
        return Rejected(
            f"--grep: the pattern was given up after {_LOOK * _LOOKS:.0f} seconds on one line",
            details=(f"{step}line {number}, which has {len(text)} characters",),
            hint="a repeat inside a repeat, such as (a+)+, or many .* in a row take for ever on long lines: "
            "write it simpler, or leave that line out with --step or --tail",
        )


def _marked(text: str, spans: list[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], _style("match", text[start:end])]
        at = end
    return "".join(parts) + text[at:]


def _style(kind: str, text: str) -> str:
    return f"\x1b[{_SGR[kind]}m{text}\x1b[0m" if text else ""


def _as_json(part: Part, number: int, text: str, *, match: bool) -> str:
    import msgspec

    value = {"build": part.build, "step": part.step, "name": part.name, "line": number, "text": text, "match": match}
    return msgspec.json.encode(value).decode()
