"""Output of any size and cut, in bounded memory."""

from __future__ import annotations

import random
import time
import tracemalloc

import pytest

from contractor.cli.console.tail import LINE_BYTES, Lines, Tail


def pieces(data: bytes, size: int):
    return (data[start : start + size] for start in range(0, len(data), size))


def test_tail_shows_the_last_lines_and_an_unfinished_one():
    tail = Tail()
    for piece in pieces(b"one\n\ntwo\nthree\nfour", 3):
        tail.feed(piece)
    assert tail.lines(3) == ["two", "three", "four"]
    assert tail.lines(9) == ["one", "", "two", "three", "four"]
    assert tail.lines(9, blank=False) == ["one", "two", "three", "four"]
    assert tail.lines(0) == []


@pytest.mark.parametrize("size", [1, 7, 4095, 4097, 1 << 20])
def test_a_mebibyte_of_e_acute_is_never_cut_in_a_character(size):
    data = ("é" * 39 + "\n").encode() * ((1 << 20) // 79)
    tail, lines, got = Tail(), Lines(), []
    for piece in pieces(data, size):
        tail.feed(piece)
        got += lines.feed(piece)
    assert set(got) == {"é" * 39}
    assert all(set(line) <= {"é"} for line in tail.lines(20))


def test_the_only_line_of_a_full_tail_starts_with_a_whole_character():
    tail = Tail()
    tail.feed(b"x" + "é".encode() * (1 << 17))
    assert "�" not in tail.lines(1)[0][:10]


def test_a_10_mib_line_is_cut_and_counted():
    lines = Lines()
    got = [line for piece in pieces(b"y" * (10 << 20), 65_000) for line in lines.feed(piece)]
    assert got == []
    (line,) = lines.feed(b"\nnext")
    assert line == "y" * LINE_BYTES + f" ... ({(10 << 20) - LINE_BYTES} more bytes are in the log)"
    assert lines.finish() == ["next"]
    assert lines.finish() == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_long_progress_bar_ends_in_its_last_state(end):
    lines, got = Lines(), []
    for number in range(30_000):
        got += lines.feed(b"\r%d of 29999" % number)
    got += lines.feed(end) + lines.finish()
    assert got == ["29999 of 29999"]
    lines = Lines()
    got = [line for n in range(30_000) for line in lines.feed(b"%d of 29999\r" % n)] + lines.finish()
    assert got == ["29999 of 29999"]


def test_random_bytes_are_lines_of_printable_text():
    chance = random.Random(3)
    data = chance.randbytes(1 << 20)
    tail, lines, got = Tail(), Lines(), []
    for piece in pieces(data, 10_007):
        tail.feed(piece)
        got += lines.feed(piece)
    got += lines.finish()
    assert len(got) == data.count(b"\n") + 1
    assert all(line.isprintable() for line in got + tail.lines(20))


def test_a_gigabyte_costs_no_memory_and_little_time():
    chunk = b"a line of quite ordinary length, as compilers write it\n" * 1200  # 64 kB, as a pipe gives it
    tail = Tail()
    tracemalloc.start()
    begin = time.perf_counter()
    for number in range(1 << 30 >> 16):
        tail.feed(chunk)
        if number % 800 == 0:
            tail.lines(5)
    seconds = time.perf_counter() - begin
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert seconds < 2  # 500 MB/s; a tenth of that in practice


def test_many_tiny_writes_are_not_quadratic():
    tail, lines = Tail(), Lines()
    begin = time.perf_counter()
    for _ in range(1 << 18):
        tail.feed(b"z")
        lines.feed(b"z")
    assert time.perf_counter() - begin < 5
