"""The log of one job of a CI build: what it is given goes to the build's log, and to a file of its own."""

from __future__ import annotations

import os

from contractor.buildd.log import Log


class JobLog(Log):
    """Use it as a context manager. Its file has no name, and so does not outlive the worker."""

    def __init__(self, main: Log, folder: str) -> None:
        super().__init__(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._main = main

    def __enter__(self) -> JobLog:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.fd)

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.fd}"

    def write(self, data: bytes) -> None:
        self._main.write(data)
        super().write(data)
