"""contractor lock: write down which bytes a specification's packages, references and bases are."""

from __future__ import annotations

import argparse
import os
import sys
import time

from contractor.build.lock.locking import Update, Wanted, lost, make_lock, up_to_date
from contractor.build.options import Options
from contractor.build.prepare import Request, plan_all, read_lock
from contractor.build.source.git_archive import archive_of
from contractor.build.source.obtain import inputs, is_here, obtain
from contractor.cli import config
from contractor.cli.console.console import Console, make_console
from contractor.cli.lock_text import changes, summary
from contractor.cli.options import Parser, add_request, open_store, request_of
from contractor.cli.output import put, talk, terminal_width
from contractor.cli.proving import witness_of
from contractor.cli.stop import Stop
from contractor.cli.text import sanitize
from contractor.core.errors import Broken, NotReproducible, Rejected, Unavailable
from contractor.core.words import count
from contractor.plan.lock import Lock, encode
from contractor.plan.model import Plan
from contractor.sandbox.local import LocalSandbox, choose
from contractor.store.layout import Store
from contractor.store.lock_roots import remember


def parser() -> Parser:
    made = Parser(
        "lock",
        "Write contractor.lock: every package of debootstrap and apt with its digest, every git reference's commit, "
        "and the bases. What is locked stays as it is; what is new is locked as it was built, or asked for. All that "
        "the lock names is in the store afterwards: `contractor build --locked --offline` builds from it.",
    )
    add_request(made, locks=False)
    made.add_argument(
        "--update",
        nargs="*",
        metavar="PACKAGE",
        help="ask the mirrors and repositories again; with packages, these alone move (write SPEC before it)",
    )
    made.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="NAME",
        help="with --update: this base alone moves, or these packages of it",
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="write nothing: fail when the lock does not cover the specification (2), or with --update: would move (3)",
    )
    made.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    update = _update_of(args)
    settings = config.load()
    store, sandbox, stop = open_store(args, settings), choose(one_id=args.one_id), Stop()
    request = request_of(args, settings)
    old = read_lock(request)
    plans = plan_all(request._replace(known=None if update.everything else old), store, sandbox)
    wanted = Wanted(plans, old, update, part=bool(request.only))
    if args.check and args.update is None:
        return _check(wanted, request)
    console = _console(args, settings)

    def tick() -> None:
        stop.check()
        console.tick(time.time())

    options = Options(
        folder=request.folder,
        upstream_proxy=settings.proxy,
        offline=args.offline,
        tick=tick,
        witness=witness_of(store, settings),
    )
    try:
        lock = make_lock(wanted, store, sandbox, options, emit=console, say=lambda text: talk(sanitize(text)))
    finally:
        console.close()
    moved = changes(old, lock) if old is not None else []
    if args.check:
        return _would_move(request, moved)
    _obtain(plans, store, sandbox, options)
    _write(request.lock_path, encode(lock))
    remember(store, os.path.abspath(request.lock_path), _named(lock, store))
    _settle(store, sandbox)
    put([*(moved or _unmoved(old, lock)), summary(sanitize(request.lock_path), lock)])
    if away := set().union(*(lost(step, store) for step in lock.steps)):
        talk(
            f"note: {count(len(away), 'file')} of it are not in this store, so it cannot be built offline here: import "
            "a capsule from where it was made, or take today's index with `contractor lock --update`"
        )
    return 0


def _unmoved(old: Lock | None, new: Lock) -> list[str]:
    if old is None:
        return []
    return ["nothing changed" if old == new else "no package moved; the index files are those of today"]


def _update_of(args: argparse.Namespace) -> Update:
    """Rejected: options that do not go together, and what cannot be a package."""
    if args.base and args.update is None:
        raise Rejected("--base goes with --update", hint=f"contractor lock --update --base {args.base[0]}")
    names = frozenset(args.update or ())
    for name in sorted(names):
        if "/" in name or name.endswith((".yaml", ".yml")):
            raise Rejected(
                f"--update {name}: that is no package",
                hint=f"the specification goes first: `contractor lock {name} --update`",
            )
    everything = args.update is not None and not names and not args.base
    return Update(everything=everything, packages=names, bases=frozenset(args.base))


def _check(wanted: Wanted, request: Request) -> int:
    if wanted.old is None:
        raise Rejected(f"there is no lock {request.lock_path}", hint="`contractor lock` writes it")
    if texts := up_to_date(wanted):
        raise Rejected(
            f"{request.lock_path} does not fit {request.spec}",
            details=texts,
            hint="`contractor lock` brings it up to date; look at what changed before you commit it",
        )
    put([f"{sanitize(request.lock_path)} covers all that {sanitize(request.spec)} asks for"])
    return 0


def _would_move(request: Request, moved: list[str]) -> int:
    put(moved or [f"{sanitize(request.lock_path)} has what there is now"])
    if moved:
        raise NotReproducible(
            f"{request.lock_path} would move",
            hint="`contractor lock --update` writes it; `--update PACKAGE` moves that one alone",
        )
    return 0


def _console(args: argparse.Namespace, settings: config.Settings) -> Console:
    return make_console(
        sys.stderr,
        mode="plain" if args.plain or not settings.live else "live",
        colour=settings.colour,
        ci=settings.ci,
        width=terminal_width,
        verbose=False,
    )


def _obtain(plans: list[Plan], store: Store, sandbox: LocalSandbox, options: Options) -> None:
    """The downloads and commits that are not in the store yet."""
    lacking = [item for plan in plans for item in inputs(plan) if not is_here(item, store)]
    if lacking and options.offline:
        raise Unavailable(
            "no lock was written: what it names is not all in the store, and nobody may be asked",
            details=tuple(dict.fromkeys(item.what for item in lacking)),
            hint="run it without --offline",
        )
    for item in lacking:
        if not is_here(item, store):  # several builds of a matrix may take the same
            talk(f"fetching {sanitize(item.what)}")
            obtain(item, options.folder, store, sandbox, options)


def _named(lock: Lock, store: Store) -> set[str]:
    """The digests of all that is in the store for the lock."""
    found = {answer.sha256 for step in lock.steps for answer in step.answers}
    found |= {file.sha256 for file in lock.files}
    return found | {archive for source in lock.sources if (archive := archive_of(store, source.commit))}


def _write(path: str, data: bytes) -> None:
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(data)
        os.rename(f"{path}.new", path)
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", hint="the lock lives beside the specification"
        ) from error


def _settle(store: Store, sandbox: LocalSandbox) -> None:
    from contractor.build.settle import settle_in_background

    sys.stdout.flush()
    settle_in_background(store, sandbox.ids)
