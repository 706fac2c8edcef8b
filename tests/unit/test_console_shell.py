"""While a person has a shell, the terminal is theirs: nothing is drawn, and what was to be said comes after it."""

from __future__ import annotations

import pytest
from console_screen import Pipe, Terminal, live, plain
from console_script import BUILD, Script

from contractor.core.events import Notice, ShellFinished, ShellStarted, StepFetched

LEAVE = "exit ends the build, which stays failed"
STARTED = ShellStarted(
    at=5.0, build=BUILD, step=7, why="as the failed step left it", leave=LEAVE, command="sh -e x\x1b[2J", network="none"
)
WARNING = Notice(at=6.0, build=BUILD, text="the disk is nearly full", level="warning")
REFUSED = StepFetched(
    at=6.0, build=BUILD, step=7, method="GET", url="http://example.org/", verdict="refused", reason="not allowed"
)


def left(changed: int) -> ShellFinished:
    return ShellFinished(at=9.0, build=BUILD, step=7, code=0, changed=changed)


def test_the_heading_says_where_one_is_and_how_to_leave() -> None:
    terminal = Terminal(80)
    console = live(terminal)
    console(Script().start())
    console(STARTED)
    shown = terminal.lines()[-6:]
    assert shown[0] == "shell in the sandbox of step 8, Compile"
    assert shown[1] == "  as the failed step left it"
    assert [line.split()[0] for line in shown[2:5]] == ["command", "run", "network"]
    assert shown[5] == f"  leave    {LEAVE}"
    assert "\x1b[2J" not in terminal.raw
    assert not terminal.cursor_hidden


def test_a_live_console_draws_nothing_meanwhile_and_says_the_rest_after_it() -> None:
    terminal = Terminal(80)
    console = live(terminal)
    console(Script().start())
    console(STARTED)
    before = terminal.raw
    for second in range(6, 9):
        console.tick(float(second))
    console(WARNING)
    console(REFUSED)
    assert terminal.raw == before
    console(left(2))
    after = terminal.everything()
    assert after.index("shell left, 2 paths changed") < after.index("the disk is nearly full")
    assert "example.org" not in after  # the person has seen it, and the step did not do it


@pytest.mark.parametrize("mode", ["plain", "quiet"])
def test_the_other_consoles_say_how_to_leave_as_well(mode: str) -> None:
    pipe = Pipe()
    console = plain(pipe, mode=mode)
    console(Script().start())
    console(STARTED)
    assert f"leave    {LEAVE}\n" in pipe.getvalue()
    before = pipe.getvalue()
    console(REFUSED)
    console.tick(100.0)
    assert pipe.getvalue() == before
    console(left(0))
    assert ("shell left, nothing changed\n" in pipe.getvalue()) is (mode == "plain")
