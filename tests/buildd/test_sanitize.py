"""No credential gets through, however the bytes are cut."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.log import TAIL, Log, tail
from contractor.buildd.sanitize import LONGEST_LINE, Sieve, clean, clean_end


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("deb https://user:secret@ppa.example/x noble main", "deb https://ppa.example/x noble main"),
        ("http://:macaroon@host/", "http://host/"),
        ("http://u:p@ss@host/a@b", "http://host/a@b"),
        ("http://u:sec/ret@host/", "http://host/"),
        ("http://u:@host/", "http://host/"),
        ("a http://u:1@h http://v:2@h", "a http://h http://h"),
        ("http://u:1@h,http://v:2@i/", "http://h,http://i/"),
        ("http://host:8222/path@1", "http://host:8222/path@1"),
        ("http://host:8222/", "http://host:8222/"),
        ("ssh://git@host/x:y@z", "ssh://git@host/x:y@z"),
        ("socat - PROXY:h:443,proxyauth=user:token,proxyport=1", "socat - PROXY:h:443,proxyport=1"),
        ("nothing at all: a@b.c", "nothing at all: a@b.c"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text.encode()).decode() == shown


PIECES = st.lists(
    st.sampled_from(
        [b"http://user:SECRET@host/", b",proxyauth=user:SECRET", b" ", b"\n", b"x", b"://", b"\xff", b"a@b"]
    ),
    max_size=30,
)


@given(PIECES, st.lists(st.integers(1, 40), max_size=30))
def test_pieces_say_what_the_whole_says(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    sieve = Sieve()
    shown, at = b"", 0
    for size in cuts:
        shown += sieve.feed(data[at : at + size])
        at += size
    shown += sieve.feed(data[at:]) + sieve.rest()
    assert shown == clean(data)
    assert b"SECRET" not in shown


@given(
    st.integers(LONGEST_LINE - 60, LONGEST_LINE + 60),
    st.sampled_from([b"http://user:SECRET@host/", b",proxyauth=user:SECRET,"]),
    st.sampled_from([700, 4096, 65535, 65536, 1 << 20]),
    st.sampled_from([b"x", b"x y", b"://a/"]),
)
def test_a_long_line_is_cut_beside_credentials(before: int, credential: bytes, size: int, fill: bytes) -> None:
    start = fill * (before // len(fill))
    data = start + credential + b"z" * LONGEST_LINE
    sieve = Sieve()
    shown = b"".join(sieve.feed(data[at : at + size]) for at in range(0, len(data), size)) + sieve.rest()
    assert b"SECRET" not in shown
    assert b"SEC" not in shown
    assert shown.startswith(start[:-20])
    assert len(shown) > len(data) - 100


def test_a_credential_longer_than_any_is_left_out() -> None:
    sieve = Sieve()
    shown = b"".join(sieve.feed(piece) for piece in [b"see http://u:", *[b"S" * 1000] * 200, b"@host and more\n"])
    assert b"S" not in shown
    assert shown.startswith(b"see ")
    assert shown.endswith(b" and more\n")


def test_hostile_lines_are_cheap() -> None:
    began = time.process_time()
    sieve = Sieve()
    for piece in (
        b"://a:" * 12000 + b" @\n",
        b"@" + b"://a:x/" * 9000 + b"\n",
        b"://" * 300000,
        b",proxyauth=" * 50000,
    ):
        sieve.feed(piece)
    sieve.rest()
    assert time.process_time() - began < 2


def test_the_log_has_whole_clean_lines(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    log.write(b"fetching http://user:SEC")
    assert os.fstat(fd).st_size == 0
    log.write(b"RET@host/\nlast \xff line")
    log.run(["in-target", "a b"])
    log.write(b"no newline")
    log.close()
    lines = (tmp_path / "log").read_bytes().split(b"\n")
    assert lines[:4] == [b"fetching http://host/", b"last \xff line", b"", b"RUN: in-target 'a b'"]
    assert lines[4].startswith(b"[") and lines[5:] == [b"no newline"]
    os.close(fd)


def test_progress_appears_at_once(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    log.write(b"50 %\rhttp://u:p")
    assert (tmp_path / "log").read_bytes() == b"50 %\r"
    log.write(b"@h/\r")
    assert (tmp_path / "log").read_bytes() == b"50 %\rhttp://h/\r"
    os.close(fd)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", b""),
        (b"short http://u:p@h/\n", b"short http://h/\n"),
        (b"x" * 3000 + b"\nwhole\n", b"whole\n"),
        (b"://u:" + b"p" * 3000 + b"@h word", b"word"),
        (b"p" * 3000, b""),
        (b"a\n" * TAIL, b"a\n" * (TAIL // 2 - 1)),
        (b"going on http://u:sec", b"going on http"),
    ],
)
def test_tail(tmp_path: Path, text: bytes, shown: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    fd = os.open(path, os.O_RDONLY)
    assert tail(fd) == shown
    os.close(fd)


@given(st.binary(max_size=300))
def test_anything_may_be_cleaned(data: bytes) -> None:
    assert len(clean_end(data)) <= len(clean(data)) <= len(data)
