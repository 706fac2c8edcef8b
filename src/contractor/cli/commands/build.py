"""contractor build: plan, run, show, and end with the outcome's exit code."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack

from contractor.build.context import Exporter, Options
from contractor.build.executor import execute
from contractor.build.prepare import make_plans
from contractor.build.steer import steer
from contractor.cli import config
from contractor.cli.console import Console, make_console
from contractor.cli.eta import history_of
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.secrets import read_secrets
from contractor.cli.steering import add_wish, opener, require_terminal, wish_of
from contractor.cli.stop import Stop
from contractor.core import events
from contractor.core.errors import EXIT_CODES, Broken, Outcome, Rejected
from contractor.plan.model import Plan
from contractor.sandbox.local import choose
from contractor.store.layout import Store
from contractor.store.records import Record


def parser() -> Parser:
    made = Parser("build", "Build a specification in a sealed sandbox. A step that has run is not run again.")
    add_request(made, steps=True)
    made.add_argument("-o", "--output", metavar="DIR", help="copy the artifacts there, with a SHA256SUMS")
    add_wish(made)
    made.add_argument("--keep", action="store_true", help="leave the workspace when the build has ended")
    made.add_argument("--fresh", action="store_true", help="run every step, whatever has been built before")
    made.add_argument("--fresh-bases", action="store_true", help="the same, and make the bases anew from their mirrors")
    made.add_argument("--events", metavar="FILE", help="write the events as JSON lines ('-': standard output)")
    made.add_argument("--secret", action="append", default=[], metavar="NAME=FILE", help="a secret, read from a file")
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    made.add_argument("-q", "--quiet", action="store_true", help="show failures only")
    made.add_argument("-v", "--verbose", action="store_true", help="show more of what runs")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    stop = Stop()
    settings = config.load()
    store = open_store(args, settings)
    sandbox = choose(one_id=args.one_id)
    request = request_of(args, settings)
    if args.output:
        request = request._replace(leave=(os.path.abspath(args.output),))
    secrets = read_secrets(args.secret)
    plans = make_plans(request, store, sandbox)
    _require_used(secrets, plans)
    wish = wish_of(args)
    steering = [steer(plan, wish, opener(settings)) for plan in plans]
    if any(part.shells for part in steering):
        require_terminal()
    records: list[Record] = []
    with ExitStack() as stack:
        console = make_console(
            sys.stderr,
            mode="quiet" if args.quiet else "plain" if args.plain or not settings.live else "live",
            colour=settings.colour,
            ci=settings.ci,
            width=_width,
            verbose=args.verbose,
            history=history_of(store),
        )
        stack.callback(console.close)
        written = stack.enter_context(_Events(args.events, console)) if args.events else None
        emit = written or console

        def tick() -> None:
            stop.check()
            console.tick(time.time())

        options = Options(
            folder=request.folder,
            fresh=args.fresh or args.fresh_bases,
            fresh_bases=args.fresh_bases,
            keep=args.keep,
            secrets=secrets,
            upstream_proxy=settings.proxy,
            offline=args.offline,
            tick=tick,
        )
        for plan, part in zip(plans, steering, strict=True):
            export = _exporter(args.output, plan, store, len(plans) > 1)
            exporting = options._replace(export=export, steering=part)
            records.append(execute(plan, store, sandbox, emit, exporting))
            if records[-1].outcome == Outcome.ABORTED.value:
                break
    _settle(store, sandbox.ids, records)
    code = max(EXIT_CODES[Outcome(record.outcome)] for record in records)
    if written is not None and code == 0:
        written.require_whole()
    return code


def _exporter(output: str | None, plan: Plan, store: Store, many: bool) -> Exporter | None:
    """What copies a finished build's artifacts to -o DIR."""
    if output is None:
        return None

    def copy(artifacts: tuple[events.ArtifactInfo, ...]) -> tuple[events.ArtifactInfo, ...]:
        from contractor.build.export import export_artifacts, target_folder

        return export_artifacts(artifacts, store, target_folder(output, plan.matrix, many), plan.epoch)

    return copy


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80


def _require_used(secrets: dict[str, bytes], plans: list[Plan]) -> None:
    """A secret that no step asks for was meant to have another name."""
    asked = {name for plan in plans for action in plan.actions for name in action.step.secrets}
    for name in secrets:
        if name not in asked:
            known = ", ".join(sorted(asked)) or "none"
            raise Rejected(f"--secret {name}: no step asks for it", hint=f"secrets that steps ask for: {known}")


class _Events:
    """The events also as JSON lines in a file. Trouble with the file never stops the build; it is told after."""

    def __init__(self, path: str, console: Console) -> None:
        self._path = path
        self._console = console
        self._trouble = ""

    def __enter__(self) -> _Events:
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


def _settle(store: Store, ids: str, records: list[Record]) -> None:
    """Sync what ran, and make its results lasting; a build where nothing ran has nothing to sync."""
    if not any(step.outcome == "succeeded" for record in records for step in record.steps):
        return
    from contractor.build.settle import settle_in_background

    settle_in_background(store, ids)
