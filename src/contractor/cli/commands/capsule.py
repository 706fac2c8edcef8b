"""contractor capsule: a specification with its lock and every input as one file, and such a file unpacked."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, NoReturn

from contractor.cli import config
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.output import put, talk
from contractor.cli.text import human_size, sanitize
from contractor.core.errors import Rejected
from contractor.core.words import count

if TYPE_CHECKING:
    from contractor.build.prepare import Request
    from contractor.store.layout import Store


class _Part(Parser):
    """One of the two. `--store` is the command's own."""

    def __init__(self, **more: object) -> None:
        argparse.ArgumentParser.__init__(self, allow_abbrev=False, **more)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise Rejected(message, hint=f"{self.prog} --help")


def parser() -> Parser:
    made = Parser(
        "capsule", "One file with a specification, its lock and every input: to build elsewhere, or years later."
    )
    kinds = made.add_subparsers(dest="do", required=True, metavar="export|import", parser_class=_Part)
    out = kinds.add_parser(
        "export",
        help="make one",
        description="Write a capsule of a locked specification, or of the one that a build was of. Equal inputs give "
        "equal bytes.",
    )
    add_request(out, locks=False)
    out.add_argument("-o", "--output", metavar="FILE", help="the capsule (default: NAME.capsule)")
    into = kinds.add_parser(
        "import",
        help="unpack one",
        description="Unpack a capsule: its project into a new folder, all else into the store. Nothing is used of a "
        "capsule that is not whole.",
    )
    into.add_argument("file", help="the capsule")
    into.add_argument("dir", nargs="?", default="", help="the project's folder, new or empty (default: its name)")
    for part in (out, into):
        part.add_argument("--store", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    return _export(args) if args.do == "export" else _import(args)


def _export(args: argparse.Namespace) -> int:
    from contractor.build.capsule.exporting import export
    from contractor.build.options import Options
    from contractor.build.prepare import read_spec
    from contractor.cli.stop import Stop
    from contractor.sandbox.local import choose

    settings = config.load()
    store, sandbox, stop = open_store(args, settings), choose(one_id=args.one_id), Stop()
    request = request_of(args, settings)
    if not os.path.exists(request.spec):
        request = _request_of_build(args, settings, store)
    options = Options(folder=request.folder, upstream_proxy=settings.proxy, offline=args.offline, tick=stop.check)
    output = args.output or f"{read_spec(request.spec).name}.capsule"
    done = export(request, store, sandbox, options, output=output, say=lambda what: talk(f"fetching {sanitize(what)}"))
    what = _contents([item.kind for item in done.manifest.items])
    put([f"{sanitize(output)}: {human_size(done.size)}, {what}", f"sha256 {done.sha256}"])
    for text in done.left_out:
        talk(f"warning: what this step fetches by itself is not in it: {sanitize(text)}")
    return 0


def _contents(kinds: list[str]) -> str:
    words = {"captured": "package or index file", "blobs": "download", "git": "git commit", "sources": "source folder"}
    parts = [count(kinds.count(kind), word) for kind, word in words.items() if kind in kinds]
    return ", ".join([*parts, count(kinds.count("project"), "file") + " of the project"])


def _request_of_build(args: argparse.Namespace, settings: config.Settings, store: Store) -> Request:
    """What a build was asked for. Rejected: its specification is gone, or is not what it was."""
    from contractor.build.compare.history import plan_of
    from contractor.build.prepare import make_plans
    from contractor.sandbox.local import choose
    from contractor.store.records import Records

    records = Records(store)
    try:
        record = records.read(records.find(args.spec))
    except Rejected as error:
        raise Rejected(
            f"there is no specification {args.spec}, and no build of that name", details=error.details, hint=error.hint
        ) from error
    if not os.path.exists(record.spec):
        raise Rejected(
            f"the specification of {record.id} is not at {record.spec}",
            hint="run this in the folder where the build was run, or name the specification",
        )
    request = request_of(args, settings)._replace(
        spec=os.path.normpath(record.spec), parameters=record.parameters, only=record.matrix
    )
    plans = make_plans(request, store, choose(one_id=args.one_id))
    before = [action.key for action in plan_of(records, record.id).actions]
    if before not in [[action.key for action in plan.actions] for plan in plans]:
        raise Rejected(
            f"{record.spec}, its sources or its lock are not what {record.id} was built from",
            hint="`contractor why` says what changed; `contractor capsule export SPEC` takes it as it is now",
        )
    return request


def _import(args: argparse.Namespace) -> int:
    from contractor.build.capsule.importing import import_capsule

    store = open_store(args, config.load())
    done = import_capsule(args.file, args.dir, store)
    manifest = done.manifest
    what = _contents([item.kind for item in manifest.items])
    options = [word for name, value in manifest.parameters.items() for word in ("-p", f"{name}={value}")]
    options += [word for name, value in manifest.only.items() for word in ("--only", f"{name}={value}")]
    where = done.folder if manifest.spec == "contractor.yaml" else done.spec
    command = shlex.join(["contractor", "build", where, *options, "--locked", "--offline"])
    put(
        [
            f"{sanitize(done.folder)}: {sanitize(manifest.name)}, {what}; {human_size(done.added)} new to the store",
            f"sha256 {done.sha256}",
        ]
    )
    talk(f"now: {sanitize(command)}")
    return 0
