"""contractor provenance: what signed provenance says, and whether it holds. Nothing but local files is asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.cli import config
from contractor.cli.commands.keys import Part
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk
from contractor.cli.provenance_text import materials, said, summary
from contractor.cli.proving import ring_of
from contractor.cli.text import sanitize
from contractor.core.digest import is_digest
from contractor.core.errors import Rejected
from contractor.proof import statement as s
from contractor.proof.dsse import peek
from contractor.proof.keyring import read_keys
from contractor.proof.keys import Keys, by_id
from contractor.proof.provenance import SUFFIX
from contractor.proof.verdict import Verdict
from contractor.proof.verdict import decode as decode_verdict
from contractor.proof.verify import Claim, Match, match, match_digest, read_claims

if TYPE_CHECKING:
    from contractor.store.layout import Store

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser("provenance", "Show or verify the signed provenance of artifacts.")
    kinds = made.add_subparsers(dest="do", required=True, metavar="show|verify", parser_class=Part)
    show = kinds.add_parser("show", help="what it says", description="Show what provenance says, without verifying it.")
    show.add_argument("what", help=f"a *{SUFFIX} file; or a build: an id, its beginning, a name, or last")
    show.add_argument("--materials", action="store_true", help="list everything that went in")
    show.add_argument("--json", action="store_true", help="the statement, as it was signed")
    verify = kinds.add_parser(
        "verify",
        help="whether it holds",
        description="Verify provenance: signed by a trusted key, and about these artifacts. Exit code 0 if it holds, "
        "3 if a signature or an artifact is another, 2 if it cannot be judged (no trusted key, no such file).",
    )
    verify.add_argument("what", help=f"a *{SUFFIX} file; or a build, whose artifacts in the store are verified")
    verify.add_argument(
        "artifacts",
        nargs="*",
        metavar="ARTIFACT",
        help="a file, a folder, or a digest (default: what FILE lies beside)",
    )
    verify.add_argument("--trust", metavar="FILE", help="trust the keys in FILE, and no others")
    verify.add_argument("--allow-tainted", action="store_true", help="accept what somebody's shell has changed")
    verify.add_argument("--json", action="store_true", help="as JSON")
    for part in (show, verify):
        part.add_argument("--store", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    return _show(args) if args.do == "show" else _verify(args)


def _verify(args: argparse.Namespace) -> int:
    settings = config.load()
    store = getattr(args, "store", None)
    trusted = by_id(read_keys(args.trust)) if args.trust else ring_of(settings, store).trusted()
    if os.path.exists(args.what) or args.what.endswith(SUFFIX):
        matches = _verify_file(args, trusted)
    else:
        matches = _verify_build(args, trusted, open_store(args, settings))
    if args.json:
        put_json({"version": JSON_VERSION, "verified": [_as_json(item) for item in matches]})
        return 0
    for item in matches:
        put([f"verified: {sanitize(item.path)} ({item.how})"])
    for claim in dict.fromkeys(item.claim.statement.build for item in matches):
        put(f"  {line}" for line in said(next(m.claim for m in matches if m.claim.statement.build == claim)))
    return 0


def _verify_file(args: argparse.Namespace, trusted: Keys) -> list[Match]:
    claims, troubles = read_claims(args.what, trusted, allow_tainted=args.allow_tainted)
    for trouble in troubles:
        talk(f"does not count: {sanitize(trouble.message)}")
    beside = args.what.removesuffix(SUFFIX)
    artifacts = args.artifacts or ([beside] if os.path.exists(beside) and beside != args.what else [])
    if not artifacts:
        raise Rejected(
            f"no artifact to compare with {args.what}", hint=f"contractor provenance verify {args.what} ARTIFACT"
        )
    return [_match(path, claims, args) for path in artifacts]


def _match(path: str, claims: Sequence[Claim], args: argparse.Namespace) -> Match:
    digest = path.removeprefix("sha256:")
    if os.path.lexists(path) or not is_digest(digest):
        return match(path, claims)
    found = match_digest(digest, claims)
    _require_stored(open_store(args, config.load()), digest)
    return found


def _require_stored(store: Store, digest: str) -> None:
    """Broken when the store's archive of this digest is gone or damaged: then there is nothing that was verified."""
    from pathlib import Path

    from contractor.core.digest import chunks
    from contractor.store.cas import Blobs, Encoding
    from contractor.store.compress import open_zstd

    encoding = Encoding(".zst", lambda file: chunks(open_zstd(file.fileno())))
    Blobs(Path(store.path("blobs")), encoding).verify(digest)


def _verify_build(args: argparse.Namespace, trusted: Keys, store: Store) -> list[Match]:
    from contractor.proof.provenance import stored_at
    from contractor.store.records import Records

    records = Records(store)
    record = records.read(records.find(args.what))
    names = {made.name: made for made in record.artifacts}
    for name in args.artifacts:
        if name not in names:
            raise Rejected(f"{record.id} has no artifact {name}", hint=f"it has: {', '.join(names) or 'none'}")
    if not names:
        raise Rejected(f"{record.id} has no artifact", hint=f"`contractor show {record.id}` tells why")
    found = []
    for name in args.artifacts or names:
        claims, _troubles = read_claims(stored_at(store, record.id, name), trusted, allow_tainted=args.allow_tainted)
        hit = match_digest(names[name].digest, claims)
        _require_stored(store, names[name].digest)
        found.append(hit._replace(path=name))
    return found


def _as_json(item: Match) -> dict[str, Any]:
    return {
        "artifact": item.path,
        "how": item.how,
        "subject": item.subject,
        "keys": [{"name": key.name, "id": key.id} for key in item.claim.keys],
        "build": item.claim.statement.build,
        **_judged(item.claim.statement),
    }


def _judged(statement: s.Statement | Verdict) -> dict[str, Any]:
    if isinstance(statement, Verdict):
        return {"about": "a rebuild", "again": str(statement.about.get("again", ""))}
    degraded = bool(statement.internal.get("degraded"))
    return {"about": "a build", "tainted": statement.tainted, "degraded": degraded}


def _show(args: argparse.Namespace) -> int:
    shown = []
    for path in _files(args):
        with open(path, "rb") as file:
            lines = [line for line in file.read().split(b"\n") if line.strip()]
        for line in lines:
            payload, keys = peek(line)
            verdict = s.kind_of(payload) == s.TEST_RESULT
            shown.append((path, decode_verdict(payload) if verdict else s.decode(payload), keys))
    if args.json:
        statements = [msgspec.to_builtins(statement) for _path, statement, _keys in shown]
        put_json(statements[0] if len(statements) == 1 else statements)
        return 0
    for path, statement, keys in shown:
        put([sanitize(path)])
        for item in statement.subject:
            put(f"  {sanitize(item.name)}  {name}:{sanitize(value)}" for name, value in item.digest.items())
        put(f"  {line}" for line in summary(statement))
        put([f"  key            {', '.join(map(sanitize, keys))}"])
        if args.materials:
            put(f"    {line}" for line in materials(statement))
    talk("not verified: `contractor provenance verify` does that")
    return 0


def _files(args: argparse.Namespace) -> list[str]:
    if os.path.exists(args.what):
        return [args.what]
    from contractor.proof.provenance import stored_at
    from contractor.store.records import Records

    store = open_store(args, config.load())
    record = Records(store).read(Records(store).find(args.what))
    paths = [stored_at(store, record.id, made.name) for made in record.artifacts]
    found = [path for path in paths if os.path.exists(path)]
    if not found:
        raise Rejected(f"{record.id} has no provenance", hint="a build that succeeded and made an artifact has it")
    return found
