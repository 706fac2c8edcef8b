"""What a report shows, as plain values: made by collect.py, read by data/report/report.html.

Texts are as they came and hostile: the page makes them inert where it writes them (page.py). Sizes are bytes, times
seconds since the epoch, durations seconds.
"""

from __future__ import annotations

from typing import NamedTuple

from contractor.cli.report.logs import Block, Shown
from contractor.cli.report.waterfall import Bar, Tick
from contractor.core.events import ArtifactInfo
from contractor.core.fetch import Fetch


class Fact(NamedTuple):
    """code: the value is something to copy, such as a digest or a path."""

    name: str
    value: str
    code: bool = False


class Group(NamedTuple):
    """Facts under a heading. tall: names or values are long, each needs a line of its own."""

    title: str
    facts: tuple[Fact, ...]
    tall: bool = False


class LogView(NamedTuple):
    """A step's log. shown: None when there is nothing to show, and `note` says why. command: prints all of it."""

    note: str
    command: str = ""
    shown: Shown | None = None


class StepView(NamedTuple):
    """A step. kind: the outcome's class of colour; bar: None when it did not run; details: whether there are any.

    packages: those that the tree has since this step; in_tree: how many it has.
    """

    number: int
    name: str
    action: str
    outcome: str
    kind: str
    seconds: float
    at: float  # seconds after the build's start
    bar: Bar | None
    facts: tuple[Fact, ...]
    script: tuple[str, ...]
    env: tuple[Fact, ...]
    packages: tuple[str, ...]
    in_tree: int
    message: str
    tainted: str
    log: LogView
    open: bool


class FetchView(NamedTuple):
    """A request. earlier: the step was cached, and this happened in the build that ran it."""

    step: int
    earlier: bool
    fetch: Fetch


class Fetches(NamedTuple):
    """rows: what was not allowed first; left_out: how many more there are than a page carries."""

    rows: tuple[FetchView, ...] = ()
    size: int = 0
    refused: int = 0
    failed: int = 0
    left_out: int = 0


class Failure(NamedTuple):
    """What went wrong, whose turn it is and the way out; excerpt: the last lines of the deciding step's log."""

    message: str
    details: tuple[str, ...]
    turn: str
    hint: tuple[str, ...]
    step: int = 0  # the number of the step that decided, 0: none
    excerpt: Block | None = None


class NoticeView(NamedTuple):
    text: str
    warning: bool
    step: int  # number, 0: of the build


class BaseView(NamedTuple):
    """A base that this build had to build."""

    name: str
    build: str
    outcome: str
    kind: str
    seconds: float


class Changes(NamedTuple):
    """One section of the differences; lines begin with what they are: + new, - gone, ~ another."""

    title: str
    lines: tuple[str, ...]


class Comparison(NamedTuple):
    """The differences to the last good build of the same name, by kind; build: empty when there is none."""

    build: str = ""
    started: float = 0.0
    kinds: tuple[Changes, ...] = ()
    note: str = ""


class Page(NamedTuple):
    build: str
    name: str
    matrix: tuple[Fact, ...]
    outcome: str  # of the record, or died
    kind: str
    headline: str
    summary: tuple[str, ...]  # short facts for the line below the headline
    started: float
    seconds: float
    parent: str
    tainted: str
    failure: Failure | None
    notices: tuple[NoticeView, ...]
    steps: tuple[StepView, ...]
    ticks: tuple[Tick, ...]
    left_out: tuple[tuple[str, str], ...]  # steps that the plan does not have, and why
    bases: tuple[BaseView, ...]
    comparison: Comparison
    artifacts: tuple[ArtifactInfo, ...]
    fetches: Fetches
    environment: tuple[Group, ...]
