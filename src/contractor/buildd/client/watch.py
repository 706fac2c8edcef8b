"""A build that runs on a builder: its state and its log, until it has ended. A lost connection is made anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from contractor.buildd.client.answers import Status
from contractor.buildd.client.builder import Builder
from contractor.buildd.client.files import LOG, Missing, Reader, Shrunk
from contractor.buildd.client.folder import Growing
from contractor.buildd.client.link import Lost
from contractor.buildd.model import BuilderState
from contractor.core.errors import Broken
from contractor.core.words import count

PATIENCE = 120.0  # seconds that a builder may be out of reach
_PERIOD = 1.0  # seconds between two looks
_PIECE = 8 << 20  # bytes of the log between two looks at the state

_T = TypeVar("_T")


class Watcher(Protocol):
    """Who is told. `log` is called from another thread, while the caller waits."""

    def say(self, text: str) -> None:
        """A line about what the client or the builder does."""

    def log(self, data: bytes) -> None:
        """More of the build's log."""


class Gone(Broken):
    """The builder does not have the build any more."""


class Watch:
    """Follows one build. file: gets the log as well."""

    def __init__(self, builder: Builder, build: str, watcher: Watcher, file: Growing | None, patience: float) -> None:
        self._builder = builder
        self._build = build
        self._watcher = watcher
        self._file = file
        self._patience = patience
        self._reader = Reader(builder, LOG, self._take)

    def until_end(self, seconds: float | None = None) -> Status:
        """The status when it has ended, or after so many seconds. Raises Gone."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            status = self._patiently(self._builder.status)
            self._check(status)
            came = self._patiently(self._look)
            while came and status.state is BuilderState.WAITING:
                came = self._patiently(self._look)
            if status.state is BuilderState.WAITING or (end is not None and time.monotonic() > end):
                return status
            if not came:
                self._builder.sleep(_PERIOD)

    def _patiently(self, work: Callable[[], _T]) -> _T:
        return self._builder.patiently(work, self._patience, self._tell)

    def _tell(self, lost: Lost) -> None:
        self._watcher.say(f"lost the builder ({lost.reason}): trying again for {self._patience:g} s")

    def _look(self) -> int:
        """More of the log; how much it was."""
        try:
            return self._reader.read(_PIECE)
        except Missing:
            return 0
        except Shrunk:
            self._watcher.say(f"the log begins anew on the builder, after {count(self._reader.at, 'byte')}")
            self._reader.at = 0
            return self._reader.read(_PIECE)

    def _take(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        self._watcher.log(data)

    def _check(self, status: Status) -> None:
        if status.build == self._build and not status.is_idle:
            return
        what = f"is {status.words}" if status.is_idle else f"works on {status.build or 'something else'}"
        raise Gone(
            f"the builder at {self._builder.url} lost the build {self._build}: it {what}",
            hint="it was restarted, or somebody else uses it as well",
        )
