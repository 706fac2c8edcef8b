"""contractor clean: remove workspaces that builds kept, and with --records the builds themselves."""

from __future__ import annotations

import os

import msgspec

from contractor.build.removal import removal
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, talk
from contractor.cli.text import human_size
from contractor.core.errors import Broken, Rejected
from contractor.core.words import count
from contractor.store.layout import Store
from contractor.store.live import is_live
from contractor.store.records import Records


def parser() -> Parser:
    made = Parser("clean", "Remove kept workspaces. Results and artifacts stay: `contractor gc` is for those.")
    made.add_argument("builds", nargs="*", metavar="BUILD", help="an id, its beginning, a name, or last")
    made.add_argument("--kept", "--all-kept", action="store_true", help="the workspaces of all builds")
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
    for build in builds:
        if is_live(store, build):
            raise Rejected(f"the build {build} is running", hint="stop it first (Ctrl-C where it runs)")
    if not builds:
        talk("no workspace is kept")
    troubles: list[str] = []
    with removal() as hands:
        for build in dict.fromkeys(builds):
            for folder in ("work", "builds") if args.records else ("work",):
                if not os.path.isdir(store.path(folder, build)):
                    continue
                size = human_size(hands.measure(store.path(folder), build))
                put([f"{'would remove' if args.dry_run else 'removed'} {folder}/{build}  {size}"])
                if not args.dry_run:
                    troubles += hands.remove(store.path(folder), [build])
                    _forget(store, build)
        if troubles:
            hint = hands.without or "remove it as the owner of its files, or as root"
            raise Broken(f"{count(len(troubles), 'folder')} could not be removed", details=tuple(troubles), hint=hint)
    return 0


def kept_builds(store: Store) -> list[str]:
    """The builds whose workspace is still there, and that do not run."""
    return [
        build
        for build in sorted(os.listdir(store.path("work")))
        if os.path.isdir(store.path("work", build, "place")) and not is_live(store, build)
    ]


def _forget(store: Store, build: str) -> None:
    """The record no longer says that a workspace is kept, where it is gone."""
    records = Records(store)
    try:
        record = records.read(build)
    except (Rejected, Broken):
        return
    if record.kept and not os.path.isdir(store.path("work", build)):
        records.write(msgspec.structs.replace(record, kept=""))
