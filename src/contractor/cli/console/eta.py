"""What is said of the time that steps are likely to take: text and arithmetic; store/timings.py knows the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from contractor.cli.text import duration
from contractor.core.events import BuildStarted
from contractor.core.words import count

if TYPE_CHECKING:
    from contractor.cli.console.state import BuildState
    from contractor.store.layout import Store

History = Callable[[BuildStarted], Sequence[float | None]]  # the likely seconds of each step, None where unknown

PATIENCE = 1.0  # seconds that a step must have run before anybody asks: short builds pay nothing
WORTH_SAYING = 10.0  # seconds: shorter steps get no line of their own in a plain log
_UNITS = ((9.5, 1), (57.5, 5), (585, 30), (3570, 60))  # below so many seconds, multiples of so many
_SLACK, _MORE = 2.0, 1.25  # half of all runs take longer than the median: only clearly longer ones are unusual


def history_of(store: Store) -> History:
    """What the records of a store tell; read when it is asked."""

    def look(started: BuildStarted) -> Sequence[float | None]:
        from contractor.store.records import Records
        from contractor.store.timings import expected

        steps = [(step.name, step.action) for step in started.steps]
        return expected(Records(store), started.name, started.matrix, steps)

    return look


def roughly(seconds: float) -> str:
    """ "5 s", "40 s", "1 min 30 s", "12 min", "1 h 05 min": as exact as an estimate may sound."""
    unit = next((unit for limit, unit in _UNITS if seconds < limit), 300)
    whole = max(1, int(seconds / unit + 0.5) * unit)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60:02} min" if whole % 3600 else "")


def running_times(elapsed: float, likely: float | None) -> list[str]:
    """What stands at the end of a running step's line, the best first, then shorter ones."""
    plain = duration(elapsed)
    if likely is None:
        return [plain]
    usual = roughly(likely)
    if elapsed > likely * _MORE + _SLACK:
        return [f"{plain}, longer than usual ({usual})", f"{plain} (usually {usual})", plain]
    return [f"{plain} of about {usual}", f"{plain} of ~{usual}", plain] if likely >= 1 else [plain]


def time_left(build: BuildState, now: float) -> str:
    """What is left of the whole build; empty when too little is known, and where the running step says it already.

    build: the innermost that runs; `now` is in seconds since the epoch.
    """
    likely = [build.likely(build.step), *build.later()]
    outer = build.parent
    while outer is not None:
        likely += outer.later()
        outer = outer.parent
    return left_text(likely, now - build.since) if len(likely) > 1 else ""


def left_text(likely: Sequence[float | None], elapsed: float) -> str:
    """ "about 3 min left". likely: of the running step, which began `elapsed` seconds ago, and of those after it.

    "at least" when some of them are unknown; nothing when the running one is, or half of them are.
    """
    known = [seconds for seconds in likely if seconds is not None]
    if not likely or likely[0] is None or 2 * len(known) <= len(likely):
        return ""
    total = max(0.0, likely[0] - elapsed) + sum(known[1:])
    return f"{'about' if len(known) == len(likely) else 'at least'} {roughly(total)} left" if total >= 1 else ""


def total_text(likely: Sequence[float | None]) -> str:
    """ "about 3 min in all" of what will run; nothing when none of it is known, or it is no time worth naming."""
    known = [seconds for seconds in likely if seconds is not None]
    if sum(known) < 1:
        return ""
    if len(known) == len(likely):
        return f"about {roughly(sum(known))} in all"
    return f"at least {roughly(sum(known))} in all: {count(len(likely) - len(known), 'step')} never ran before"
