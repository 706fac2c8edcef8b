"""The console of several builds at once where there is no terminal: plain lines, each with its build in front.

4.0   | [6/9] shell: Find the difference
4.1   | [5/9] done 0.1 s
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from contractor.cli.console.eta import History
from contractor.cli.console.plain import PlainConsole
from contractor.cli.console.state import Paper
from contractor.cli.matrix_words import labels_of
from contractor.cli.text import pad, width_of
from contractor.core.events import AnyEvent, BuildStarted


class _Prefixed:
    """A stream whose every line begins with a text; a GitHub runner obeys "##[" anywhere in a line."""

    def __init__(self, stream: TextIO, prefix: str, ci: str) -> None:
        self._stream = stream
        self._prefix = prefix
        self._ci = ci
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        if self._ci == "github":
            text = text.replace("##[", "# #[")
        lines = text.splitlines(keepends=True)
        return self._stream.write("".join((self._prefix + line).rstrip() + "\n" for line in lines))

    def flush(self) -> None:
        self._stream.flush()


class PrefixedConsole:
    """Writes lines. Not thread-safe: `Console` holds the lock."""

    def __init__(
        self, stream: TextIO, ci: str, verbose: bool, history: History | None, matrices: Sequence[dict[str, str]]
    ) -> None:
        """matrices: the matrix values of each build that there will be."""
        paper = Paper(stream, colour=False)
        labels = [paper.clean(label) for label in labels_of(matrices)]
        width = max(map(width_of, labels))
        self._all = PlainConsole(stream, "", verbose, history)
        self._of_matrix = {
            tuple(matrix.items()): PlainConsole(
                _Prefixed(stream, f"{pad(label, width)} | ", ci),  # type: ignore[arg-type]
                "",
                verbose,
                history,
                recap=True,
            )
            for matrix, label in zip(matrices, labels, strict=True)
        }
        self._of_build: dict[str, PlainConsole] = {}

    def handle(self, event: AnyEvent) -> None:
        """Writes what there is to say of one event, flushed."""
        if isinstance(event, BuildStarted):
            above = self._of_build.get(event.parent) if event.parent else None
            self._of_build[event.build] = above or self._of_matrix.get(tuple(event.matrix.items()), self._all)
        self._of_build.get(event.build, self._all).handle(event)

    def tick(self, now: float) -> None:
        for console in self._of_matrix.values():
            console.tick(now)

    def close(self) -> None:
        for console in self._of_matrix.values():
            console.close()
