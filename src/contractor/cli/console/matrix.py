"""The console of several builds at once, and the last words on the builds of a matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from contractor.cli.console.console import Ci, Console, Mode, Renderer
from contractor.cli.console.eta import History
from contractor.cli.console.state import Paper, usable
from contractor.cli.matrix_words import matrix_summary
from contractor.core.errors import Outcome
from contractor.store.records import Record

Matrices = Sequence[dict[str, str]]


def make_matrix_console(  # noqa: PLR0913  # all but two are by name
    stream: TextIO,
    matrices: Matrices,
    *,
    mode: Mode,
    colour: bool,
    ci: Ci,
    width: Callable[[], int],
    verbose: bool,
    history: History,
) -> Console:
    """As make_console. matrices: the matrix values of each build that there will be."""
    renderer: Renderer
    if mode == "live":
        from contractor.cli.console.table import TableConsole

        renderer = TableConsole(stream, colour, width, verbose, matrices)
    elif mode == "quiet":
        from contractor.cli.console.plain import QuietConsole

        renderer = QuietConsole(stream, colour, width)
    else:
        from contractor.cli.console.prefixed import PrefixedConsole

        renderer = PrefixedConsole(stream, ci, verbose, history, matrices)
    return Console(renderer)


def tell_matrix(  # noqa: PLR0913  # all but three are by name
    stream: TextIO,
    matrices: Matrices,
    records: Sequence[Record | None],
    *,
    mode: Mode,
    colour: bool,
    width: Callable[[], int],
    seconds: float,
    jobs: int,
) -> None:
    """Write the summary of all builds; a quiet console has one only when something failed."""
    good = all(record is not None and record.outcome == Outcome.SUCCEEDED.value for record in records)
    if mode == "quiet" and good:
        return
    paper = Paper(stream, colour and stream.isatty())
    columns = usable(width()) if stream.isatty() else 0
    lines = matrix_summary(matrices, records, paper, columns, seconds=seconds, jobs=jobs)
    paper.write("".join(f"{line}\n" for line in lines))
