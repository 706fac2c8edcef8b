"""A person's terminal, lent to a shell in a sandbox.

The sandbox never gets the terminal itself: it has one of its own (a pseudo terminal, whose controlling side stays
here), and only bytes pass. So what runs inside can neither push keys into the person's terminal nor change its modes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import termios
import tty
from collections.abc import Iterator

_PIECE = 1 << 16  # bytes


class Terminal:
    """The person's side: the descriptors of a terminal's input and output, and what kind it is (TERM)."""

    def __init__(self, source: int = 0, target: int = 1, kind: str = "xterm") -> None:
        self.source = source
        self.target = target
        self.kind = kind
        self._ours = -1

    @contextlib.contextmanager
    def lent(self) -> Iterator[tuple[int, int]]:
        """Both sides of a new pseudo terminal of the same size and settings: (ours, the sandbox's).

        While the block lasts the person's terminal is raw: every key goes inside, Ctrl-C too. Its settings come back.
        The sandbox's side is closed when the sandbox has it; ours at the end.
        """
        settings = termios.tcgetattr(self.source)
        self._ours, theirs = os.openpty()
        resized = signal.signal(signal.SIGWINCH, lambda *_: self._resize())
        try:
            termios.tcsetattr(theirs, termios.TCSANOW, settings)
            self._resize()
            tty.setraw(self.source, termios.TCSANOW)
            yield self._ours, theirs
        finally:
            signal.signal(signal.SIGWINCH, resized)
            with contextlib.suppress(termios.error, OSError):  # it may be gone
                termios.tcsetattr(self.source, termios.TCSADRAIN, settings)
            os.close(self._ours)
            self._ours = -1

    def _resize(self) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self.source, termios.TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def keys(self) -> None:
        """Pass on what was typed; KeyboardInterrupt when the terminal has gone away."""
        try:
            data = os.read(self.source, _PIECE)
        except OSError:
            data = b""
        if not data:
            raise KeyboardInterrupt
        write_all(self._ours, data)

    def show(self, data: bytes) -> None:
        """What the sandbox wrote, as it is; KeyboardInterrupt when the terminal has gone away."""
        try:
            write_all(self.target, data)
        except OSError as error:
            raise KeyboardInterrupt from error


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def take_terminal(fd: int) -> None:
    """In a forked child: a session of its own, with this terminal as the one that controls it."""
    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
