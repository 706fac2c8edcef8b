"""Following a build from another terminal: its log while it grows, and then how it ended.

The events tell where in the log each step begins. The log's size is read before them, so that no byte is taken for a
step's that the next one wrote. A running build holds its lock; one that does not, and has not told its end, died.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from contractor.cli.console.state import Builds, BuildState
from contractor.cli.logs.parts import Part, chosen_parts, log_path, pieces, position, tail
from contractor.cli.logs.sinks import Sink
from contractor.cli.logs.words import last_words, never, short_words, step_words
from contractor.cli.output import talk
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Broken, Outcome, Rejected
from contractor.core.events import AnyEvent, BuildFinished, BuildStarted, StepCached, StepFinished, StepStarted
from contractor.store.layout import Store
from contractor.store.live import is_live, live_builds
from contractor.store.progress import RUNNING, EventReader, so_far
from contractor.store.records import Record, Records

_PERIOD = 0.1  # seconds between two looks
_PATIENCE = 5.0  # seconds for a build's first record


def newest_running(store: Store) -> str | None:
    """The build that is meant when nobody names one: the newest that runs and is no base of another."""
    records = Records(store)
    for build in sorted(live_builds(store), reverse=True):
        try:
            record = first_record(records, build)
        except (Rejected, Broken):
            continue
        if record.outcome == RUNNING and not record.parent:  # a shell may hold the lock of one that has ended
            return build
    return None


def first_record(records: Records, build: str) -> Record:
    """A build's record; of one that begins just now, when it has written it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return records.read(build)
        except Rejected:
            if time.monotonic() > deadline or not os.path.isdir(records.folder(build)):
                raise
        time.sleep(_PERIOD)


def follow(store: Store, record: Record, step: str | None, lines: int | None, sink: Sink) -> int:
    """Show a build's log until it ends, or a step's until that ends; returns the exit code of what ended.

    lines: begin with so many lines of what is there, None: with all.
    """
    asked = position(record, step) if step is not None else -1
    try:
        if record.outcome != RUNNING:
            return _ended(store, record, asked, lines, sink)
        return _Follower(store, record, asked, lines, sink).run()
    except KeyboardInterrupt:
        sink.pause()
        if is_live(store, record.id):
            talk(f"\nthe build goes on; `contractor log --follow {sanitize(record.id)}` looks on")
        return EXIT_CODES[Outcome.ABORTED]


def _ended(store: Store, record: Record, asked: int, lines: int | None, sink: Sink) -> int:
    """Of what has ended: what there is, and how it ended."""
    if asked >= 0 and record.steps[asked].outcome == "not run":
        return never(record, asked)
    parts = chosen_parts(record, store, str(asked + 1) if asked >= 0 else None)
    for part in parts if lines is None else tail(parts, lines):
        sink.begin(part)
        for data in pieces(part):
            sink.feed(data)
        sink.end()
    sink.pause()
    if asked >= 0:
        step = record.steps[asked]
        return step_words(asked, step.name, step.outcome, step.seconds)
    builds, end = Builds(), None
    for event in EventReader(Records(store).folder(record.id)).new():
        build = builds.follow(event)
        if isinstance(event, BuildFinished) and event.build == record.id:
            end = build, event
    if end is not None and end[0] is not None:
        return last_words(end[0], end[1])
    return short_words(record)


class _Stream:
    """The log of a build that is followed: how much of it was given on, and the part of the running step."""

    def __init__(self, started: BuildStarted, path: str, title: str) -> None:
        self.build = started.build
        self.steps = started.steps
        self.path = path
        self.title = title
        self.at = 0
        self.part: Part | None = None

    def begin(self, step: int, start: int) -> None:
        name = self.steps[step].name if 0 <= step < len(self.steps) else ""
        self.at = start
        self.part = Part(
            self.path, start, start, f"{self.title}{step + 1}. {sanitize(name)}", self.build, step + 1, name
        )

    def cut(self, end: int) -> list[Part]:
        """What the running step has written since the last cut, which may be nothing."""
        if self.part is None:
            return []
        start, self.at = self.at, max(self.at, end)
        return [self.part._replace(start=start, end=self.at)]


class _Follower:
    """A running build, and the bases that are built inside it: the innermost is the one that writes."""

    def __init__(self, store: Store, record: Record, asked: int, lines: int | None, sink: Sink) -> None:
        self._store = store
        self._record = record
        self._asked = asked
        self._lines = lines
        self._sink = sink
        self._path = log_path(store, record.id)
        self._reader = EventReader(Records(store).folder(record.id))
        self._builds = Builds()
        self._streams: list[_Stream] = []
        self._wanted = asked < 0
        self._parts: list[Part] = []
        self._shown: tuple[str, int] | None = None  # the build and step that the sink is in
        self._end: BuildFinished | StepFinished | StepCached | None = None
        self._outer: BuildState | None = None

    def run(self) -> int:
        """Look until there is an end. Broken when the build died."""
        waiting = self._asked >= 0
        while True:
            live = is_live(self._store, self._record.id)  # before the look: what is written at the very end is seen
            self._look()
            if self._end is not None:
                return self._words(self._end)
            if not live:
                return self._gone()
            if waiting and not self._wanted:
                step = self._record.steps[self._asked].name
                talk(f"waiting for step {self._asked + 1}, {sanitize(step)}")
            waiting = False
            time.sleep(_PERIOD)

    def _look(self) -> None:
        """Show what has come since the last look."""
        paths = {self._path, *(stream.path for stream in self._streams)}
        sizes = {path: _size(path) for path in paths}
        for event in self._reader.new():
            self._handle(event)
            if self._end is not None:
                break
        else:
            if self._streams and (size := sizes.get(self._streams[-1].path)):
                self._cut(self._streams[-1], size)
        parts, self._parts = self._parts, []
        if self._lines is not None and parts:
            parts, self._lines = tail(parts, self._lines), None
        self._show(parts)
        self._sink.pause()

    def _handle(self, event: AnyEvent) -> None:
        build = self._builds.follow(event)
        stream = self._streams[-1] if self._streams else None
        if isinstance(event, BuildStarted):
            title = f"{sanitize(event.name)} " if self._streams else ""
            self._streams.append(_Stream(event, log_path(self._store, event.build), title))
        elif stream is None or event.build != stream.build:
            return
        elif isinstance(event, StepStarted):
            self._cut(stream, event.log_start)
            if len(self._streams) == 1 and self._asked >= 0:
                self._wanted = event.step == self._asked
            stream.begin(event.step, event.log_start)
        elif isinstance(event, BuildFinished):
            self._cut(stream, _size(stream.path))
            self._streams.pop()
            if not self._streams:
                self._end, self._outer = event, build
        elif isinstance(event, StepFinished | StepCached) and len(self._streams) == 1 and event.step == self._asked:
            self._cut(stream, _size(stream.path))
            self._end = event

    def _cut(self, stream: _Stream, end: int) -> None:
        parts = stream.cut(end)
        if self._wanted:
            self._parts += parts

    def _show(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if (part.build, part.step) != self._shown:
                if self._shown is not None:
                    self._sink.end()
                self._sink.begin(part)
                self._shown = part.build, part.step
            for data in pieces(part):
                self._sink.feed(data)

    def _words(self, end: BuildFinished | StepFinished | StepCached) -> int:
        """Say how it ended, and with which exit code."""
        if self._shown is not None:
            self._sink.end()
        self._sink.pause()
        if isinstance(end, StepCached):
            record = so_far(Records(self._store), self._record)
            return _ended(self._store, record, self._asked, self._lines, self._sink)
        if isinstance(end, StepFinished):
            return step_words(end.step, self._record.steps[end.step].name, end.outcome.value, end.seconds)
        if self._asked >= 0:
            return never(Records(self._store).read(self._record.id), self._asked)
        assert self._outer is not None
        return last_words(self._outer, end)

    def _gone(self) -> int:
        """Nobody holds the build's lock, and no event told its end."""
        if self._shown is not None:
            self._sink.end()
        self._sink.pause()
        record = Records(self._store).read(self._record.id)
        if record.outcome != RUNNING:
            return short_words(record)
        raise Broken(
            f"the build {record.id} died: it was killed, or the machine went down",
            hint="build again: finished steps are kept",
        )


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0
