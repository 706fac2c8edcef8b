"""Options that several commands have, and what they give."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from contractor.build.prepare import Request
from contractor.cli import config
from contractor.core.errors import Rejected
from contractor.store.layout import Store


class _Formatter(argparse.HelpFormatter):
    """Of a fixed width: asking for the terminal's imports shutil, which costs every command 3 ms."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


class Parser(argparse.ArgumentParser):
    """argparse, whose errors are ours and whose exit code is the table's for a bad request."""

    def __init__(self, command: str, text: str) -> None:
        super().__init__(prog=f"contractor {command}", description=text, allow_abbrev=False, formatter_class=_Formatter)
        self.add_argument("--store", metavar="DIR", help="the store (default: $CONTRACTOR_STORE, or XDG's data folder)")

    def error(self, message: str) -> None:  # type: ignore[override]
        raise Rejected(message, hint=f"{self.prog} --help")


def open_store(args: argparse.Namespace, settings: config.Settings) -> Store:
    return Store(args.store or settings.store)


def add_request(parser: Parser, *, steps: bool = False, locks: bool = True) -> None:
    """steps: `--only` may name a step as well as a part of the matrix (wish_of in steering.py takes it). locks: the
    command uses a lock, and does not write it."""
    parser.add_argument("spec", nargs="?", default="contractor.yaml", help="the specification, or its folder")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    what, text = ("KEY=VALUE|STEP", ", or this step, anew") if steps else ("KEY=VALUE", "")
    parser.add_argument("--only", action="append", default=[], metavar=what, help=f"this part of the matrix{text}")
    parser.set_defaults(steps=steps)
    if locks:
        parser.add_argument("--locked", action="store_true", help="refuse what contractor.lock does not cover")
        parser.add_argument("--unlocked", action="store_true", help="do not look at contractor.lock")
    else:
        parser.set_defaults(locked=False, unlocked=False)
    parser.add_argument("--offline", action="store_true", help="ask no server: use what the store has, or fail")
    parser.add_argument("--one-id", action="store_true", help="isolate with one id only: degraded, for comparison")


def request_of(args: argparse.Namespace, settings: config.Settings) -> Request:
    spec = f"{args.spec.rstrip('/')}/contractor.yaml" if os.path.isdir(args.spec) else args.spec
    return Request(
        spec=os.path.normpath(spec),
        parameters=pairs(args.parameter, "-p"),
        only=pairs([item for item in args.only if "=" in item or not args.steps], "--only"),
        base_folders=(Path(settings.bases),),
        lock="require" if args.locked else "ignore" if args.unlocked else "use",
        offline=args.offline,
        upstream=settings.proxy,
    )


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE items as a dict; Rejected when one is not, or a name comes twice."""
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise Rejected(f"{option} {item}: expected NAME=VALUE", hint=f"for example {option} VERSION=1.2")
        if name in found:
            raise Rejected(f"{option} gives {name} twice", hint="give it once")
        found[name] = value
    return found
