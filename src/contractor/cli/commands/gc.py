"""contractor gc: take out of the store what is no longer needed; with limits, the least recently used results."""

from __future__ import annotations

import msgspec

from contractor.build.removal import removal
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk
from contractor.cli.text import human_size, sanitize, table
from contractor.core.errors import Broken, Rejected
from contractor.core.words import count
from contractor.spec.quantities import parse_size
from contractor.store.gc import Policy, Report, Tools, collect

JSON_VERSION = 1
_MOST_ROWS = 200


def parser() -> Parser:
    made = Parser(
        "gc",
        "Remove what crashes left and what no result names. With limits, also results: the least recently used "
        "first, and never what a running build uses. Records, logs and kept workspaces stay (`contractor clean`).",
    )
    made.add_argument("--size", metavar="SIZE", help="until the store has at most this size, such as 10G")
    made.add_argument("--keep-days", type=float, metavar="N", help="keep what was used in the last N days")
    made.add_argument("--keep-builds", type=int, metavar="N", help="keep what the newest N builds used")
    made.add_argument("--dry-run", action="store_true", help="only say what would go")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    size = None if args.size is None else size_of(args.size)
    policy = Policy(size=size, keep_days=args.keep_days, keep_builds=args.keep_builds)
    if (args.keep_days or 0) < 0 or (args.keep_builds or 0) < 0:
        raise Rejected("--keep-days and --keep-builds take numbers from 0", hint="for example --keep-days 30")
    store = open_store(args, config.load())
    with removal() as hands:
        report = collect(store, policy, Tools(hands.remove, hands.measure), dry_run=args.dry_run)
        without = hands.without
    if args.json:
        head = {"version": JSON_VERSION, "dry_run": args.dry_run, "freed": report.freed}
        put_json({**head, **msgspec.to_builtins(report)})
    else:
        put(lines(report, dry_run=args.dry_run))
    if report.troubles:
        hint = f"no helper with the rights of other owners: {without}" if without else "see who uses it, and run again"
        raise Broken(
            f"{count(len(report.troubles), 'thing')} could not be removed", details=report.troubles[:20], hint=hint
        )
    if policy.size is not None and report.kept > policy.size:
        talk(f"what stays has more than {args.size}: records, logs, kept workspaces, and what running builds use")
    return 0


def size_of(text: str) -> int:
    """ "10G" as bytes, by the rules of a specification's limits."""
    size = parse_size(text)
    if isinstance(size, int):
        return size
    what, hint = size
    raise Rejected(f"--size: {what}", hint=hint)


def lines(report: Report, *, dry_run: bool) -> list[str]:
    """What went and why, then what stays."""
    shown = sorted(report.removed, key=lambda item: -item.size)
    rows = [(human_size(item.size), sanitize(item.path), item.why) for item in shown[:_MOST_ROWS]]
    found = table(rows, right=(0,))
    if len(shown) > _MOST_ROWS:
        found.append(f"... and {len(shown) - _MOST_ROWS} smaller ones")
    verb = "would free" if dry_run else "freed"
    found.append(f"{verb} {human_size(report.freed)} in {count(len(shown), 'item')}; {count(report.results, 'result')}")
    found.append(f"kept {human_size(report.kept)}: {count(report.kept_results, 'result')}, records and logs")
    if report.live:
        found.append(f"running now, left alone: {', '.join(report.live)}")
    for item in report.workspaces:
        found.append(f"{item.why}: {item.path}  {human_size(item.size)}  (`contractor clean --kept` removes it)")
    return found
