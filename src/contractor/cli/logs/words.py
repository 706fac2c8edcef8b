"""How a build or a step that was followed ended, in words on standard error; each returns its exit code."""

from __future__ import annotations

import sys

from contractor.cli import config
from contractor.cli.console.state import BuildState, Paper
from contractor.cli.console.summary import summary
from contractor.cli.output import talk, terminal_width
from contractor.cli.text import duration, sanitize
from contractor.core.errors import EXIT_CODES, Outcome
from contractor.core.events import BuildFinished
from contractor.store.records import Record


def never(record: Record, step: int) -> int:
    """A step that its build did not come to."""
    name = sanitize(record.steps[step].name)
    talk(f"step {step + 1}, {name}, was not reached: the build ended before it ({record.outcome})")
    return EXIT_CODES[Outcome(record.outcome)]


def step_words(step: int, name: str, outcome: str, seconds: float) -> int:
    """How a step ended; the exit code that its build would have for it."""
    took = f" after {duration(seconds)}" if seconds else ""
    talk(f"step {step + 1}, {sanitize(name)}: {outcome}{took}")
    return 0 if outcome == "cached" else EXIT_CODES[Outcome(outcome)]


def last_words(build: BuildState, event: BuildFinished) -> int:
    """What the build's own terminal says at the end, but for the output, which stands above."""
    settings = config.load()
    width = terminal_width(unknown=0)
    for line in ["", *summary(build, event, Paper(sys.stderr, settings.colour), width, output=False)]:
        talk(line)
    return EXIT_CODES[event.outcome]


def short_words(record: Record) -> int:
    """Of a build without an event that tells its end."""
    talk(f"{sanitize(record.name)}: {record.outcome} after {duration(record.seconds)}")
    return EXIT_CODES[Outcome(record.outcome)]
