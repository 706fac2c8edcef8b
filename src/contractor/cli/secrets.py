"""--secret NAME=FILE or NAME=fd:N: values that must be in no argument, log or record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from contractor.build.prepare import Request, read_spec
from contractor.build.secrets.secrets import SHORTEST_SECRET, Secrets
from contractor.cli.options import Parser, pairs
from contractor.core.errors import Rejected
from contractor.plan.model import Plan, encode
from contractor.spec.model import BuildSpec, Source
from contractor.store.layout import Store

_LARGEST_SECRET = 1 << 16  # bytes


def add_secret(parser: Parser) -> None:
    """The option."""
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a secret: the content of a file, or with NAME=fd:N what descriptor N gives until its end",
    )


def read_secrets(given: Sequence[str]) -> dict[str, bytes]:
    """The secrets by name. Rejected: unreadable, too large, or too short to be hidden."""
    found: dict[str, bytes] = {}
    numbers: dict[str, str] = {}
    for name, where in pairs(given, "--secret").items():
        if where.startswith("fd:"):
            if where in numbers:
                raise Rejected(f"--secret {name}: {where} is read for {numbers[where]} already", hint="one for each")
            numbers[where] = name
        value = _read(name, where)
        if len(value) > _LARGEST_SECRET:
            raise Rejected(
                f"--secret {name}: {where} has more than {_LARGEST_SECRET >> 10} KiB",
                hint="a secret is a key or a password",
            )
        if len(value.strip()) < SHORTEST_SECRET:
            raise Rejected(
                f"--secret {name}: {where} has fewer than {SHORTEST_SECRET} bytes, too few to be hidden in a log",
                hint="a value that short is no secret: give it as a parameter",
            )
        found[name] = value
    return found


def _read(name: str, where: str) -> bytes:
    try:
        # A descriptor is closed afterwards: no process that is started later has it.
        with open(_number(name, where) if where.startswith("fd:") else where, "rb") as file:
            return file.read(_LARGEST_SECRET + 1)
    except OSError as error:
        raise Rejected(
            f"--secret {name}: {where} cannot be read: {error.strerror}",
            hint="`3< FILE` opens it as descriptor 3 for the command" if where.startswith("fd:") else "",
        ) from error


def _number(name: str, where: str) -> int:
    text = where.removeprefix("fd:")
    if not (text.isascii() and text.isdigit() and len(text) < 7) or text in ("1", "2"):
        raise Rejected(
            f"--secret {name}: {where} names no descriptor to read from",
            hint=f"--secret {name}=fd:3 3< FILE; a file of that name is ./{where}",
        )
    return int(text)


def require_outside(given: Iterable[str], request: Request, store: Store) -> None:
    """Rejected when a secret's file is part of a source, whose content is stored; to be asked before it is read."""
    named = (item.partition("=")[::2] for item in given)
    files = {name: os.path.realpath(where) for name, where in named if not where.startswith("fd:")}
    if not any(_below(file, os.path.realpath(request.folder)) for file in files.values()):
        return
    from contractor.build.source.folder import list_files

    for path in _sources(read_spec(request.spec)):
        folder = os.path.realpath(os.path.join(request.folder, path))
        inside = {name: os.fsencode(file) for name, file in files.items() if _below(file, folder)}
        names = list_files(folder, store, request.leave)[0] if inside else []
        part = {os.path.join(os.fsencode(folder), name) for name in names}
        for name, file in inside.items():
            if file in part:
                raise Rejected(
                    f"--secret {name}: {os.fsdecode(file)} is part of the source {path}, which is stored as it is",
                    hint="move it out of the project, or have git ignore it",
                )


def require_unplanned(values: Mapping[str, bytes], plans: Iterable[Plan]) -> None:
    """Rejected when a plan, which is written down, has a secret's value in it: as a parameter, or in a script."""
    if not values:
        return
    for plan in plans:
        if found := Secrets(values).finder.find([encode(plan)]):
            raise Rejected(
                f"the value of the secret {found.name} is in the plan of {plan.name}, which is stored",
                hint="give it with --secret alone, not in the specification or as a parameter",
            )


def _sources(spec: BuildSpec) -> list[str]:
    steps = [*spec.steps, *(step for pipeline in spec.pipelines.values() for step in pipeline.steps)]
    return [step.action.path for step in steps if isinstance(step.action, Source) and step.action.path]


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")
