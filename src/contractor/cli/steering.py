"""The options that say which steps run and where a shell is wanted, and the terminal that it gets."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from contractor.build.steer import Wish
from contractor.cli.config import Settings
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from contractor.cli.options import Parser
    from contractor.sandbox.terminal import Terminal


def add_wish(parser: Parser) -> None:
    """STEP is a number, a name, or how a name begins. `--only` is there already: KEY=VALUE is of the matrix."""
    group = parser.add_argument_group("debugging", "STEP: a step's number, its name, or how its name begins")
    add = group.add_argument
    add("--from", dest="start", metavar="STEP", help="run STEP and all after it anew, whatever has been built before")
    add("--until", metavar="STEP", help="end after STEP")
    add("--break", dest="breaks", action="append", default=[], metavar="STEP", help="a shell before STEP, then go on")
    add("--shell", metavar="STEP", help="a shell instead of STEP, and end")
    add("--shell-after", metavar="STEP", help="a shell after STEP, and end")
    add("--debug", action="store_true", help="a shell where a step fails; the build still fails")


def wish_of(args: argparse.Namespace) -> Wish:
    """What was asked for; Rejected when --only names two steps, and when every step is to run and only a part."""
    only = [item for item in args.only if "=" not in item]
    if len(only) > 1:
        raise Rejected(f"--only names {len(only)} steps", hint="name one; --from STEP --until STEP runs a part")
    if args.fresh and (only or args.start is not None):
        option = "--only" if only else "--from"
        raise Rejected(f"--fresh runs every step, and {option} a part", hint=f"leave out --fresh: {option} runs anew")
    return Wish(
        start=args.start,
        until=args.until,
        only=only[0] if only else None,
        breaks=tuple(args.breaks),
        shell=args.shell,
        shell_after=args.shell_after,
        debug=args.debug,
    )


def opener(settings: Settings) -> Callable[[], Terminal]:
    """What opens the person's terminal when the first shell is due."""

    def open_terminal() -> Terminal:
        from contractor.sandbox.terminal import Terminal

        return Terminal(0, 1, settings.terminal)

    return open_terminal


def require_terminal() -> None:
    """Rejected when nobody sits there."""
    if not (os.isatty(0) and os.isatty(1)):
        raise Rejected(
            "a shell needs a terminal, and input or output is none",
            hint="run it in a terminal; or `contractor shell BUILD --step STEP -- COMMAND` runs a command there",
        )
