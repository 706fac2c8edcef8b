"""Sizes, durations, widths, tables; and text that tries to drive the terminal."""

from __future__ import annotations

import random

import pytest

from contractor.cli.text import (
    clean_lines,
    clip,
    duration,
    human_size,
    pad,
    render_error,
    sanitize,
    table,
    width_of,
    wrap,
)
from contractor.core.errors import Failed


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (9_960_000, "10 MB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (340 * 10**9, "340 GB"),
    ],
)
def test_sizes_are_powers_of_1000(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0.0 s"),
        (0.04, "0.0 s"),
        (0.3, "0.3 s"),
        (9.96, "10 s"),
        (12.2, "12 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.8, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        (b"plain", "plain"),
        ("größe 日本語", "größe 日本語"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]0;title\x1b\\text", "text"),
        (b"\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]52;c;ZXZpbA==", ""),  # the clipboard, unterminated
        (b"\x1bPq#0;2;0\x1b\\after", "after"),
        (b"\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
        (b"\x1b(0lqk\x1b(B", "lqk"),
        (b"\x1b[38:2::255:0:0mx\x1b[?25l\x1b[>c\x1b[2 qy", "xy"),
        (b"\x1bc\x1b7\x1b8\x1b", ""),
        ("\x9b31mC1\x9d0;t\x07x\x9c\x85y", "C1x y"),
        (b"\x9b31m", "�31m"),  # a bare C1 byte is not UTF-8
        (b"a\x00b\x07c\x08d\x7fe", "abcde"),
        ("user\u202etxt.exe\u202c\u2066\u200b\ufeff", "usertxt.exe"),
        ("a\u2028b\u00a0c\u3000d", "a b c d"),
        (b"a\tb\t\tc", "a       b               c"),
        (b"10%\r50%\r100%\r\n", "100%"),
        (b"50%\r\x1b[K60%", "60%"),
        ("name\nwith lines", "name with lines"),
        ("\U000f0000\U0001ffff", "��"),
        (b"\xc3", "�"),
    ],
)
def test_sanitize(dirty, clean):
    assert sanitize(dirty) == clean


def test_sanitize_of_random_bytes_is_always_printable():
    chance = random.Random(7)
    for _ in range(300):
        data = chance.randbytes(200)
        assert sanitize(data).isprintable()
        assert sanitize(data.decode("latin-1")).isprintable()
        assert sanitize("".join(chance.choices("\x1b\x9b[]P;m0?\x07\\a \x9c\x9d", k=50))).isprintable()


def test_clean_lines():
    assert clean_lines(b"a\r\nb\n\nc\n") == ["a", "b", "", "c"]
    assert clean_lines("") == []


def test_widths():
    assert width_of("abc") == 3
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert pad("日", 4) == "日  "
    assert pad("1", 3, right=True) == "  1"


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("hello", 5, "hello"),
        ("hello!", 5, "hell…"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("x", 0, ""),
        ("xy", 1, "…"),
    ],
)
def test_clip(text, width, cut):
    assert clip(text, width) == cut


def test_clip_is_cheap_on_a_tower_of_accents():
    assert len(clip("a" + "\u0301" * 100_000, 80)) <= 321


def test_wrap():
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("x" * 10, 4) == ["xxxx", "xxxx", "xx"]
    assert wrap("日本語", 3) == ["日", "本", "語"]
    assert wrap("日", 1) == ["日"]
    assert wrap("as it is", 0) == ["as it is"]


def test_table_aligns_by_what_is_seen():
    assert table([("日本", "1", "x"), ("a", "10", "y")], right=(1,)) == ["日本   1  x", "a     10  y"]
    assert table([]) == []


def test_render_error():
    error = Failed("it \x1b[31mbroke", details=("at a.yaml:1:2", "two\nlines"), hint="contractor plan")
    assert render_error(error) == "error: it broke\n  at a.yaml:1:2\n  two\n  lines\nhint: contractor plan\n"
    assert render_error(Failed("short")) == "error: short\n"
    assert "\x1b[1;31merror:" in render_error(error, colour=True)
