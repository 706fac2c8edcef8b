"""What a console says when a person gets a shell in a step's sandbox, and when they have left it."""

from __future__ import annotations

from contractor.cli.console.state import Paper
from contractor.cli.text import clip, sanitize
from contractor.core.events import ShellFinished, ShellStarted
from contractor.core.words import count

_UNKNOWN = 500  # columns, where nobody tells


def entered(paper: Paper, name: str, event: ShellStarted, columns: int) -> list[str]:
    """A heading with the step's name, the command that it runs and how to run it, the network, and how to leave."""
    rows = [("leave", sanitize(event.leave))]
    if event.command:
        rows = [("command", sanitize(event.command)), ("run it", "again"), *rows]
    rows.insert(-1, ("network", sanitize(event.network)))
    width = columns or _UNKNOWN
    heading = paper.style("bold", clip(f"shell in the sandbox of step {event.step + 1}, {sanitize(name)}", width))
    lines = [heading, paper.style("dim", clip(f"  {sanitize(event.why)}", width))]
    return ["", *lines, *(f"  {paper.style('cyan', f'{label:<8}')} {clip(text, width - 11)}" for label, text in rows)]


def left(paper: Paper, event: ShellFinished, columns: int) -> list[str]:
    """What came of it."""
    what = f"{count(event.changed, 'path')} changed" if event.changed else "nothing changed"
    return [paper.style("dim", clip(f"shell left, {what}", columns or _UNKNOWN)), ""]
