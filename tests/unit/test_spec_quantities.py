"""Sizes and durations: what people write, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.spec.quantities import MAX_SIZE, duration_text, parse_duration, parse_size, size_text

SIZES = {
    "4G": 4 << 30, "100M": 100 << 20, "512KiB": 512 << 10, "512Ki": 512 << 10, "4096": 4096, "0": 0, "1.5G": 3 << 29,
    "2T": 2 << 40, "12B": 12, "8 M": 8 << 20, "4g": 4 << 30,
}  # fmt: skip
DURATIONS = {
    "30m": 1800.0, "1h30m": 5400.0, "90s": 90.0, "90": 90.0, "0": 0.0, "0.5s": 0.5, "1d": 86400.0, "1.5h": 5400.0,
    "1h1m1s": 3661.0,
}  # fmt: skip


@pytest.mark.parametrize("text", SIZES)
def test_sizes(text):
    assert parse_size(text) == SIZES[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "-1",
        "4GB",
        "4kb",
        "1e9",
        "4X",
        "4GiBs",
        "1.2.3",
        "1.",
        ".5G",
        "４G",
        "9" * 30,
        "9999999T",
        "4 G B",
        "inf",
    ],
)
def test_no_sizes(text):
    message, hint = parse_size(text)
    assert message and hint


@pytest.mark.parametrize("text", DURATIONS)
def test_durations(text):
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "-1s",
        "1m1h",
        "1m30",
        "1h 30m",
        "1mm",
        "1w",
        "400d",
        "1e3",
        "1.2.3s",
        "inf",
        "nan",
        "1hour",
        "٣m",
        "9" * 30,
    ],
)
def test_no_durations(text):
    message, hint = parse_duration(text)
    assert message and hint


@given(st.integers(0, MAX_SIZE))
def test_sizes_round_trip(size):
    assert parse_size(size_text(size)) == size


@given(st.integers(0, 366 * 86400))
def test_whole_durations_round_trip(seconds):
    assert parse_duration(duration_text(float(seconds))) == seconds


@given(st.floats(0, 366 * 86400))
def test_durations_round_trip_to_the_microsecond(seconds):
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.text())
def test_any_text_is_a_quantity_or_a_fault(text):
    for parsed in (parse_size(text), parse_duration(text)):
        assert isinstance(parsed, int | float) or all(parsed)


def test_texts_are_short():
    assert [size_text(n) for n in (0, 1, 1024, 4 << 30, 3 << 29)] == ["0", "1", "1K", "4G", "1536M"]
    assert [duration_text(n) for n in (0.0, 90.0, 5400.0, 86400.0, 0.5)] == ["0s", "1m30s", "1h30m", "1d", "0.5s"]
