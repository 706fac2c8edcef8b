"""The daemon's own log: what clients are not told, a line an event, in a file that SIGHUP opens anew."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence

from contractor.buildd.sanitize import clean


class _Handler(logging.Handler):
    """What libraries log, as lines of the diary."""

    def __init__(self, diary: Diary) -> None:
        super().__init__(logging.WARNING)
        self._diary = diary

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._diary.trouble(record.getMessage(), error)
        else:
            self._diary.say(record.getMessage())


class Diary:
    """Lines go to a file, or to standard error. A disk that is full does not stop the daemon."""

    def __init__(self, path: str) -> None:
        """Raises OSError where the file cannot be opened."""
        self._path = path
        self._fd = 2
        self.reopen()

    def reopen(self) -> None:
        """A rotated log is let go. What cannot be opened leaves the old one."""
        if not self._path:
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        old, self._fd = self._fd, fd
        if old != 2:
            os.close(old)

    def hear(self, loggers: Sequence[str]) -> None:
        """Take down what these loggers say, and keep it from everybody else."""
        for name in loggers:
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.addHandler(_Handler(self))

    def say(self, text: str) -> None:
        """One event; line ends in it become spaces, and credentials go."""
        words = clean(" ".join(text.split()).encode(errors="replace"))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z ", time.localtime())
        with contextlib.suppress(OSError):
            os.write(self._fd, stamp.encode() + words + b"\n")

    def trouble(self, what: str, error: BaseException) -> None:
        """An error that nobody expected, with where it came from."""
        import traceback

        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
        self.say(f"{what}: {type(error).__name__}: {error} ({' > '.join(places)})")
