"""contractor bases: the system trees that a specification can start from, and which are built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contractor.build.facts import host_arch
from contractor.build.prepare import Request, make_plans, read_spec
from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, put_json
from contractor.cli.text import sanitize, table
from contractor.core.errors import ContractorError, Unavailable
from contractor.plan.planner import base_artifact
from contractor.sandbox.local import LocalSandbox, choose
from contractor.store.layout import Store
from contractor.store.results import Results

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser("bases", "List the bases that `create-systree: {base: NAME}` can name.")
    made.add_argument("folder", nargs="?", default=".", help="where the specification is (default: here)")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store = open_store(args, settings)
    request = Request(spec=f"{args.folder}/contractor.yaml", base_folders=(Path(settings.bases),))
    try:
        sandbox = choose()
    except Unavailable:
        sandbox = None  # the list is as true; only what is built cannot be said
    found = [_base(path, request, store, sandbox) for path in _paths(request)]
    if args.json:
        put_json({"version": JSON_VERSION, "bases": found})
        return 0
    rows = [(base["name"], base["state"], base["summary"], base["path"]) for base in found]
    put(table([("base", "state", "summary", "specification"), *([sanitize(cell) for cell in row] for row in rows)]))
    return 0


def _paths(request: Request) -> Iterator[Path]:
    """Each base once: the first folder that has it wins."""
    seen: set[str] = set()
    for folder in request.bases():
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
            if path.stem not in seen:
                seen.add(path.stem)
                yield path


def _base(path: Path, request: Request, store: Store, sandbox: LocalSandbox | None) -> dict[str, str]:
    summary = ""
    try:
        spec = read_spec(str(path))
        summary, state = spec.summary, "unknown"
        if sandbox is not None:
            only = {"arch": host_arch()} if "arch" in spec.matrix else {}
            plan = make_plans(request._replace(spec=str(path), only=only), store, sandbox)[0]
            built = Results(store, sandbox.ids).find(base_artifact(plan).key) is not None
            state = "built" if built else "not built"
    except ContractorError as error:
        summary, state = error.message, "wrong"
    return {"name": path.stem, "state": state, "summary": summary, "path": str(path)}
