"""contractor compare: are the outputs of two builds the same, or of a build and a published file of sums?"""

from __future__ import annotations

import os

import msgspec

from contractor.build.sums import Comparison, Outputs, compare_outputs, outputs_of, read_sums
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome
from contractor.core.words import count
from contractor.store.layout import Store
from contractor.store.records import Records

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser(
        "compare",
        "Compare all outputs by name and digest; exit 3 when any differs or is only on one side. A and B: a build, a "
        "file as sha256sum writes it, or a folder with SHA256SUMS.",
    )
    made.add_argument("a", metavar="A", help="a build (id, beginning, name), or a path with a / or a file of sums")
    made.add_argument("b", metavar="B", help="the same")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    store = open_store(args, config.load())
    paths = [_is_path(text) for text in (args.a, args.b)]
    read = [read_sums(text) if path else None for text, path in zip((args.a, args.b), paths, strict=True)]
    files = any(outputs is not None and not outputs.archives for outputs in read)
    a, b = (
        outputs if outputs is not None else _of_build(text, store, files=files)
        for outputs, text in zip(read, (args.a, args.b), strict=True)
    )
    found = compare_outputs(a, b)
    if args.json:
        put_json({"version": JSON_VERSION, "equal": found.equal, **msgspec.to_builtins(found)})
    else:
        put(lines(found, args.a, args.b))
    return 0 if found.equal else EXIT_CODES[Outcome.NOT_REPRODUCIBLE]


def _is_path(text: str) -> bool:
    return "/" in text or os.path.isfile(text)


def _of_build(text: str, store: Store, *, files: bool) -> Outputs:
    records = Records(store)
    return outputs_of(records.read(records.find(text)), store, files=files)


def lines(found: Comparison, a: str, b: str) -> list[str]:
    """Each name that is not the same on both sides, and the verdict."""
    a, b = sanitize(a), sanitize(b)
    shown = [f"differs: {sanitize(name)}" for name in found.different]
    shown += [f"only in {a}: {sanitize(name)}" for name in found.only_a]
    shown += [f"only in {b}: {sanitize(name)}" for name in found.only_b]
    total = count(len(found.same) + len(shown), found.what[:-1])
    if found.equal:
        return [f"the same: {len(found.same)} of {total}"]
    return [*shown, f"NOT THE SAME: {len(found.same)} of {total} equal"]
