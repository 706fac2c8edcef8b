"""contractor pin: builds that gc leaves alone, with all that they need."""

from __future__ import annotations

import msgspec

from contractor.build.removal import removal
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json, talk, when
from contractor.cli.text import human_size, sanitize, table
from contractor.core.errors import Rejected
from contractor.store.gc import Tools, look
from contractor.store.gc_account import Row, what_is_gone
from contractor.store.gc_builds import Builds
from contractor.store.gc_survey import survey
from contractor.store.layout import Store
from contractor.store.pins import pin, pin_of, unpin
from contractor.store.records import Records

JSON_VERSION = 1
_LONGEST = 200


def parser() -> Parser:
    made = Parser(
        "pin",
        "Keep builds with all that they need: record, log, artifacts, trees, states, whatever limits `contractor gc` "
        "is given. Without BUILD: list what is pinned.",
    )
    made.add_argument("builds", nargs="*", metavar="BUILD", help="an id, its beginning, a name, or last")
    made.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever looks later")
    made.add_argument("--remove", action="store_true", help="take the pin away: gc's rules hold again")
    made.add_argument("--json", action="store_true", help="the list as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    if not args.builds:
        if args.remove or args.reason:
            raise Rejected("name the builds", hint="`contractor pin` lists the pinned ones, `contractor list` all")
        return _list(store, as_json=args.json)
    if args.json:
        raise Rejected("--json goes with the list of pins", hint="`contractor pin --json`")
    reason = _reason(args.reason)
    records = Records(store)
    for build in dict.fromkeys(records.find(build) for build in args.builds):
        if not args.remove:
            _pin(store, build, reason)
        elif pin_of(store, build) is None:
            talk(f"not pinned: {sanitize(build)} (`contractor pin` lists what is)")
        else:
            unpin(store, build)
            put([f"no longer pinned: {sanitize(build)}"])
    return 0


def _reason(text: str) -> str:
    if len(text) > _LONGEST:
        raise Rejected(f"the reason has {len(text)} characters, {_LONGEST} is the most", hint="name a ticket or a page")
    return sanitize(text.encode("utf-8", "replace").decode())


def _pin(store: Store, build: str, reason: str) -> None:
    with store.using():  # gc chooses before or after this, not meanwhile
        Records(store).read(build)
        pin(store, build, reason)
        builds = Builds(store)
        gone = what_is_gone(survey(store, builds, {}, {}), build)
    put([f"pinned: {sanitize(build)}" + (f" ({reason})" if reason else "")])
    for text in gone:
        talk(f"no longer in the store: {sanitize(text)}")


def _list(store: Store, *, as_json: bool) -> int:
    with removal() as hands:
        rows = [row for row in look(store, Tools(hands.remove, hands.measure)).rows if row.pinned]
    if as_json:
        put_json({"version": JSON_VERSION, "pins": [_as_json(store, row) for row in rows]})
        return 0
    if not rows:
        talk("nothing is pinned: `contractor pin BUILD --reason TEXT` keeps a build")
        return 0
    cells = [("build", "needs", "would free", "pinned", "reason")]
    for row in rows:
        found = pin_of(store, row.build)
        at, reason = (found.at, found.reason) if found is not None else (0.0, "")
        cells.append((sanitize(row.build), human_size(row.size), human_size(row.alone), when(at), sanitize(reason)))
    put(table(cells, right=(1, 2)))
    for row in rows:
        for text in row.gone:
            talk(f"no longer in the store: {sanitize(row.build)} {sanitize(text)}")
    return 0


def _as_json(store: Store, row: Row) -> dict[str, object]:
    found = pin_of(store, row.build)
    pinned = msgspec.to_builtins(found) if found is not None else {}
    return {"build": row.build, **pinned, "size": row.size, "alone": row.alone, "gone": row.gone}
