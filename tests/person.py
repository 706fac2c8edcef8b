"""A person at a terminal: a program that gets keys and shows what is seen. Every wait is bounded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

PATIENCE = 30.0  # seconds
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cM])")
_PIECE = 1 << 16

Popen = Callable[..., "subprocess.Popen[bytes]"]
_POPEN: Popen = partial(subprocess.Popen, start_new_session=True)


class Person:
    """Use as a context manager: the window is closed at the end, and the program killed if that does not end it."""

    def __init__(
        self, argv: Sequence[str], *, popen: Popen = _POPEN, size: tuple[int, int] = (100, 40), **more: Any
    ) -> None:
        """size: columns and rows. popen, more: how the program is started: in a session of its own."""
        self._master, slave = os.openpty()
        self.device = os.ttyname(slave)
        os.set_blocking(self._master, False)
        self.resize(*size)
        self.raw = bytearray()  # every byte that came
        self._text = bytearray()  # the same without colours and the like
        self._seen = 0  # of the text: what has been waited for
        self._half = b""  # of an escape that came in two pieces
        self._gone = False
        try:
            self.process = popen(list(argv), stdin=slave, stdout=slave, stderr=slave, preexec_fn=_take_terminal, **more)
        finally:
            os.close(slave)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_error: object) -> None:
        self.hang_up()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def type(self, text: str | bytes) -> None:
        """Press keys; reads what comes meanwhile, as a terminal does."""
        data = memoryview(text if isinstance(text, bytes) else text.encode())
        until = time.monotonic() + PATIENCE
        while data:
            assert time.monotonic() < until, f"nobody takes what is typed ({len(data)} bytes left):\n{self.recent()}"
            readable, writable, _ = select.select([self._master], [self._master], [], 1)
            if readable and not self._read():
                raise AssertionError(f"it ended before it took what was typed:\n{self.recent()}")
            if writable:
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(self._master, data[:1024]) :]

    def line(self, text: str) -> None:
        """Type a line and Return."""
        self.type(text + "\r")

    def sees(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait for a text after what has been waited for before; what came up to its end. Colours are no text."""
        wanted = text.encode()
        until = time.monotonic() + seconds
        start = self._seen
        while (found := self._text.find(wanted, start)) < 0:
            start = max(start, len(self._text) - len(wanted) + 1)
            left = until - time.monotonic()
            assert left > 0, f"{text!r} was not seen in {seconds} s:\n{self.recent()}"
            if not self._wait(left):
                found = self._text.find(wanted, self._seen)
                assert found >= 0, f"it ended before {text!r} was seen:\n{self.recent()}"
                break
        before, self._seen = self._seen, found + len(wanted)
        return self._text[before : self._seen].decode(errors="replace")

    def run(self, command: str, seconds: float = PATIENCE) -> str:
        """Type a command into a shell and wait for its end; what it printed, without the echo of the command."""
        mark = f"{time.monotonic_ns() % 1000000:06d}"
        say = "printf '%s%s\\n'"  # so that the echo of the command does not have the marks
        self.line(f"{say} from- {mark}; {command}; {say} to- {mark}")
        self.sees(f"from-{mark}\r\n", seconds)
        return self.sees(f"to-{mark}\r\n", seconds).removesuffix(f"to-{mark}\r\n").replace("\r\n", "\n")

    def all(self) -> str:
        """All text so far."""
        return self._text.decode(errors="replace")

    def recent(self) -> str:
        return self._text[-4000:].decode(errors="replace")

    def leaves(self, seconds: float = PATIENCE) -> int:
        """Wait for the program's end; its exit code."""
        until = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it did not end in {seconds} s:\n{self.recent()}"
            self._wait(0.05)
        while self._wait(0):
            pass
        return self.process.returncode

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """The terminal's settings, as termios has them."""
        return termios.tcgetattr(self._master)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        if not self._gone:
            self._gone = True
            os.close(self._master)

    def _wait(self, seconds: float) -> bool:
        """Read what comes within a time; False at the end of it all, and when nothing came and no time was given."""
        if self._gone or not select.select([self._master], [], [], seconds)[0]:
            return seconds > 0 and not self._gone
        return self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._master, _PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False  # nobody has its other side any more
        self.raw += data
        whole = self._half + data
        cut = whole.rfind(b"\x1b")
        half = len(whole) if cut < 0 or len(whole) - cut > 64 or _ESCAPE.match(whole, cut) else cut
        whole, self._half = whole[:half], whole[half:]
        self._text += _ESCAPE.sub(b"", whole)
        for _question in range(whole.count(b"\x1b[5n")):  # "are you well?"
            with contextlib.suppress(OSError):
                os.write(self._master, b"\x1b[0n")
        return bool(data)


def _take_terminal() -> None:
    """In the child, which leads a session: this terminal controls it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
