"""A person's terminal, lent to a shell in a sandbox.

The sandbox never gets the terminal itself: it has one of its own (a pseudo terminal of its own /dev/pts), whose
controlling side is here, and only bytes pass. So what runs inside can neither push keys into the person's terminal nor
change its modes, nor learn its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from contractor.sandbox.channel import close_all
from contractor.sandbox.stage import DEV

if TYPE_CHECKING:
    from contractor.sandbox.namespace import Inside, Supervisor

_PIECE = 1 << 16  # bytes
_UNLOCK, _OTHER_SIDE = 0x40045431, 0x5441  # TIOCSPTLCK, TIOCGPTPEER: ioctl_tty(2)

# Back to how terminals begin, whatever the shell was ended in: the usual screen, a visible cursor, no mouse, no paste
# marks, lines that wrap, usual keys, no colours.
_RESET = b"\x1b[?1047l\x1b[?25h\x1b[?1000;1002;1003l\x1b[?2004l\x1b[?7h\x1b[?1l\x1b>\x1b[0m\x1b(B"
# "Are you well?": every terminal answers, after what it was asked before.
_ASK, _ANSWER = b"\x1b[5n", b"\x1b[0n"
_PATIENCE = 0.1  # seconds


class Terminal:
    """The person's side: the descriptors of a terminal's input and output, and what kind it is (TERM)."""

    def __init__(self, source: int = 0, target: int = 1, kind: str = "xterm") -> None:
        self.source = source
        self.target = target
        self.kind = kind
        self._ours = -1
        self._typed = b""  # keys that the sandbox has not taken yet
        self._epoll = select.epoll()

    @contextlib.contextmanager
    def lent(self, supervisor: Supervisor) -> Iterator[tuple[int, int]]:
        """Both sides of a new pseudo terminal of the same size and settings: (ours, the sandbox's).

        While the block lasts the person's terminal is raw: every key goes inside, Ctrl-C too. Its settings come back.
        The sandbox's side is closed when the sandbox has it; ours at the end. KeyboardInterrupt: the terminal has gone.
        """
        try:
            settings = termios.tcgetattr(self.source)
        except termios.error as error:
            raise KeyboardInterrupt from error
        self._ours, theirs = _both_sides(supervisor)
        os.set_blocking(self._ours, False)  # what nobody takes inside must not stop what comes out
        self._epoll.register(self.source, select.EPOLLIN)
        resized = signal.signal(signal.SIGWINCH, lambda *_: self._resize())
        try:
            termios.tcsetattr(theirs, termios.TCSANOW, settings)
            self._resize()
            with contextlib.suppress(termios.error):  # gone just now: `keys` says so
                tty.setraw(self.source, termios.TCSANOW)
            yield self._ours, theirs
        except BaseException:
            with contextlib.suppress(OSError):
                write_all(self.target, b"\r\n")  # it was in the middle of something
            raise
        finally:
            signal.signal(signal.SIGWINCH, resized)
            with contextlib.suppress(termios.error, OSError):  # it may be gone
                self._settle()
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self.source, termios.TCSAFLUSH, settings)
            self._epoll.unregister(self.source)
            os.close(self._ours)
            self._ours, self._typed = -1, b""

    @property
    def turn(self) -> int:
        """A descriptor that is readable when `keys` has something to do."""
        return self._epoll.fileno()

    def _resize(self) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self.source, termios.TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def _settle(self) -> None:
        """Take back what the shell left of modes, and read the answers to what it asked: its last questions' would be
        typed into whatever reads the terminal next.
        """
        if self.kind == "dumb":
            return
        write_all(self.target, _RESET + _ASK)
        answer, until = b"", time.monotonic() + _PATIENCE
        while not answer.endswith(_ANSWER) and (left := until - time.monotonic()) > 0:
            if select.select([self.source], [], [], left)[0]:
                data = os.read(self.source, _PIECE)
                if not data:
                    return
                answer = (answer + data)[-_PIECE:]

    def keys(self) -> None:
        """Pass on what was typed, as far as it is taken; KeyboardInterrupt when the terminal has gone away."""
        if not self._typed:
            try:
                self._typed = os.read(self.source, _PIECE)
            except OSError:
                self._typed = b""
            if not self._typed:
                raise KeyboardInterrupt
            self._epoll.modify(self.source, 0)  # no more before this has gone; its end is told all the same
            self._epoll.register(self._ours, select.EPOLLOUT)
        elif any(fd == self.source for fd, _event in self._epoll.poll(0)):
            raise KeyboardInterrupt
        try:
            self._typed = self._typed[os.write(self._ours, self._typed) :]
        except BlockingIOError:
            return
        except OSError:
            self._typed = b""  # nobody is there any more to take it
        if not self._typed:
            self._epoll.unregister(self._ours)
            self._epoll.modify(self.source, select.EPOLLIN)

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


def _both_sides(supervisor: Supervisor) -> tuple[int, int]:
    supervisor.send("terminal", {})
    _message, fds = supervisor.receive()
    supervisor.receive()  # the operation's value: nothing
    return fds[0], fds[1]


def open_inside(inside: Inside, _args: dict[str, Any], _fds: list[int]) -> None:
    """In the supervisor: a new pseudo terminal of the /dev/pts that steps see; both of its sides are sent."""
    fds = [os.open(f"{DEV}/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)]
    try:
        fcntl.ioctl(fds[0], _UNLOCK, struct.pack("i", 0))
        fds.append(fcntl.ioctl(fds[0], _OTHER_SIDE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        inside.channel.send({"terminal": True}, fds)
    finally:
        close_all(fds)


def take_terminal(fd: int) -> None:
    """In a forked child: a session of its own, with this terminal as the one that controls it."""
    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
