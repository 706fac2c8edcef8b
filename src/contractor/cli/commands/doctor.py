"""contractor doctor: what this machine can isolate, what is missing and how to get it; --attack proves it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.core.errors import EXIT_CODES, ContractorError, Outcome
from contractor.core.values import Value
from contractor.sandbox.attacks import Result
from contractor.sandbox.probe import FAIL, OK, Check, host_checks
from contractor.sandbox.probe_store import store_checks


class Report(Value, frozen=True):
    """What `--json` prints. tier: how steps are isolated here, empty when they cannot be."""

    tier: str
    summary: str
    degraded: bool
    checks: tuple[Check, ...]
    attacks: tuple[Result, ...] = ()


def parser() -> Parser:
    made = Parser("doctor", "Say what this machine can isolate, what is missing, and the command that gets it.")
    made.add_argument("--attack", action="store_true", help="attack the sandbox in some hundred ways (half a minute)")
    made.add_argument("--one-id", action="store_true", help="attack the degraded tier, with one id only")
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    checks = list(host_checks())
    try:
        store = open_store(args, settings)
    except ContractorError as error:
        checks.append(Check("store", FAIL, error.message, error.hint))
    else:
        checks += store_checks(store.root, os.path.expanduser("~"))
    report = _report(checks, one_id=args.one_id)
    if not args.json:
        sys.stdout.write(table(report))
        sys.stdout.flush()
    if args.attack and report.tier:
        report = _attack(report, args.store or settings.store, args)
    if args.json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    held = all(result.stopped for result in report.attacks)
    return 0 if report.tier and held else EXIT_CODES[Outcome.UNAVAILABLE]


def _report(checks: Sequence[Check], *, one_id: bool) -> Report:
    from contractor.sandbox.local import choose

    tier = None
    if all(check.verdict != FAIL for check in checks):
        try:
            tier = choose(one_id=one_id).tier
        except ContractorError as error:
            checks = (*checks, Check("tier", FAIL, error.message, error.hint))
    if tier is None:
        return Report("", "no step can run here: never unsandboxed", False, tuple(checks))
    return Report(tier.name, tier.summary, tier.degraded, tuple(checks))


def table(report: Report) -> str:
    """The checks, one a line; below them each fix; and which tier results."""
    width = max(len(check.name) for check in report.checks)
    lines = [f"{check.verdict:<5} {check.name:<{width}}  {check.found}" for check in report.checks]
    for check in report.checks:
        if check.fix and check.verdict != OK:
            lines += ["", f"{check.name}:", *(f"    {line}" for line in check.fix.splitlines())]
    result = f"steps run in the tier {report.tier}: {report.summary}" if report.tier else report.summary
    return "\n".join([*lines, "", result]) + "\n"


def _attack(report: Report, store: str, args: object) -> Report:
    from contractor.cli.attack.run import attack
    from contractor.sandbox.local import choose
    from contractor.store.layout import Store

    quiet = bool(getattr(args, "json", False))

    def seen(result: Result) -> None:
        if not quiet:
            sys.stdout.write(attack_line(result) + "\n")
            sys.stdout.flush()

    if not quiet:
        sys.stdout.write(f"\n{'':<5}{'step':<8} {'attack':<52} {'expected':<18} {'stopped by':<32} what happened\n")
    results = attack(Store(store), choose(one_id=bool(getattr(args, "one_id", False))), seen)
    if not quiet:
        failed = sum(not result.stopped for result in results)
        sys.stdout.write(f"\n{len(results)} attacks, {len(results) - failed} held, {failed} not\n")
    import msgspec

    return msgspec.structs.replace(report, attacks=tuple(results))


def attack_line(result: Result) -> str:
    verdict = "PASS" if result.stopped else "FAIL"
    happened = result.happened if len(result.happened) <= 60 or not result.stopped else result.happened[:59] + "…"
    return f"{verdict} {result.step:<8} {result.does:<52.52} {result.expected:<18} {result.stopped_by:<32} {happened}"
