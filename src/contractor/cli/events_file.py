"""--events FILE: what a build says, as JSON lines."""

from __future__ import annotations

import sys

from contractor.cli.console.console import Console
from contractor.core import events
from contractor.core.errors import Broken, Rejected


class EventsFile:
    """The events also as JSON lines in a file. Trouble with the file never stops the build; it is told after."""

    def __init__(self, path: str, console: Console) -> None:
        self._path = path
        self._console = console
        self._trouble = ""

    def __enter__(self) -> EventsFile:
        try:
            self._file = sys.stdout.buffer if self._path == "-" else open(self._path, "wb", buffering=0)
        except OSError as error:
            raise Rejected(f"--events {self._path} cannot be written: {error.strerror}") from error
        return self

    def __call__(self, event: events.AnyEvent) -> None:
        if not self._trouble:
            try:
                self._file.write(events.encode(event))
                self._file.flush()
            except OSError as error:
                self._trouble = error.strerror or str(error)
        self._console(event)

    def __exit__(self, *_error: object) -> None:
        if self._path != "-":
            self._file.close()

    def require_whole(self) -> None:
        """Broken when not every event could be written."""
        if self._trouble:
            raise Broken(
                f"--events {self._path} could not be written to the end: {self._trouble}",
                hint="the events are also beside the record; choose a file with room, or a reader that stays",
            )
