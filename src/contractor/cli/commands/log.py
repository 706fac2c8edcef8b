"""contractor log: what the steps of a build wrote: all of it, its end, what matches, or as it comes."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from contractor.cli import config
from contractor.cli.logs.parts import Part, chosen_parts, pieces, position, tail
from contractor.cli.logs.sinks import Clean, Raw, Sink
from contractor.cli.options import Parser, open_store
from contractor.core.errors import Rejected
from contractor.store.layout import Store
from contractor.store.progress import so_far
from contractor.store.records import Record, Records

if TYPE_CHECKING:
    from contractor.cli.logs.grep import Grep

_MOST_CONTEXT = 10_000


def parser() -> Parser:
    made = Parser(
        "log",
        "Print what the steps of a build wrote: all bytes, or clean lines on a terminal. A cached step's come from the "
        "log of the build that ran it.",
    )
    made.add_argument("build", nargs="?", default="", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("--step", metavar="STEP", help="of this step only: its number, its name, or how that begins")
    made.add_argument("--tail", type=int, metavar="N", help="the last N lines only; with --attempts, of each")
    made.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="also what comes, until the build or the step ends; then its exit code (default: the newest that runs)",
    )
    made.add_argument(
        "--attempts",
        action="store_true",
        help="of every build in which the step ran with the same key, the newest last (default: the step that failed)",
    )
    made.add_argument(
        "--grep",
        metavar="PATTERN",
        help="the lines that match, a Python regular expression; exit code 1 when none does",
    )
    made.add_argument("-i", "--ignore-case", action="store_true", help="with --grep: capitals do not matter")
    made.add_argument("-C", "--context", type=int, metavar="N", help="with --grep: N lines around each as well")
    made.add_argument("--json", action="store_true", help="with --grep: each line as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    _check(args)
    store = open_store(args, config.load())
    with ExitStack() as stack:
        grep = _grep(args, stack) if args.grep is not None else None
        sink = grep or _plain_sink(args)
        if args.follow:
            from contractor.cli.logs.follow import follow

            return follow(store, _followed(store, args.build), args.step, args.tail, sink)
        records = Records(store)
        record = so_far(records, records.read(records.find(args.build)))
        for part in _parts(record, store, args):
            sink.begin(part)
            for data in pieces(part):
                sink.feed(data)
            sink.end()
        return 0 if grep is None or grep.found else 1


def _check(args: argparse.Namespace) -> None:
    if args.tail is not None and args.tail < 0:
        raise Rejected("--tail takes a number of lines", hint="for example --tail 50")
    if args.context is not None and not 0 <= args.context <= _MOST_CONTEXT:
        raise Rejected(f"-C takes a number of lines, at most {_MOST_CONTEXT}", hint="for example -C 3")
    if args.attempts and args.follow:
        raise Rejected("--attempts have ended: --follow does not go with it", hint="`contractor log --follow` alone")
    for name, given in (("-i", args.ignore_case), ("-C", args.context is not None), ("--json", args.json)):
        if given and args.grep is None:
            raise Rejected(f"{name} goes with --grep", hint="for example --grep 'error|warning' -i -C 3")


def _parts(record: Record, store: Store, args: argparse.Namespace) -> list[Part]:
    if not args.attempts:
        parts = chosen_parts(record, store, args.step)
        return parts if args.tail is None else tail(parts, args.tail)
    from contractor.cli.logs.attempts import attempts, failed_step

    found = attempts(record, position(record, args.step or failed_step(record)), store)
    if args.tail is None:
        return found
    return [cut for part in found for cut in tail([part], args.tail) or [part._replace(start=part.end)]]


def _followed(store: Store, build: str) -> Record:
    from contractor.cli.logs.follow import first_record, newest_running

    records = Records(store)
    meant = newest_running(store) if not build else None
    return first_record(records, meant or records.find(build))


def _plain_sink(args: argparse.Namespace) -> Sink:
    if sys.stdout.isatty():
        return Clean(headings=args.step is None or args.attempts, redraw=config.load().live)
    return Raw(headings=args.attempts)


def _grep(args: argparse.Namespace, stack: ExitStack) -> Grep:
    from contractor.cli.logs.grep import Form, Grep, Searcher, compile_pattern

    pattern = compile_pattern(args.grep, ignore_case=args.ignore_case)
    form: Form = "pipe"
    if args.json:
        form = "json"
    elif sys.stdout.isatty():
        form = "colour" if config.load().colour else "terminal"
    return Grep(stack.enter_context(Searcher(pattern)), args.context or 0, form, builds=args.attempts)
