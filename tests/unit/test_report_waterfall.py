"""The picture of a build's time: bars and ticks stay on it, and are where their times are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.cli.report.waterfall import Bar, Tick, bar, longest, ticks

TIMES = st.floats(-1e6, 1e7, allow_nan=False)


@given(TIMES, TIMES, st.floats(0, 1e7))
def test_bars_begin_and_end_on_the_picture(at, seconds, total):
    found = bar(at, seconds, total)
    x, width = (float(text.removesuffix("%")) for text in found)
    assert 0 <= x <= 100
    assert 0 <= width <= 100
    assert x + width <= 100.11


def test_bars_are_where_their_times_are():
    assert bar(2, 4, 8) == Bar("25%", "50%")
    assert bar(0, 0.0001, 8).width == "0.1%", "SVG draws nothing of no width"


@given(st.floats(0.001, 1e8))
def test_there_are_a_few_ticks_in_order(total):
    found = ticks(total)
    places = [float(tick.x.removesuffix("%")) for tick in found]
    assert 2 <= len(found) <= 8
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] <= 100
    assert len({tick.label for tick in found}) == len(found)


@pytest.mark.parametrize(
    ("total", "labels"),
    [
        (0.085, ["0 s", "0.02 s", "0.04 s", "0.06 s", "0.08 s"]),
        (3.2, ["0 s", "1 s", "2 s", "3 s"]),
        (75, ["0 s", "15 s", "30 s", "45 s", "1:00 min", "1:15 min"]),
        (700, ["0 s", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (9000, ["0 s", "30 min", "60 min", "90 min", "120 min", "150 min"]),
        (20000, ["0 s", "1 h", "2 h", "3 h", "4 h", "5 h"]),
    ],
)
def test_labels_are_round(total, labels):
    assert [tick.label for tick in ticks(total)] == labels


def test_labels_at_the_edges_stay_inside():
    assert ticks(3)[0] == Tick("0%", "0 s", "start")
    assert ticks(3)[-1].anchor == "end"
    assert ticks(0) == ()


def test_the_axis_reaches_the_last_end():
    assert longest([1, 9], 5) == 9
    assert longest([], 5) == 5
