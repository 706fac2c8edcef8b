"""The live log as the daemon has it: made anew for each build, shown by its end, and added to when a worker cannot."""

from __future__ import annotations

import os

from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.saved import mark_alive, open_log
from contractor.buildd.log import tail


class LiveLog:
    """The log of the current or last build; its descriptor is open from the build's beginning until it is cleaned."""

    def __init__(self, path: str, diary: Diary) -> None:
        self._path = path
        self._diary = diary
        self._fd = -1
        self._tail = (-1, b"")  # with the size of the log that it is of

    def begin(self) -> int:
        """An empty one, locked as long as somebody has its descriptor, which is returned. Raises OSError."""
        self.close()
        self._fd = open_log(self._path, new=True)
        mark_alive(self._fd)
        return self._fd

    def tail(self) -> bytes:
        """As status() shows it; made anew when the log has grown."""
        if self._fd < 0:
            return b""
        size = os.fstat(self._fd).st_size
        if size != self._tail[0]:
            self._tail = (size, tail(self._fd))
        return self._tail[1]

    def add(self, text: str | bytes) -> None:
        """The daemon's own words; a disk that is full does not stop it."""
        data = text.encode() if isinstance(text, str) else text
        try:
            fd = self._fd if self._fd >= 0 else open_log(self._path, new=False)
            try:
                os.write(fd, data)
            finally:
                if fd != self._fd:
                    os.close(fd)
        except OSError as error:
            self._diary.trouble("the build's log cannot be written", error)

    def close(self) -> None:
        self._tail = (-1, b"")
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
