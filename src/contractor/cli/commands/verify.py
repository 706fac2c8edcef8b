"""contractor verify: build again from the record, without network and under other conditions, and compare."""

from __future__ import annotations

import os
import sys
import time

import msgspec

from contractor.build.context import Options
from contractor.build.verify import VARIATIONS, Difference, Verdict, verify
from contractor.cli import config
from contractor.cli.console import make_console
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json
from contractor.cli.proving import witness_of
from contractor.cli.secrets import add_secret, read_secrets
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome, Rejected
from contractor.core.words import count
from contractor.proof.verdict import Reproduction
from contractor.sandbox.local import choose
from contractor.store.records import Records

JSON_VERSION = 1
_SHOWN = 20  # members that differ, an artifact
_LINES = 60  # of diffoscope's text, an artifact


def parser() -> Parser:
    made = Parser(
        "verify",
        "Build a finished build again from its record alone: every step, no network, under conditions that must not "
        "matter. Compare all artifacts; exit 3 when any differs.",
    )
    made.add_argument("build", nargs="?", default="last", help="an id, its beginning, or a name (default: the last)")
    made.add_argument(
        "--vary", metavar="LIST", default=",".join(VARIATIONS), help="of these: %(default)s; '' for none of them"
    )
    add_secret(made)
    made.add_argument("--one-id", action="store_true", help="isolate with one id only: degraded, for comparison")
    made.add_argument("--json", action="store_true", help="the verdict as JSON")
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store, sandbox, stop = open_store(args, settings), choose(one_id=args.one_id), Stop()
    build = Records(store).find(args.build)
    asked = Records(store).read(build).asked
    build = asked[1] if asked[:1] == ("--verify",) else build  # of a verification, what it verified
    console = make_console(
        sys.stderr,
        mode="quiet" if args.json else "plain" if args.plain or not settings.live else "live",
        colour=settings.colour,
        ci=settings.ci,
        width=_width,
        verbose=False,
    )

    def tick() -> None:
        stop.check()
        console.tick(time.time())

    folder = os.path.dirname(Records(store).read(build).spec)
    witness = witness_of(store, settings)
    options = Options(folder=folder, secrets=read_secrets(args.secret), tick=tick, witness=witness)
    try:
        verdict = verify(build, store, sandbox, options, emit=console, vary=_variations(args.vary))
    finally:
        console.close()
    signed = witness.verdict(_reproduction(verdict))
    if args.json:
        put_json({"version": JSON_VERSION, **msgspec.to_builtins(verdict), "signed": signed})
    else:
        put([*lines(verdict), f"signed: {signed}"])
    return exit_code(verdict)


def _reproduction(verdict: Verdict) -> Reproduction:
    different = tuple(difference.name for difference in verdict.differences)
    return Reproduction(verdict.build, verdict.again, verdict.outcome, verdict.same, different, verdict.varied)


def _variations(text: str) -> tuple[str, ...]:
    asked = tuple(word for word in text.split(",") if word)
    for word in asked:
        if word not in VARIATIONS:
            raise Rejected(f"--vary {word}: there is no such variation", hint=f"of these: {', '.join(VARIATIONS)}")
    return asked


def exit_code(verdict: Verdict) -> int:
    """0 for reproduced, 3 for not, else that of how the second build ended."""
    if verdict.reproduced:
        return 0
    return EXIT_CODES[Outcome(verdict.outcome)]


def lines(verdict: Verdict) -> list[str]:
    """What was varied, each artifact that differs and where, and the verdict."""
    found = [f"varied: {', '.join(verdict.varied)}"]
    for difference in verdict.differences:
        found += ["", *_differs(difference)]
    total = len(verdict.same) + len(verdict.differences)
    found.append("")
    if verdict.reproduced:
        found.append(f"reproduced: {len(verdict.same)} of {count(total, 'artifact')} of {verdict.build}, bit for bit")
    elif verdict.differences:
        found.append(f"NOT REPRODUCIBLE: {len(verdict.differences)} of {count(total, 'artifact')} of {verdict.build}")
        found.append(f"see: contractor diff {verdict.build} {verdict.again}")
    else:
        found.append(f"not verified: the second build ended as {verdict.outcome}: {sanitize(verdict.message)}")
        found.append(f"see: contractor log {verdict.again}")
    return found


def _differs(difference: Difference) -> list[str]:
    if not difference.before or not difference.after:
        where = "only in the first build" if difference.before else "only in the second build"
        return [f"{sanitize(difference.name)}: {where}"]
    found = [f"{sanitize(difference.name)}: sha256:{difference.before} -> sha256:{difference.after}"]
    members = difference.members
    if difference.explained:
        text = difference.explained.splitlines()
        found += [f"  {sanitize(line)}" for line in text[:_LINES]]
        return found + ([f"  ... and {len(text) - _LINES} more lines: --json has all"] if len(text) > _LINES else [])
    if members is None or members.why_not:
        return [*found, f"  {members.why_not}"] if members is not None else found
    for change in members.changes[:_SHOWN]:
        what = ", ".join(f"{aspect} {was} -> {now}" for aspect, (was, now) in change.what.items())
        found.append(f"  {change.how} {sanitize(change.path)}" + (f": {sanitize(what)}" if what else ""))
    if len(members.changes) > _SHOWN:
        found.append(f"  ... and {len(members.changes) - _SHOWN} more")
    return found


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80
