"""contractor compare: are the outputs of two builds the same, or of a build and what somebody published?"""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from contractor.build.verify.sums import (
    Comparison,
    Outputs,
    compare_outputs,
    notes_on,
    outputs_of,
    read_folder,
    read_sums,
    with_notes,
)
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome, Rejected
from contractor.core.words import count
from contractor.store.layout import Store
from contractor.store.records import Record, Records

JSON_VERSION = 1


class _Side(NamedTuple):
    """One of the two. record: of a build, which has no outputs yet."""

    text: str
    record: Record | None = None
    outputs: Outputs | None = None


def parser() -> Parser:
    made = Parser(
        "compare",
        "Compare all outputs by name and digest; exit 3 when any differs or is only on one side. A and B: a build, a "
        "file as sha256sum writes it, or a folder, whose files are read.",
    )
    made.add_argument("a", metavar="A", help="a build (id, beginning, name), or a path with a / or a file of sums")
    made.add_argument("b", metavar="B", help="the same")
    made.add_argument("--explain", action="store_true", help="of two builds: say where their artifacts differ")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store = open_store(args, settings)
    sides = [_side(text, store) for text in (args.a, args.b)]
    files = any(side.outputs is not None for side in sides)
    if args.explain and files:
        raise Rejected("--explain compares what is in two builds", hint="name two builds")
    a, b = (side.outputs or outputs_of(_record(side), store, files=files) for side in sides)
    found = compare_outputs(a, b)
    if not files:
        found = with_notes(found, notes_on(_record(sides[0]), _record(sides[1])))
    explained = _explained(found, _record(sides[0]), _record(sides[1]), store) if args.explain else []
    if args.json:
        put_json({"version": JSON_VERSION, "equal": found.equal, **msgspec.to_builtins(found), "explained": explained})
    else:
        put([*explained, *lines(found, args.a, args.b)])
    return 0 if found.equal else EXIT_CODES[Outcome.NOT_REPRODUCIBLE]


def _side(text: str, store: Store) -> _Side:
    if os.path.isdir(text) and "/" in text:
        return _Side(text, outputs=read_folder(text))
    if "/" in text or os.path.isfile(text):
        return _Side(text, outputs=read_sums(text))
    records = Records(store)
    try:
        return _Side(text, record=records.read(records.find(text)))
    except Rejected as error:
        if os.path.isdir(text):
            raise Rejected(error.message, details=error.details, hint=f"the folder of this name is ./{text}") from error
        raise


def _record(side: _Side) -> Record:
    assert side.record is not None
    return side.record


def _explained(found: Comparison, a: Record, b: Record, store: Store) -> list[str]:
    """Each artifact that differs, and where."""
    from contractor.build.verify.explain import Explainer
    from contractor.build.verify.verify import difference
    from contractor.cli.stop import Stop
    from contractor.cli.verify_text import of_difference
    from contractor.sandbox.local import choose

    olds, news = ({made.name: made for made in record.artifacts} for record in (a, b))
    explainer = Explainer(store, choose(), Stop().check)
    return [
        line
        for name in found.different
        for line in (*of_difference(difference(name, olds[name], news[name], explainer)), "")
    ]


def lines(found: Comparison, a: str, b: str) -> list[str]:
    """Each name that is not the same on both sides, and the verdict."""
    a, b = sanitize(a), sanitize(b)
    shown = [f"differs: {sanitize(name)}" for name in found.different]
    shown += [f"only in {a}: {sanitize(name)}" for name in found.only_a]
    shown += [f"only in {b}: {sanitize(name)}" for name in found.only_b]
    total = count(len(found.same) + len(shown), found.what[:-1])
    shown += [f"not what the SHA256SUMS beside it says: {sanitize(path)}" for path in found.damaged]
    shown += [f"note: {sanitize(note)}" for note in found.notes]
    if found.equal:
        return [*shown, f"the same: {len(found.same)} of {total}"]
    return [*shown, f"NOT THE SAME: {len(found.same)} of {total} equal"]
