"""What is said of the time that steps are likely to take: pure text and arithmetic; store/timings.py knows the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contractor.cli.console_state import BuildState
from contractor.cli.text import duration
from contractor.core.events import BuildStarted

History = Callable[[BuildStarted], Sequence[float | None]]  # the likely seconds of each step, None where unknown

PATIENCE = 1.0  # seconds that a step must have run before anybody asks: short builds pay nothing
WORTH_SAYING = 10.0  # seconds: shorter steps get no line of their own in a plain log
_SLACK, _MORE = 2.0, 1.25  # half of all runs take longer than the median: only clearly longer ones are unusual


def roughly(seconds: float) -> str:
    """ "5 s", "40 s", "1 min 30 s", "12 min", "1 h 05 min": as exact as an estimate may sound."""
    for limit, unit in ((9.5, 1), (57.5, 5), (585, 30), (3570, 60)):
        if seconds < limit:
            break
    else:
        unit = 300
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
    """What is left of the whole build: "about 3 min left", "at least 3 min left"; empty when too little is known.

    build: the innermost that runs; `now` is in seconds since the epoch. The running step alone says it already.
    """
    likely = [_rest_of_step(build, now), *build.later()]
    outer = build.parent
    while outer is not None:
        likely += outer.later()
        outer = outer.parent
    known = [seconds for seconds in likely if seconds is not None]
    total = sum(known)
    if len(likely) < 2 or 2 * len(known) <= len(likely) or likely[0] is None or total < 1:
        return ""
    return f"{'about' if len(known) == len(likely) else 'at least'} {roughly(total)} left"


def _rest_of_step(build: BuildState, now: float) -> float | None:
    likely = build.likely(build.step)
    return None if likely is None else max(0.0, likely - (now - build.since))
