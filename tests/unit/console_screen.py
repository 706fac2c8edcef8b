"""A terminal for the console's tests: pyte draws what was written, as a person would see it."""

from __future__ import annotations

import io
import os

import pyte

from contractor.cli.console.console import Console, make_console

_TERMINALS: list[Terminal] = []


def terminal_size(number: int) -> os.terminal_size:
    """In place of os.get_terminal_size."""
    screen = _TERMINALS[number - 1000].screen
    return os.terminal_size((screen.columns, screen.lines))


class Terminal(io.StringIO):
    """A stream that is a terminal; its driver turns "\\n" into "\\r\\n", as a real one does."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.5)
        self.screen.set_mode(pyte.modes.LNM)
        self._feed = pyte.Stream(self.screen)
        self.number = 1000 + len(_TERMINALS)
        _TERMINALS.append(self)
        self.writes = 0
        self.raw = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def write(self, text: str) -> int:
        self.writes += 1
        self.raw += text
        self._feed.feed(text)
        return len(text)

    def lines(self) -> list[str]:
        """The screen without the empty lines at its end."""
        shown = [line.rstrip() for line in self.screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def everything(self) -> str:
        """The lines that scrolled away, then the screen."""
        past = ["".join(row[n].data for n in range(self.screen.columns)).rstrip() for row in self.screen.history.top]
        return "\n".join([*past, *self.lines()])

    @property
    def cursor_hidden(self) -> bool:
        return bool(self.screen.cursor.hidden)


def live(terminal: Terminal, *, colour: bool = False, verbose: bool = False) -> Console:
    return make_console(
        terminal, mode="live", colour=colour, ci="", width=lambda: terminal.screen.columns, verbose=verbose
    )


class Pipe(io.StringIO):
    """A stream that is none; `flushed` are the texts that a reader got, one a flush."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[str] = []
        self._sent = 0

    def flush(self) -> None:
        text = self.getvalue()
        if len(text) > self._sent:
            self.flushed.append(text[self._sent :])
            self._sent = len(text)


def plain(pipe: Pipe, *, ci: str = "", verbose: bool = False, mode: str = "plain") -> Console:
    return make_console(pipe, mode=mode, colour=True, ci=ci, width=lambda: 0, verbose=verbose)
