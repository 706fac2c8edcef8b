"""contractor gc: take out of the store what is no longer needed, and explain what stays."""

from __future__ import annotations

import argparse

import msgspec

from contractor.build.removal import removal
from contractor.cli import config
from contractor.cli.gc_text import lines
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk
from contractor.cli.text import human_size
from contractor.core.errors import Broken, Rejected
from contractor.core.words import count
from contractor.spec.quantities import parse_size
from contractor.store.gc import Policy, Report, Tools, collect
from contractor.store.gc_policy import FAILED_DAYS, SUPERSEDED_DAYS

JSON_VERSION = 2


def parser() -> Parser:
    made = Parser(
        "gc",
        "Remove what crashes left, what nothing names, and the workspaces of builds that failed long ago. With limits, "
        "also results. What pinned or running builds need always stays. What stays is told with its reason and size.",
    )
    made.add_argument("--size", metavar="SIZE", help="least recently used first, until the store has at most this: 10G")
    made.add_argument("--keep-days", type=float, metavar="N", help="keep the results used in the last N days")
    made.add_argument("--keep-builds", type=int, metavar="N", help="keep the results of the newest N builds")
    made.add_argument(
        "--failed-days",
        type=float,
        metavar="N",
        help=f"keep the workspaces of failed steps N days (default {FAILED_DAYS:g}; with --keep-...: as those say)",
    )
    made.add_argument(
        "--superseded-days",
        type=float,
        metavar="N",
        help=f"but only N days after a later build of the same name succeeded (default {SUPERSEDED_DAYS:g})",
    )
    made.add_argument(
        "--records-days", type=float, metavar="N", help="remove records and logs of builds older than N days"
    )
    made.add_argument("--explain", action="store_true", help="remove nothing; tell all that stays, build by build")
    made.add_argument("--dry-run", action="store_true", help="only say what would go")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    policy = policy_of(args)
    dry_run = args.dry_run or args.explain
    store = open_store(args, config.load())
    with removal() as hands:
        report = collect(store, policy, Tools(hands.remove, hands.measure), dry_run=dry_run)
        without = hands.without
    if args.json:
        head = {"version": JSON_VERSION, "dry_run": dry_run, "freed": report.freed, "policy": policy}
        put_json({**msgspec.to_builtins(head), **msgspec.to_builtins(report)})
    else:
        put(lines(report, dry_run=dry_run, everything=args.explain))
    if report.troubles:
        hint = f"no helper with the rights of other owners: {without}" if without else "see who uses it, and run again"
        raise Broken(
            f"{count(len(report.troubles), 'thing')} could not be removed", details=report.troubles[:20], hint=hint
        )
    if policy.size is not None and report.kept > policy.size:
        talk(f"what stays has more than {args.size}: {holding(report) or 'what is younger than an hour'}")
    elif policy == Policy() and not args.json:
        talk("results stay until a limit is given: --size 10G, --keep-days 30, --keep-builds 10")
    return 0


def policy_of(args: argparse.Namespace) -> Policy:
    """The options as a policy; Rejected for what is no number from 0."""
    names = ("keep_days", "keep_builds", "failed_days", "superseded_days", "records_days")
    numbers = {name: getattr(args, name) for name in names}
    for name, number in numbers.items():
        if number is not None and not number >= 0:  # nan is no number, either
            option = f"--{name.replace('_', '-')}"
            raise Rejected(f"{option} takes a number from 0", hint=f"for example {option} 30")
    return Policy(size=None if args.size is None else size_of(args.size), **numbers)


def size_of(text: str) -> int:
    """ "10G" as bytes, by the rules of a specification's limits."""
    size = parse_size(text)
    if isinstance(size, int):
        return size
    what, hint = size
    raise Rejected(f"--size: {what}", hint=hint)


def holding(report: Report) -> str:
    """What no limit can free, and how to: "pinned builds 8.0 GB (`contractor pin`), records and logs 3 MB"."""
    words = {
        "pinned": "pinned builds need {} (`contractor pin` lists them)",
        "locked": "locks need {} (`contractor gc --explain` names them)",
        "running": "running builds use {}",
        "workspaces": "workspaces kept on request have {} (`contractor clean --kept`)",
        "records": "records and logs have {} (--records-days)",
    }
    held = report.account.held
    return ", ".join(text.format(human_size(held[who])) for who, text in words.items() if held[who])
