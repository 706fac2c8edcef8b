"""contractor init: a good first contractor.yaml for the project here."""

from __future__ import annotations

import os
import shlex

from contractor.cli.options import Parser
from contractor.cli.output import put
from contractor.cli.text import table
from contractor.core.errors import Rejected
from contractor.spec.starter import starter

NAME = "contractor.yaml"


def parser() -> Parser:
    made = Parser("init", "Write a first contractor.yaml, by what the project here looks like.")
    made.add_argument("folder", nargs="?", default=".", help="the project's folder (default: here)")
    made.add_argument("--name", help="the build's name (default: the folder's)")
    made.add_argument("--force", action="store_true", help="replace a contractor.yaml that is there")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    folder = os.path.abspath(args.folder)
    path = f"{args.folder.rstrip('/') or '/'}/{NAME}"
    if os.path.lexists(path) and not args.force:
        raise Rejected(f"{path} is there already", hint="`contractor build` builds it; --force replaces it")
    text = starter(project_files(folder), args.name or os.path.basename(folder) or "build")
    _write(path, text)
    where = "" if os.path.normpath(args.folder) == "." else f" {shlex.quote(args.folder)}"
    rows = [
        ("look at it, and change what is wrong", f"$EDITOR {shlex.quote(path)}"),
        ("see what would run, and where", f"contractor plan{where}"),
        ("build", f"contractor build{where} -o out"),
    ]
    put([f"wrote {path}", "next:", *("  " + line for line in table(rows))])
    return 0


def project_files(folder: str) -> list[str]:
    """The names in a project's folder, and those one level below, relative: what tells its kind."""
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda item: item.name):
                found.append(entry.name)
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    found += [f"{entry.name}/{name}" for name in _names(entry.path)]
    except OSError as error:
        raise Rejected(f"{folder} cannot be read: {error.strerror}", hint="name the project's folder") from error
    return found


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:1000]
    except OSError:
        return []


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.urandom(4).hex()}"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
    except OSError as error:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise Rejected(f"{path} cannot be written: {error.strerror}", hint="run it where you may write") from error
