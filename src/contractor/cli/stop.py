"""Being asked to stop, by Ctrl-C or by whoever manages the process."""

from __future__ import annotations

import signal


class Stop:
    """Ctrl-C, and a service manager's or a CI's stop: remembered, and raised where a build can be left.

    A second one is raised wherever it comes.
    """

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether somebody has."""
        return self._asked

    def check(self) -> None:
        """KeyboardInterrupt when somebody asked."""
        if self._asked:
            raise KeyboardInterrupt
