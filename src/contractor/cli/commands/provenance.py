"""contractor provenance: what signed provenance says, and whether it holds. Nothing but local files is asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.cli import config
from contractor.cli.commands.keys import Part
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk
from contractor.cli.text import clip, sanitize, table
from contractor.core.digest import is_digest
from contractor.core.errors import Rejected
from contractor.core.words import count
from contractor.proof import statement as s
from contractor.proof.dsse import peek
from contractor.proof.keyring import Keyring, read_keys
from contractor.proof.keys import Keys, by_id
from contractor.proof.provenance import SUFFIX
from contractor.proof.verify import Claim, Match, match, match_digest, read_claims

if TYPE_CHECKING:
    from contractor.store.layout import Store

JSON_VERSION = 1
_WIDE = 100  # columns of a value from a statement


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
    trusted = by_id(read_keys(args.trust)) if args.trust else Keyring(settings.keys).trusted()
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
        put(f"  {line}" for line in _said(next(m.claim for m in matches if m.claim.statement.build == claim)))
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


def _said(claim: Claim) -> Iterator[str]:
    """What a reader wants to know at once; everything that did not come from us is made safe."""
    yield f"signed by {', '.join(f'{key.name} ({key.id})' for key in claim.keys)}"
    yield from _summary(claim.statement)


def _summary(statement: s.Statement) -> Iterator[str]:
    made, run = statement.predicate.buildDefinition, statement.predicate.runDetails
    internal = statement.internal
    rows = [
        ("build", f"{statement.build}, {run.metadata.finishedOn}"),
        ("specification", f"{made.externalParameters.specification.path}, plan {internal.get('plan', '?')}"),
        *((f"parameter {name}", value) for name, value in made.externalParameters.parameters.items()),
        *((f"matrix {name}", value) for name, value in made.externalParameters.matrix.items()),
        *((("asked for", " ".join(made.externalParameters.asked)),) if made.externalParameters.asked else ()),
        *_sources(statement),
        ("isolation", ("DEGRADED: " if internal.get("degraded") else "") + str(internal.get("isolation", "?"))),
        ("epoch", f"{internal.get('epoch', '?')} ({internal.get('epochOrigin', '?')})"),
        ("materials", _counts(statement)),
        ("tools", ", ".join(f"{name} {version}" for name, version in run.builder.version.items())),
    ]
    if statement.tainted:
        rows.append(("TAINTED", statement.tainted))
    yield from table([(sanitize(name), clip(sanitize(text), _WIDE)) for name, text in rows])


def _sources(statement: s.Statement) -> Iterator[tuple[str, str]]:
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        if item.annotations.get("role") == "commit":
            changed = item.annotations.get("changedFiles", 0)
            dirty = f", DIRTY: {changed} not as in it" if item.annotations.get("dirty") else ""
            yield ("commit", f"{item.uri or item.digest.get('gitCommit', '?')}{dirty}")


def _counts(statement: s.Statement) -> str:
    kinds: dict[str, int] = {}
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        role = str(item.annotations.get("role", "other"))
        kind = "package" if item.uri.startswith("pkg:") else "fetched file" if role == "fetch" else role
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(count(number, kind) for kind, number in sorted(kinds.items()))


def _as_json(item: Match) -> dict[str, Any]:
    return {
        "artifact": item.path,
        "how": item.how,
        "subject": item.subject,
        "keys": [{"name": key.name, "id": key.id} for key in item.claim.keys],
        "build": item.claim.statement.build,
        "tainted": item.claim.statement.tainted,
        "degraded": bool(item.claim.statement.internal.get("degraded")),
    }


def _show(args: argparse.Namespace) -> int:
    shown = []
    for path in _files(args):
        with open(path, "rb") as file:
            lines = [line for line in file.read().split(b"\n") if line.strip()]
        for line in lines:
            payload, keys = peek(line)
            shown.append((path, s.decode(payload), keys))
    if args.json:
        statements = [msgspec.to_builtins(statement) for _path, statement, _keys in shown]
        put_json(statements[0] if len(statements) == 1 else statements)
        return 0
    for path, statement, keys in shown:
        put([sanitize(path)])
        for item in statement.subject:
            put(f"  {sanitize(item.name)}  {name}:{sanitize(value)}" for name, value in item.digest.items())
        put(f"  {line}" for line in _summary(statement))
        put([f"  key            {', '.join(map(sanitize, keys))}"])
        if args.materials:
            put(f"    {line}" for line in _materials(statement))
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


def _materials(statement: s.Statement) -> Iterator[str]:
    for item in statement.predicate.buildDefinition.resolvedDependencies:
        digest = next((f"{name}:{value}" for name, value in item.digest.items()), "no digest")
        yield f"{sanitize(item.uri or item.name)}  {sanitize(digest)}"
