"""contractor artifacts: list what builds made, copy it out, or check it against its digest."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk
from contractor.cli.proving import hand_out
from contractor.cli.text import human_size, sanitize, table
from contractor.core.digest import chunks, is_digest
from contractor.core.errors import Broken, Rejected
from contractor.core.events import ArtifactInfo
from contractor.core.words import count
from contractor.store.layout import Store
from contractor.store.records import Record, Records
from contractor.store.results import artifact_path

JSON_VERSION = 1


class _Part(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Rejected(message, hint=f"{self.prog} --help")


def parser() -> Parser:
    made = Parser("artifacts", "List, get or verify artifacts.")
    kinds = made.add_subparsers(dest="do", required=True, metavar="list|get|verify", parser_class=_Part)
    listing = kinds.add_parser("list", help="what builds made", description="List the artifacts of the store.")
    listing.add_argument("build", nargs="?", help="of this build only: an id, its beginning, a name, or last")
    getting = kinds.add_parser("get", help="copy them out", description="Copy artifacts out, with a SHA256SUMS.")
    getting.add_argument("build", help="an id, its beginning, a name, or last")
    getting.add_argument("name", nargs="?", help="this artifact only")
    getting.add_argument("--diagnostics", action="store_true", help="what it kept when it failed, unpacked, instead")
    getting.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder that receives them")
    checking = kinds.add_parser(
        "verify", help="check them", description="Read artifacts again and compare them to their digest."
    )
    checking.add_argument("what", nargs="?", help="a build or a digest (default: everything in the store)")
    for part in (listing, getting, checking):
        part.add_argument("--store", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    for part in (listing, checking):
        part.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    records = Records(store)
    if args.do == "list":
        return _list(store, [records.read(records.find(args.build))] if args.build else records.all(), args.json)
    if args.do == "get" and args.diagnostics:
        return _get_diagnostics(records, records.find(args.build), args.name, args.output)
    if args.do == "get":
        return _get(store, records.read(records.find(args.build)), args.name, args.output)
    return _verify(store, args.what, args.json)


def _list(store: Store, records: Any, as_json: bool) -> int:
    found = list(_unique(records))
    if as_json:
        rows = [
            {
                **msgspec.to_builtins(item),
                "build": record.id,
                "stored_at": artifact_path(store, item.digest),
                "present": _present(store, item),
            }
            for record, item in found
        ]
        put_json({"version": JSON_VERSION, "artifacts": rows})
        return 0
    if not found:
        talk("no artifact yet")
        return 0
    heading = ("name", "format", "size", "stored", "build", "sha256 of the archive")
    put(table([heading, *(_row(store, record, item) for record, item in found)], right=(2, 3)))
    return 0


def _unique(records: Any) -> Iterator[tuple[Record, ArtifactInfo]]:
    """Each artifact once, with the newest build that has it."""
    seen: set[tuple[str, str, str]] = set()
    for record in records:
        for item in record.artifacts:
            if (item.name, item.digest, item.format) not in seen:
                seen.add((item.name, item.digest, item.format))
                yield record, item


def _row(store: Store, record: Record, item: ArtifactInfo) -> tuple[str, ...]:
    stored = human_size(item.stored) if _present(store, item) else "gone"
    return (sanitize(item.name), item.format, human_size(item.size), stored, record.id, item.digest)


def _present(store: Store, item: ArtifactInfo) -> bool:
    return os.path.exists(artifact_path(store, item.digest))


def _get(store: Store, record: Record, name: str | None, output: str) -> int:
    from contractor.build.export.exporting import export, exported_name

    if name is not None:
        record = msgspec.structs.replace(record, artifacts=(_named(record, name),))
    if not record.artifacts:
        raise Rejected(f"the build {record.id} has no artifact", hint=f"`contractor show {record.id}` tells why")
    copies = export([record], store, output, many=False)
    put(f"{output.rstrip('/') or '/'}/{exported_name(item)}" for item in record.artifacts)
    hand_out(store, config.load(), record.id, copies)
    return 0


def _get_diagnostics(records: Records, build: str, name: str | None, output: str) -> int:
    from contractor.cli.diagnostics import unpack_kept

    if name is not None:
        raise Rejected(f"--diagnostics gets all that was kept: there is no choosing {name}", hint="leave out the name")
    talk(f"{count(unpack_kept(records, build, output), 'file')} in {output}")
    return 0


def _named(record: Record, name: str) -> ArtifactInfo:
    for item in record.artifacts:
        if item.name == name:
            return item
    import difflib

    names = [item.name for item in record.artifacts]
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(names) or 'none'}"
    raise Rejected(f"the build {record.id} has no artifact {name!r}", hint=hint)


def _verify(store: Store, what: str | None, as_json: bool) -> int:
    """Broken (exit code 6) when anything is damaged or missing; all of it is read and told first."""
    from contractor.store.cas import Blobs, Encoding
    from contractor.store.compress import open_zstd

    encoding = Encoding(".zst", lambda file: chunks(open_zstd(file.fileno())))
    blobs = Blobs(Path(store.path("blobs")), encoding)
    names = _to_verify(store, what, sorted(blobs.digests()))
    wrong: list[Broken] = []
    rows = []
    for digest, name in names.items():
        state = "intact" if blobs.has(digest) else "missing"
        try:
            blobs.verify(digest)
        except Broken as error:
            wrong.append(error)
            state = "damaged" if state == "intact" else state
        rows.append({"digest": digest, "name": name, "state": state})
        if not as_json:
            put([f"{state:<8} {digest}  {sanitize(name)}".rstrip()])
    if as_json:
        put_json({"version": JSON_VERSION, "artifacts": rows})
    if wrong:
        details = tuple(line for error in wrong for line in (error.message, *error.details))
        raise Broken(
            f"{count(len(wrong), 'artifact')} of {len(names)} cannot be used any more",
            details=details,
            hint="build again: the steps that made them run again",
        )
    if not as_json:
        talk(f"{count(len(names), 'artifact')}, all intact")
    return 0


def _to_verify(store: Store, what: str | None, stored: list[str]) -> dict[str, str]:
    """Digest -> name."""
    if what is not None and is_digest(what.removeprefix("sha256:")):
        digest = what.removeprefix("sha256:")
        return {digest: ""}
    records = Records(store)
    if what is not None:
        return {item.digest: item.name for item in records.read(records.find(what)).artifacts}
    known = {item.digest: item.name for record, item in _unique(records.all())}
    return {digest: known.get(digest, "(a source)") for digest in stored}
