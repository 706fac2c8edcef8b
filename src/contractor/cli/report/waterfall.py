"""The picture of a build's time: each step a bar on one axis, as parts of its width. Pure.

Lengths are percentages, which SVG takes for x and width: the picture follows the page's width, and its text does not
shrink with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_MOST_TICKS = 6  # besides the first
_SHORTEST = 0.001  # of the width: SVG draws nothing of no width
_ROUND = (*(part * 10**power for power in range(-3, 1) for part in (1, 2, 5)), 10, 15, 30)  # seconds
_ROUND_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)


class Bar(NamedTuple):
    """Where a bar begins and how long it is, as SVG lengths."""

    x: str
    width: str


class Tick(NamedTuple):
    """A line of the axis: where, what it says, and on which side of it there is room for that."""

    x: str
    label: str
    anchor: str


def bar(at: float, seconds: float, total: float) -> Bar:
    """The bar of a step that began `at` seconds after the start; clocks that jumped leave it on the picture."""
    if total <= 0:
        return Bar("0%", "0%")
    begin = min(max(at, 0.0), total)
    end = min(max(begin + seconds, begin), total)
    return Bar(_percent(begin / total), _percent(max((end - begin) / total, _SHORTEST)))


def _percent(part: float) -> str:
    return f"{part * 100:.2f}".rstrip("0").rstrip(".") + "%"


def ticks(total: float) -> tuple[Tick, ...]:
    """The axis from 0 to `total` seconds, at round times."""
    if total <= 0:
        return ()
    step = _step(total)
    times = [step * number for number in range(int(total / step + 1e-9) + 1)]
    return tuple(Tick(_percent(time / total), _label(time, step), _anchor(time / total)) for time in times)


def _step(total: float) -> float:
    choices = [*_ROUND, *(60 * minutes for minutes in _ROUND_MINUTES)]
    fitting = (step for step in choices if total / step <= _MOST_TICKS)
    return next(fitting, 86400.0 * (int(total / 86400 / _MOST_TICKS) + 1))


def _anchor(part: float) -> str:
    return "start" if part < 0.04 else "end" if part > 0.96 else "middle"


def _label(time: float, step: float) -> str:
    if step >= 3600 and time:
        return f"{time / 3600:.0f} h" if time % 3600 == 0 else f"{time / 3600:.1f} h"
    if step >= 60 and time:
        return f"{time / 60:.0f} min"
    if step >= 1:
        return f"{time:.0f} s" if time < 60 else f"{int(time // 60)}:{int(time % 60):02} min"
    digits = 1 if step >= 0.1 else 2 if step >= 0.01 else 3
    return f"{time:.{digits}f} s" if time else "0 s"


def longest(ends: Sequence[float], seconds: float) -> float:
    """The axis' length: the build's own time, or the end of its last step where that is later."""
    return max([seconds, *ends, 0.0])
