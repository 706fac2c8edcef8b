"""Secrets taken out of streams: in every form, wherever reads end, at speed, and nothing else."""

from __future__ import annotations

import base64
import html
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.secrets.forms import WHITE, marks_to_hide, marks_to_seek
from contractor.build.secrets.redactor import MASK, Marks, Redactor
from contractor.build.secrets.sieve import Sieve

TOKEN = b"ghp_9aZ/kQ+7&m=Lx 3!vR\xc3\xa9"
KEY = b"-----BEGIN PRIVATE KEY-----\n" + b"\n".join(
    base64.b64encode(random.Random(7).randbytes(300))[at : at + 64] for at in range(0, 400, 64)
)
LINE = KEY.splitlines()[3]
PIN = b"8153"
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda value: value,
    "base64": base64.b64encode,
    "base64, not padded": lambda value: base64.b64encode(value).rstrip(b"="),
    "base64, one byte before": lambda value: base64.b64encode(b"x" + value),
    "base64, two bytes before": lambda value: base64.b64encode(b"u:" + value + b"\n"),
    "base64, more on both sides": lambda value: base64.b64encode(b"user:" + value + b"@host"),
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 for URLs, two bytes before": lambda value: base64.urlsafe_b64encode(b"??" + value),
    "base32": base64.b32encode,
    "base32, one byte before": lambda value: base64.b32encode(b"x" + value),
    "base32, more on both sides": lambda value: base64.b32encode(b"user" + value + b"@host"),
    "hexadecimal": lambda value: value.hex().encode(),
    "HEXADECIMAL": lambda value: value.hex().upper().encode(),
    "percent": lambda value: quote(value, safe="").encode(),
    "percent, slashes left": lambda value: quote(value).encode(),
    "percent, as a form": lambda value: quote_plus(value).encode(),
    "JSON": lambda value: json.dumps(value.decode()).encode(),
    "JSON, not only ASCII": lambda value: json.dumps(value.decode(), ensure_ascii=False).encode(),
    "HTML": lambda value: html.escape(value.decode()).encode(),
    "HTML, quotes left": lambda value: html.escape(value.decode(), quote=False).encode(),
    "UTF-16": lambda value: value.decode().encode("utf-16-le"),
    "UTF-16, big end first": lambda value: value.decode().encode("utf-16-be"),
}
WRAPS = {"": 0, "wrapped at 64": 64, "wrapped at 76": 76}


def wrapped(data: bytes, width: int) -> bytes:
    return data if not width else b"\n".join(data[at : at + width] for at in range(0, len(data), width))


def tight(data: bytes) -> bytes:
    return data.translate(None, WHITE)


@cache
def marks(*secrets: bytes) -> Marks:
    return Marks(mark for secret in secrets for mark in marks_to_hide("NAME", secret))


def redacted(found: Marks, pieces: Iterable[bytes]) -> bytes:
    redactor = Redactor(found)
    return b"".join([*map(redactor.feed, pieces), redactor.rest()])


def cut(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    last = 0
    for at in [*sorted(min(at, len(data)) for at in cuts), len(data)]:
        yield data[last:at]
        last = at


CUTS = st.lists(st.integers(0, 2000), max_size=12)
NOISE = st.binary(max_size=150) | st.text("abcdefghXYZ+/=09 \n", max_size=150).map(str.encode)
SECRETS = st.binary(min_size=8, max_size=200).filter(lambda value: len(tight(value)) >= 8)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [TOKEN, KEY], ids=["a token", "a key of several lines"])
@given(cuts=CUTS)
def test_a_known_form_is_hidden_wherever_reads_end(secret: bytes, form: str, wrap: str, cuts: list[int]) -> None:
    if wrap and "base64" not in form and "hex" not in form.lower():
        return  # nobody wraps these
    data = b"the value: " + wrapped(FORMS[form](secret), WRAPS[wrap]) + b" and that was it\n"
    shown = redacted(marks(secret), cut(data, cuts))
    assert MASK in shown
    without_white = tight(shown)
    for mark in marks_to_hide("NAME", secret):
        assert mark.data not in (without_white if mark.loose else shown)
    assert shown.startswith(b"the value: ")
    assert shown.endswith(b" and that was it\n")
    rest = tight(shown.replace(b"the value: ", b"").replace(b" and that was it\n", b"").replace(MASK, b""))
    assert len(rest) <= 20, rest  # what an encoding shares with its neighbours, quotes, and the beginning of a line


@given(SECRETS, st.sampled_from(sorted(FORMS)), NOISE, NOISE, CUTS, st.sampled_from([0, 13, 64, 76]))
def test_any_value_in_any_form_is_hidden(
    secret: bytes, form: str, before: bytes, after: bytes, cuts: list[int], width: int
) -> None:
    try:
        coded = FORMS[form](secret.strip())
    except UnicodeDecodeError:
        return  # JSON has text alone
    stream = before + (wrapped(coded, width) if width and "base64" in form else coded) + after
    shown = redacted(marks(secret), cut(stream, cuts))
    for mark in marks_to_hide("NAME", secret):
        if mark.data not in b"[secret]":
            parts = shown.split(MASK)
            assert not any(mark.data in (tight(part) if mark.loose else part) for part in parts), mark


@given(st.lists(st.binary(min_size=4, max_size=40), min_size=1, max_size=3), st.data())
def test_where_reads_end_changes_nothing(secrets: list[bytes], data: st.DataObject) -> None:
    """But at the end of a line, where the last seven bytes of it are shown at once."""
    secrets = [secret for secret in secrets if len(secret.strip()) >= 4]
    parts = data.draw(st.lists(st.sampled_from(secrets or [b"none"]) | st.binary(max_size=9), max_size=12))
    stream = b"".join(parts).replace(b"\n", b"?").replace(b"\r", b"!")
    found = marks(*secrets)
    assert redacted(found, cut(stream, data.draw(CUTS))) == redacted(found, [stream])


@given(st.binary(max_size=300), CUTS)
def test_what_has_no_secret_passes_as_it_is(noise: bytes, cuts: list[int]) -> None:
    found = marks(b"\xf7\xf8 nobody writes this \xf9", KEY)
    assert redacted(found, cut(noise, cuts)) == noise


def test_a_line_is_not_held_back_for_what_its_end_may_begin() -> None:
    redactor = Redactor(marks(TOKEN, KEY))
    assert redactor.feed(b"compiling ghp_\n") == b"compiling ghp_\n"
    assert redactor.feed(b"compiling ghp_") == b"compiling "


def test_a_value_byte_by_byte() -> None:
    redactor = Redactor(marks(b"abracadabra"))
    shown = [redactor.feed(bytes([byte])) for byte in b"[abra abracadabra, abra"]
    assert b"".join(shown) + redactor.rest() == b"[abra [secret], abra"


def test_a_value_that_begins_as_another_does() -> None:
    found = marks(b"opensesame", b"opensesame-and-more")
    assert redacted(found, [b"opensesame", b"-and-more\n"]) == b"[secret]\n"
    assert redacted(found, [b"opensesame", b"-and-less\n"]) == b"[secret]-and-less\n"


def test_lines_of_a_secret_alone_and_the_whole() -> None:
    found = marks(b"first-line-of-it\nsecond-line-of-it\nabc\n")
    assert redacted(found, [b"> second-line-of-it <\nfirst-line-of-it\nsecond-line-of-it\nabc\nabc\n"]) == (
        b"> [secret] <\n[secret]\nabc\n"
    )


def test_a_short_value_is_hidden_and_its_digits_apart_are_not() -> None:
    found = marks(PIN)
    assert redacted(found, [b"pin 8153, 8 153, ODE1Mw==, 38313533\n"]) == b"pin [secret], 8 153, [secret]==, [secret]\n"


def test_memory_is_bounded() -> None:
    redactor = Redactor(marks(b"a" * 5000, TOKEN))
    for _ in range(50):
        redactor.feed(b"a" * 10_000)
        assert len(redactor._held) <= 100
    redactor.feed(base64.b64encode(TOKEN)[:20])
    for _ in range(50):
        redactor.feed(b" " * 10_000)
        assert len(redactor._held) <= 1 << 17


@given(st.lists(st.binary(min_size=4, max_size=60), min_size=1, max_size=200), st.binary(max_size=500), st.data())
def test_a_sieve_finds_what_is_there(strings: list[bytes], noise: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(noise)))
    stream = noise[:at] + data.draw(st.sampled_from(strings)) + noise[at:]
    assert {*Sieve(strings).hits(stream)} == {string for string in strings if string in stream}


def test_outputs_are_not_searched_for_what_is_there_by_chance() -> None:
    assert marks_to_seek("PIN", PIN) == []
    found = [mark.data for mark in marks_to_seek("KEY", b"-----BEGIN PRIVATE KEY-----\nshort line\n" + LINE)]
    assert b"-----BEGINPRIVATEKEY-----" not in found
    assert b"short line" not in found
    assert LINE in found


@pytest.mark.parametrize("secret", [TOKEN, KEY, PIN, b"\n".join(b"word%d" % n for n in range(3000))])
def test_a_log_passes_at_speed(secret: bytes) -> None:
    """The bar is 200 MB/s; a loaded machine is given a sixth of it, so that only a wrong algorithm fails here."""
    line = b"libtool: compile:  gcc -DHAVE_CONFIG_H -I. -I../lib -O2 -g -c /usr/include/stdlib.h -o hello-hello.o\n"
    data = (line * 5000)[: 8 << 18]
    redactor = Redactor(marks(secret))
    began = time.process_time()
    size = 0
    for at in range(0, len(data), 1 << 18):
        size += len(redactor.feed(data[at : at + (1 << 18)]))
    took = time.process_time() - began
    assert size + len(redactor.rest()) == len(data)
    assert len(data) / took > (33e6 if len(secret) < 1000 else 5e6), f"{len(data) / took / 1e6:.0f} MB/s"
