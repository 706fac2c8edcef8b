"""contractor buildd: a builder that speaks launchpad-buildd's protocol, and a client for any such builder."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from contractor.cli.commands.keys import Part
from contractor.cli.options import Parser
from contractor.cli.text import sanitize
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from argparse import _SubParsersAction

# What each is done by: modules of contractor.cli, imported when they are needed.
_MODULES = {
    "serve": "serve",
    "status": "look",
    "info": "look",
    "build": "build",
    "fetch": "fetch",
    "abort": "look",
    "clean": "look",
}
_URL = "the builder: HOST, HOST:PORT or http://HOST:PORT (default: localhost, and port 8221)"


def parser() -> Parser:
    made = Parser(
        "buildd",
        "A builder that speaks launchpad-buildd's protocol (serve), and a client for any such builder, ours or the "
        "original.",
    )
    kinds = made.add_subparsers(dest="do", required=True, metavar="|".join(_MODULES), parser_class=Part)
    _add_serve(kinds)
    for name, text in (
        ("status", "what it does now: its state, its build, the end of the log"),
        ("info", "its architecture, and what it can build"),
    ):
        part = _add(kinds, name, text, f"Show {text}.")
        part.add_argument("--json", action="store_true", help="as JSON")
    _add_build(kinds)
    _add_fetch(kinds)
    abort = _add(
        kinds,
        "abort",
        "stop its build",
        "Stop the build that it works on, and wait until it has stopped, which may take two minutes.",
    )
    abort.add_argument("--no-wait", action="store_true", help="only ask")
    _add(
        kinds,
        "clean",
        "make it free again, after a build",
        "Let it forget the build that has ended, with its log and results.",
    )
    return made


def _add(kinds: _SubParsersAction[Part], name: str, text: str, description: str) -> Part:
    part = kinds.add_parser(name, help=text, description=description)
    part.add_argument("url", nargs="?", default="localhost", metavar="URL", help=_URL)
    part.add_argument("--timeout", type=float, default=40.0, metavar="SECONDS", help="for one answer (default 40)")
    return part


def _add_serve(kinds: _SubParsersAction[Part]) -> None:
    serve = kinds.add_parser(
        "serve",
        help="be a builder",
        description="Be a builder for Launchpad's manager, or any client. It has no password: who reaches its port may "
        "build. It listens on this machine alone unless --bindhost or the configuration says otherwise.",
    )
    serve.add_argument("--config", metavar="FILE", help="launchpad-buildd's ini file (default: $BUILDD_CONFIG)")
    serve.add_argument("--bindhost", metavar="ADDRESS", help="listen here (default: 127.0.0.1)")
    serve.add_argument("--bindport", type=int, metavar="PORT", help="listen here (default: 8221)")
    serve.add_argument("--filecache", metavar="DIR", help="the file cache (default: in the store)")
    serve.add_argument("--architecture", metavar="TAG", help="what info() tells (default: this machine's)")
    serve.add_argument("--unit", action="store_true", help="only print a systemd unit that does it")
    serve.add_argument("--store", metavar="DIR", default=argparse.SUPPRESS, help="layers of images are kept there")


def _add_build(kinds: _SubParsersAction[Part]) -> None:
    build = _add(
        kinds,
        "build",
        "build there: files there, follow the log, results here, clean",
        "Give it the image and the files, build, follow the log, fetch and check the results, and make it free "
        "again. Ctrl-C aborts the build on the builder. Exit code: 0 OK; 1 PACKAGEFAIL, DEPFAIL; 6 CHROOTFAIL, "
        "BUILDERFAIL, GIVENBACK; 130 ABORTED.",
    )
    build.add_argument("--type", required=True, metavar="TYPE", help="such as binarypackage, snap, oci (see info)")
    build.add_argument(
        "--image",
        required=True,
        metavar="FILE|SHA1",
        help="the tar of the system to build in, or its name in the cache",
    )
    build.add_argument("--image-url", metavar="URL", help="where the builder gets the image with that sha1")
    build.add_argument(
        "--file", action="append", default=[], metavar="FILE", help="a file of the build; a .dsc brings those it names"
    )
    build.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help=_ARG)
    build.add_argument("--args", metavar="FILE", help="arguments as a JSON object; - for standard input")
    build.add_argument("--id", metavar="ID", help="the build's name there (default: type and time)")
    build.add_argument("-o", "--output", metavar="DIR", help="where log and results go (default: a folder named ID)")
    build.add_argument("--offer", metavar="ADDRESS[:PORT]", help="where this machine offers the files to the builder")
    build.add_argument("--no-clean", action="store_true", help="leave log and results on the builder")
    _add_patience(build)
    build.add_argument("--json", action="store_true", help="how it ended, as JSON on standard output")


def _add_fetch(kinds: _SubParsersAction[Part]) -> None:
    fetch = _add(
        kinds,
        "fetch",
        "log and results of its build",
        "Fetch the log and the results of the build that has ended, each checked by its digest.",
    )
    fetch.add_argument("-o", "--output", metavar="DIR", help="where to (default: a folder with the build's name)")
    fetch.add_argument("--wait", action="store_true", help="of a build that goes on: follow it to its end first")
    fetch.add_argument("--clean", action="store_true", help="make the builder free when all is here")
    _add_patience(fetch)
    fetch.add_argument("--json", action="store_true", help="how it ended, as JSON on standard output")


def _add_patience(part: Part) -> None:
    part.add_argument(
        "--patience", type=float, default=120.0, metavar="SECONDS", help="try so long to reach it again (default 120)"
    )


_ARG = "an argument: text, or JSON when it is an object, a list, true, false or null; NAME+=VALUE adds to a list"


def run(argv: list[str]) -> int:
    if argv and not argv[0].startswith("-") and argv[0] not in _MODULES:
        raise _unknown(argv[0])
    args: argparse.Namespace = parser().parse_args(argv)
    code: int = import_module(f"contractor.cli.buildd.{_MODULES[args.do]}").run(args)
    return code


def _unknown(name: str) -> Rejected:
    import difflib

    near = difflib.get_close_matches(name, _MODULES, 1)
    hint = f"did you mean `contractor buildd {near[0]}`?" if near else "`contractor buildd --help` lists what there is"
    return Rejected(f"there is no `contractor buildd {sanitize(name)}`", hint=hint)
