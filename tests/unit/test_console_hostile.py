"""Output and names that try to drive the terminal of whoever watches."""

from __future__ import annotations

import random

import pytest
from console_screen import Terminal, live, terminal_size
from console_script import Script, play

from contractor.core.errors import Outcome


@pytest.fixture(autouse=True)
def _sizes(monkeypatch):
    monkeypatch.setattr("os.get_terminal_size", terminal_size)


def begun(terminal: Terminal, **options):
    """A console in step 8, Compile, with nothing else above it than the header."""
    console, script = live(terminal, **options), Script()
    play(console, iter([script.start(), script.begin(7)]))
    return console, script


HOSTILE = [
    b"\x1b[2J\x1b[H\x1b[31mgone\n",
    b"\x1b]0;pwned\x07\x1b]2;pwned\x1b\\\x1b]52;c;cHduZWQ=\x07clip\n",
    b"\x9b2J\xc2\x9b2J\xc2\x9d0;pwned\x07\n",
    b"\x1b[?1049h\x1b[?25h\x1b[10A\x1bc\x1b#8\n",
    "\u202etxet desrever\u2066 \u200f\n".encode(),
    b"a\x08\x08\x08\x0b\x0c\x0e\x7f\x00\n",
    b"\x1b]0;never ended " + b"pwned" * 1000,
    b"\r\r\r\x1b[5;5Hpwned\x1b",
    b"e" + "\u0301".encode() * 5000,
]


@pytest.mark.parametrize("data", HOSTILE)
def test_a_step_cannot_drive_the_terminal(data):
    terminal = Terminal()
    console, script = begun(terminal)
    console(script.says(7, data, took=1.0))
    console.tick(script.at)
    assert "\x07" not in terminal.raw and "\x1b]" not in terminal.raw and "\u202e" not in terminal.raw
    assert terminal.screen.title == ""
    assert terminal.cursor_hidden
    assert terminal.lines()[0].startswith("hello  amd64")
    assert len(terminal.lines()) <= 3
    play(console, iter([script.done(7, 1.0)]))
    assert len(terminal.lines()) == 2


def test_names_messages_hosts_and_hints_cannot_either():
    evil = "x\x1b]0;pwned\x07\x1b[2J\n\x9b2J\u202e"
    terminal, script = Terminal(rows=60), Script([(evil, "shell")])
    console = live(terminal, verbose=True)
    play(console, iter([script.start(evil, matrix={evil: evil}), script.begin(0, evil), script.notice(evil)]))
    play(console, iter([script.fetched(0, f"http://{evil}/", "refused", evil), script.fetched(0, evil)]))
    play(console, iter([script.says(0, evil.encode()), script.done(0, 1.0, Outcome.FAILED)]))
    end = script.end(Outcome.FAILED, step=0, message=evil, details=(evil,), hint=evil, record=evil)
    play(console, iter([end]))
    assert terminal.screen.title == "" and "\x1b[2J" not in terminal.raw
    assert not set("\x07\x9b\u202e") & set(terminal.raw)


def test_random_bytes_and_a_10_mib_line():
    terminal, chance = Terminal(), random.Random(5)
    console, script = begun(terminal)
    for _ in range(50):
        console(script.says(7, chance.randbytes(5000)))
        console.tick(script.at)
        assert len(terminal.lines()) <= 7
    for _ in range(160):
        console(script.says(7, b"0123456789abcdef" * 4096, took=0.0))
    console.tick(script.at + 1)
    play(console, iter([script.done(7, 1.0)]))
    assert len(terminal.lines()) == 2


def test_wide_characters_stay_in_their_row():
    terminal = Terminal(40, 12)
    console, script = begun(terminal)
    console(script.says(7, ("日本語のログ" * 20 + "\n").encode() * 3, took=1.0))
    console.tick(script.at)
    assert len(terminal.lines()) == 5
