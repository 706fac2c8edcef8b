"""Events to text on stderr: `make_console` picks who writes it.

live   a terminal: the running step is redrawn (live.py)
plain  a pipe or a CI system: one line an event, no escapes (plain.py)
quiet  only what failed

Nothing here reads the environment: cli/config.py decides on colour, CI and width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from contractor.core.events import AnyEvent

if TYPE_CHECKING:
    from contractor.cli.console.eta import History

Mode = Literal["auto", "live", "plain", "quiet"]
Ci = Literal["", "github", "gitlab"]


class Renderer(Protocol):
    """One way to write events; called by one thread at a time."""

    def handle(self, event: AnyEvent) -> None: ...

    def tick(self, now: float) -> None: ...

    def close(self) -> None: ...


class Console:
    """The `emit` of a build run by hand. Any thread may call it: the proxy reports from its own.

    Never raises for a stream that went away: the record and the log are on disk, the build goes on.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._lock = threading.RLock()  # reentrant: Ctrl-C may close the console in the middle of a write
        self._closed = False

    def __call__(self, event: AnyEvent) -> None:
        with self._lock:
            if not self._closed:
                self._renderer.handle(event)

    def tick(self, now: float) -> None:
        """About ten times a second while a step runs; `now` is in seconds since the epoch, as `Event.at`."""
        with self._lock:
            if not self._closed:
                self._renderer.tick(now)

    def close(self) -> None:
        """Leaves a clean line and a visible cursor. Safe to call twice; events after it are dropped."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._renderer.close()


def make_console(  # noqa: PLR0913  # all but the stream are by name
    stream: TextIO,
    *,
    mode: Mode,
    colour: bool,
    ci: Ci,
    width: Callable[[], int],
    verbose: bool,
    history: History | None = None,
) -> Console:
    """The console for a stream; `auto` is live on a terminal outside CI, else plain.

    width: the columns of the terminal now, 0 when unknown; asked again at each redraw. history: the likely seconds of a
    build's steps; asked when one has run for a second.
    """
    if mode == "auto":
        mode = "live" if stream.isatty() and not ci else "plain"
    if mode == "live":
        from contractor.cli.console.live import LiveConsole

        return Console(LiveConsole(stream, colour, width, verbose, history))
    from contractor.cli.console.plain import PlainConsole, QuietConsole

    if mode == "quiet":
        return Console(QuietConsole(stream, colour, width))
    return Console(PlainConsole(stream, ci, verbose, history))
