"""contractor verify: build again from the record, without network and under other conditions, and compare."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contractor.build.options import Options
from contractor.build.verify.conditions import VARIATIONS
from contractor.build.verify.verify import verify
from contractor.cli import config
from contractor.cli.commands.keys import write_out
from contractor.cli.console.console import make_console
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk, terminal_width
from contractor.cli.proving import ring_of, witness_of
from contractor.cli.secrets import add_secret, read_secrets
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.cli.verify_text import exit_code, lines
from contractor.core.errors import Rejected
from contractor.proof.errors import Refuted
from contractor.proof.keyring import read_keys
from contractor.proof.keys import Keys, by_id
from contractor.sandbox.local import LocalSandbox, choose
from contractor.store.layout import Store
from contractor.store.records import VERIFY, Record, Records

if TYPE_CHECKING:
    from contractor.build.verify.elsewhere import Elsewhere

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser(
        "verify",
        "Build a finished build again from its record alone: every step, no network, under conditions that must not "
        "matter. Compare all artifacts and sign the verdict; exit 3 when any differs.",
    )
    made.add_argument(
        "build",
        nargs="?",
        default="last",
        metavar="BUILD|FILE",
        help="an id, its beginning, or a name (default: the last); or a file with the provenance of an artifact",
    )
    made.add_argument(
        "--vary", metavar="LIST", default=",".join(VARIATIONS), help="of these: %(default)s; '' for none of them"
    )
    made.add_argument("--trust", metavar="FILE", help="of provenance: trust the keys in FILE, and no others")
    made.add_argument(
        "--spec",
        metavar="SPEC",
        help="of provenance whose build is in another store: its specification here, with its lock; as from a capsule",
    )
    made.add_argument("-o", "--output", metavar="FILE", help="write the signed verdict here as well, for others")
    add_secret(made)
    made.add_argument("--one-id", action="store_true", help="isolate with one id only: degraded, for comparison")
    made.add_argument("--json", action="store_true", help="the verdict as JSON")
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    vary = _variations(args.vary)
    store, stop = open_store(args, settings), Stop()
    sandbox = choose(one_id=args.one_id)
    given = _given(args, store, sandbox, settings)
    secrets = read_secrets(args.secret)
    console = make_console(
        sys.stderr,
        mode="quiet" if args.json else "plain" if args.plain or not settings.live else "live",
        colour=settings.colour,
        ci=settings.ci,
        width=terminal_width,
        verbose=False,
    )

    def tick() -> None:
        stop.check()
        console.tick(time.time())

    folder = os.path.dirname(given.spec if isinstance(given, Record) else given.plan.file)
    wanted = given.id if isinstance(given, Record) else given
    options = Options(folder=folder, secrets=secrets, tick=tick, witness=witness_of(store, settings))
    try:
        verdict = verify(wanted, store, sandbox, options, emit=console, vary=vary)
    except KeyboardInterrupt:
        talk("stopped while the artifacts were compared: there is no verdict")
        raise
    finally:
        console.close()
    if args.output and verdict.signed:
        with open(verdict.signed, "rb") as file:
            write_out(file.read(), args.output)
        verdict = msgspec.structs.replace(verdict, signed=args.output)
    if args.json:
        put_json({"version": JSON_VERSION, **msgspec.to_builtins(verdict)})
    else:
        put(lines(verdict))
    return exit_code(verdict)


def _given(
    args: argparse.Namespace, store: Store, sandbox: LocalSandbox, settings: config.Settings
) -> Record | Elsewhere:
    """What is to be built again."""
    trusted = by_id(read_keys(args.trust)) if args.trust else ring_of(settings, store.root).trusted()
    if "/" not in args.build and not os.path.isfile(args.build):
        if args.spec:
            raise Rejected("--spec goes with a file of provenance", hint="contractor verify FILE --spec SPEC")
        record = _of_build(args.build, store)
        _require_as_signed(record, store, trusted)
        return record
    from contractor.proof.verify import read_claims

    claims, troubles = read_claims(args.build, trusted)
    for trouble in troubles:
        talk(f"does not count: {sanitize(trouble.message)}")
    if not args.spec:
        from contractor.build.verify.invocation import record_of

        return record_of(claims, args.build, store)
    from contractor.build.prepare import Request
    from contractor.build.verify.elsewhere import build_of

    spec = f"{args.spec.rstrip('/')}/contractor.yaml" if os.path.isdir(args.spec) else args.spec
    request = Request(spec=os.path.normpath(spec), base_folders=(Path(settings.bases),))
    return build_of(claims, args.build, request, store, sandbox)


def _of_build(text: str, store: Store) -> Record:
    """Of a verification, what it verified."""
    records = Records(store)
    record = records.read(records.find(text))
    if record.asked[:1] != (VERIFY,):
        return record
    if record.asked[1] not in records.ids():
        raise Rejected(
            f"{record.id} verified {record.asked[1]}, which is in another store",
            hint="verify its provenance again: contractor verify FILE --spec SPEC",
        )
    return records.read(record.asked[1])


def _require_as_signed(record: Record, store: Store, trusted: Keys) -> None:
    """Refuted when record, plan or artifacts are not those that the build's own provenance was signed for."""
    from contractor.build.verify.invocation import record_of
    from contractor.proof.provenance import stored_at
    from contractor.proof.verify import read_claims

    if record.outcome != "succeeded" or not record.artifacts:
        return  # there is none, and nothing to verify
    path = stored_at(store, record.id, record.artifacts[0].name)
    try:
        claims, _troubles = read_claims(path, trusted, allow_tainted=True)
    except Rejected as error:
        talk(f"nobody whom you trust vouches for the record of {record.id}: {sanitize(error.message)}")
        return
    if record_of(claims, path, store).id != record.id:
        raise Refuted(f"{path} is the provenance of another build", hint="`contractor audit verify` says what changed")


def _variations(text: str) -> tuple[str, ...]:
    asked = tuple(word for word in text.split(",") if word)
    for word in asked:
        if word not in VARIATIONS:
            raise Rejected(f"--vary {word}: there is no such variation", hint=f"of these: {', '.join(VARIATIONS)}")
    return asked
