"""contractor lock: write down which bytes a specification's packages, references and bases are."""

from __future__ import annotations

import os
import sys
import time

from contractor.build.context import Options
from contractor.build.locking import make_lock
from contractor.build.prepare import make_plans, read_lock
from contractor.cli import config
from contractor.cli.console import make_console
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.output import put
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import Broken
from contractor.core.words import count
from contractor.plan.lock import Lock, encode
from contractor.sandbox.local import choose


def parser() -> Parser:
    made = Parser(
        "lock",
        "Write contractor.lock: every package of debootstrap and apt with its digest, every git reference's commit, "
        "and the bases. What has been built already is locked as it was built.",
    )
    add_request(made)
    made.add_argument("--update", action="store_true", help="ask the mirrors and repositories again")
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    settings = config.load()
    store, sandbox, stop = open_store(args, settings), choose(one_id=args.one_id), Stop()
    request = request_of(args, settings)
    old = read_lock(request._replace(lock="use"))
    plans = make_plans(request._replace(lock="ignore"), store, sandbox)
    console = make_console(
        sys.stderr,
        mode="plain" if args.plain or not settings.live else "live",
        colour=settings.colour,
        ci=settings.ci,
        width=_width,
        verbose=False,
    )

    def tick() -> None:
        stop.check()
        console.tick(time.time())

    options = Options(folder=request.folder, upstream_proxy=settings.proxy, tick=tick)
    try:
        lock = make_lock(plans, store, sandbox, options, emit=console, anew=args.update)
    finally:
        console.close()
    _write(request.lock_path, encode(lock))
    put([*changes(old, lock), _summary(request.lock_path, lock)])
    return 0


def _write(path: str, data: bytes) -> None:
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(data)
        os.rename(f"{path}.new", path)
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", hint="the lock lives beside the specification"
        ) from error


def _summary(path: str, lock: Lock) -> str:
    packages = sum(len(step.packages) for step in lock.steps)
    files = {answer.sha256: answer.size for step in lock.steps for answer in step.answers}
    references = f", {count(len(lock.sources), 'git reference')}" if lock.sources else ""
    size = f"{sum(files.values()) >> 20} MiB in {count(len(files), 'file')}"
    return f"{path}: {count(packages, 'package')}{references}; {size}, kept in the store"


def changes(old: Lock | None, new: Lock) -> list[str]:
    """What is other than in the lock before, a line each."""
    if old is None:
        return []
    before, after = _versions(old), _versions(new)
    lines = []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was != now:
            lines.append(sanitize(f"{name}: {was or 'not there'} -> {now or 'gone'}"))
    return lines or ["nothing changed"]


def _versions(lock: Lock) -> dict[str, str]:
    found = {f"{p.name}:{p.architecture} ({s.name})": p.version for s in lock.steps for p in s.packages}
    return {**found, **{f"{source.url} {source.ref}": source.commit for source in lock.sources}}


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80
