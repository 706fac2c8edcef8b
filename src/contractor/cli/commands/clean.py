"""contractor clean: remove workspaces that builds kept, and with --records the builds themselves."""

from __future__ import annotations

import os

from contractor.build.removal import removal
from contractor.cli import config
from contractor.cli.gc_text import short
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, talk
from contractor.cli.text import human_size, sanitize
from contractor.core.errors import Broken, Rejected
from contractor.core.words import count
from contractor.store.gc import Tools
from contractor.store.gc_clean import parts_of, take
from contractor.store.layout import Store
from contractor.store.live import is_live
from contractor.store.pins import pin_of
from contractor.store.records import Records


def parser() -> Parser:
    made = Parser(
        "clean",
        "Remove the workspaces that builds kept: on request, or where a step failed. Results and artifacts stay: "
        "`contractor gc` is for those.",
    )
    made.add_argument("builds", nargs="*", metavar="BUILD", help="an id, its beginning, a name, or last")
    made.add_argument("--kept", "--all-kept", action="store_true", help="the workspaces of all builds with --keep")
    made.add_argument("--records", action="store_true", help="also the records and logs of the builds named")
    made.add_argument("--dry-run", action="store_true", help="only say what would go")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if bool(args.builds) == args.kept:
        raise Rejected(
            "name builds, or say --kept" if not args.builds else "either name builds, or say --kept",
            hint="`contractor list` shows the builds",
        )
    store = open_store(args, config.load())
    records = Records(store)
    builds = [records.find(build) for build in args.builds] if args.builds else kept_builds(store)
    troubles: list[str] = []
    with removal() as hands:
        tools = Tools(hands.remove, hands.measure)
        found = {build: parts_of(store, build, tools, records=args.records) for build in builds}
        for build, parts in found.items():
            if not args.dry_run:
                troubles += take(store, build, parts, tools)
                _forget(store, build)
            verb = "would remove" if args.dry_run else "removed"
            put(f"{verb} {sanitize(short(part.path))}  {human_size(part.size)}" for part in parts)
        if troubles:
            hint = hands.without or "remove it as the owner of its files, or as root"
            raise Broken(f"{count(len(troubles), 'folder')} could not be removed", details=tuple(troubles), hint=hint)
    if not any(found.values()):
        talk("no workspace is kept")
    return 0


def kept_builds(store: Store) -> list[str]:
    """The builds whose workspace is still there, and that do not run; those that are pinned are said and left."""
    there = [
        build
        for build in sorted(os.listdir(store.path("work")))
        if os.path.isdir(store.path("work", build, "place")) and not is_live(store, build)
    ]
    for build in there:
        if pin_of(store, build) is not None:
            talk(f"left alone: {sanitize(build)} is pinned")
    return [build for build in there if pin_of(store, build) is None]


def _forget(store: Store, build: str) -> None:
    """The record no longer says that a workspace is kept, where it is gone."""
    records = Records(store)
    try:
        record = records.read(build)
    except (Rejected, Broken):
        return
    if record.kept and not os.path.isdir(store.path("work", build)):
        records.forget_kept(build)
