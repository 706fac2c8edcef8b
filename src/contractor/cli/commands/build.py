"""contractor build: plan, run, show, and end with the outcome's exit code."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import Any

from contractor.cli.building import Building
from contractor.cli.console.console import Mode, make_console
from contractor.cli.console.eta import history_of
from contractor.cli.events_file import EventsFile
from contractor.cli.options import Parser, add_request
from contractor.cli.output import terminal_width
from contractor.cli.secrets import add_secret
from contractor.cli.steering import add_wish
from contractor.core.errors import Rejected


def parser() -> Parser:
    made = Parser("build", "Build a specification in a sealed sandbox. A step that has run is not run again.")
    add_request(made, steps=True)
    made.add_argument("-o", "--output", metavar="DIR", help="copy the artifacts there, with a SHA256SUMS")
    add_wish(made)
    made.add_argument("--watch", action="store_true", help="build again whenever something that it reads is saved")
    made.add_argument(
        "--jobs", default="1", metavar="N", help="builds of a matrix at once; auto: what the machine takes"
    )
    made.add_argument("--fail-fast", action="store_true", help="end the other builds of a matrix when one has failed")
    made.add_argument("--keep", action="store_true", help="leave the workspace when the build has ended")
    made.add_argument("--fresh", action="store_true", help="run every step, whatever has been built before")
    made.add_argument("--fresh-bases", action="store_true", help="the same, and make the bases anew from their mirrors")
    made.add_argument("--events", metavar="FILE", help="write the events as JSON lines ('-': standard output)")
    add_secret(made)
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    made.add_argument("-q", "--quiet", action="store_true", help="show failures only")
    made.add_argument("-v", "--verbose", action="store_true", help="show more of what runs")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.watch:
        _require_watchable(args)
    began = time.monotonic()
    building = Building(args)
    plans = [] if args.watch else building.plan()
    settings = building.settings
    mode: Mode = "quiet" if args.quiet else "plain" if args.plain or not settings.live else "live"
    shown: dict[str, Any] = {"mode": mode, "colour": settings.colour, "width": terminal_width}
    more = {"ci": settings.ci, "verbose": args.verbose, "history": history_of(building.store)}
    matrices = [plan.matrix for plan in plans]
    with ExitStack() as stack:
        if plans and building.at_once(plans):
            from contractor.cli.console.matrix import make_matrix_console

            console = make_matrix_console(sys.stderr, matrices, **shown, **more)
        else:
            console = make_console(sys.stderr, **shown, **more)
        stack.callback(console.close)
        written = stack.enter_context(EventsFile(args.events, console)) if args.events else None
        emit = written or console
        if args.watch:
            from contractor.cli.watch import Watch

            code = Watch(building, lambda made: building.run(made, emit, console.tick)).loop()
        else:
            code = building.run(plans, emit, console.tick)
    if len(plans) > 1:
        from contractor.cli.console.matrix import tell_matrix

        how: dict[str, Any] = {"seconds": time.monotonic() - began, "jobs": building.at_once(plans)}
        tell_matrix(sys.stderr, matrices, building.records, **shown, **how)
    if written is not None and code == 0:
        written.require_whole()
    return code


def _require_watchable(args: argparse.Namespace) -> None:
    """Rejected: what makes no sense, or would fill the disk, when it is done at every change."""
    for option, given in (("--shell", args.shell), ("--shell-after", args.shell_after), ("--break", args.breaks)):
        if given:
            raise Rejected(
                f"--watch and {option} do not go together: there would be a shell at every change",
                hint="--watch --debug gives one where a step fails; `contractor shell` enters any step afterwards",
            )
    if args.jobs != "1":
        raise Rejected(
            "--watch and --jobs do not go together: there is one screen for what is watched",
            hint="--watch builds a matrix one after the other; --only KEY=VALUE watches a part of it",
        )
    if args.keep:
        raise Rejected(
            "--watch and --keep do not go together: there would be a workspace more at every change",
            hint="`contractor shell` enters any step of a build that has ended",
        )
