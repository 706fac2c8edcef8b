"""What a value on the command line can be: builds, steps, parameters, specifications, from the store and the spec.

Nothing here writes, waits, or makes a store. Anything may fail: `complete.py` then has no answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contractor.spec.model import BuildSpec, Step
    from contractor.store.records import Record

BUILDS = 50  # the newest, that are offered
_LARGEST = 1 << 20  # bytes of a specification: a larger one takes too long
_HEAD = 512  # bytes of a record that hold its outcome


class Candidate(NamedTuple):
    """A value, what is said of it where the shell shows that, and whether more of the word must follow."""

    value: str
    help: str = ""
    more: bool = False


class Given(NamedTuple):
    """What the line says already. store: its folder. build, spec: as typed, "" for the default. now: the word so far.

    of_spec: a step is one of the specification, not of a build.
    """

    store: str
    build: str
    spec: str
    now: str
    of_spec: bool


def values(kind: str, given: Given) -> Iterator[Candidate]:
    """The values of a kind; nothing of a kind that only the shell knows (files, folders)."""
    found = _KINDS.get(kind)
    return found(given) if found else iter(())


def _builds(given: Given) -> Iterator[Candidate]:
    try:
        ids = sorted(os.listdir(f"{given.store}/builds"), reverse=True)
    except FileNotFoundError:
        return
    if ids:
        yield Candidate("last", "the newest")
    newest: dict[str, str] = {}
    for build in ids:
        newest.setdefault(build[16:-5], build)
    for name, build in newest.items():
        yield Candidate(name, f"the newest: {build}")
    for build in ids[:BUILDS]:
        outcome = _outcome(f"{given.store}/builds/{build}/record.json")
        yield Candidate(build, "died" if outcome == "running" and not _lives(given.store, build) else outcome)


def _outcome(path: str) -> str:
    """From the beginning of a record: it may be large."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        head = os.read(fd, _HEAD)
    finally:
        os.close(fd)
    return head.partition(b'"outcome": "')[2].partition(b'"')[0].decode("utf-8", "replace")


def _lives(store: str, build: str) -> bool:
    from contractor.store.live import held

    return held(f"{store}/work/{build}/lock")


def _steps(given: Given) -> Iterator[Candidate]:
    """Names; numbers where one is begun: alone they say nothing."""
    steps = [(step.name, step.action) for step in _record(given).steps] if not given.of_spec else _spec_steps(given)
    if given.now[:1].isdigit():
        for number, (name, _action) in enumerate(steps, 1):
            yield Candidate(str(number), name)
    for number, (name, action) in enumerate(steps, 1):
        yield Candidate(name, f"{number}, {action}")


def _artifacts(given: Given) -> Iterator[Candidate]:
    for artifact in _record(given).artifacts:
        yield Candidate(artifact.name, artifact.format)


def _record(given: Given) -> Record:
    from contractor.store.layout import Store
    from contractor.store.records import Records

    if not os.path.isfile(f"{given.store}/VERSION"):
        raise FileNotFoundError(given.store)  # opening it would make it
    records = Records(Store(given.store))
    return records.read(records.find(given.build))


def _spec(given: Given) -> BuildSpec:
    from contractor.spec.load import load_spec

    path = os.path.expanduser(given.spec or "contractor.yaml")
    if os.path.isdir(path):
        path = f"{path}/contractor.yaml"
    folder = os.path.dirname(path) or "."

    def read(name: str) -> bytes:
        if not os.path.isfile(f"{folder}/{name}"):
            raise FileNotFoundError(name)  # a pipe would be waited for
        with open(f"{folder}/{name}", "rb") as file:
            return file.read(_LARGEST)

    return load_spec(read(os.path.basename(path)), path, read)


def _spec_steps(given: Given) -> list[tuple[str, str]]:
    """The steps of the first combination of the matrix, with the parameters' defaults."""
    from contractor.spec.matrix import matrix_of
    from contractor.spec.resolve import resolve_steps

    spec = _spec(given)
    values = _defaults(spec)
    values |= {name: choices[0] for name, choices in matrix_of(spec, values).items() if choices}
    return [(step.name, str(step.action.__struct_config__.tag)) for step in resolve_steps(spec, values).steps]


def _parameters(given: Given) -> Iterator[Candidate]:
    for parameter in _spec(given).parameters:
        choices = ("true", "false") if parameter.type == "boolean" else parameter.choices
        yield from _assignments(given, parameter.name, choices, parameter.help)


def _matrix(given: Given) -> Iterator[Candidate]:
    from contractor.spec.matrix import matrix_of

    spec = _spec(given)
    for name, choices in matrix_of(spec, _defaults(spec)).items():
        yield from _assignments(given, name, choices, ", ".join(choices))


def _defaults(spec: BuildSpec) -> dict[str, str]:
    """A value of each parameter, for want of a better one."""
    return {it.name: it.default if it.default is not None else "1" for it in spec.parameters}


def _secrets(given: Given) -> Iterator[Candidate]:
    """NAME= of each secret that a step asks for; what follows is a file."""
    names = {name for step in _all_steps(_spec(given)) for name in step.secrets}
    for name in sorted(names):
        yield Candidate(f"{name}=", "a file", more=True)


def _all_steps(spec: BuildSpec) -> Iterator[Step]:
    yield from spec.steps
    for pipeline in spec.pipelines.values():
        yield from pipeline.steps


def _assignments(given: Given, name: str, choices: tuple[str, ...], text: str) -> Iterator[Candidate]:
    """NAME= first; its values when it is typed."""
    if given.now.startswith(f"{name}="):
        for choice in choices:
            yield Candidate(f"{name}={choice}")
    else:
        yield Candidate(f"{name}=", text, more=True)


def _specs(given: Given) -> Iterator[Candidate]:
    """Folders, and files that may be a specification."""
    head, slash, begun = given.now.rpartition("/")
    folder = os.path.expanduser(head + slash) or "."
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") and not begun.startswith("."):
                continue
            if entry.is_dir():
                yield Candidate(f"{head}{slash}{entry.name}/", more=True)
            elif entry.name.endswith((".yaml", ".yml")):
                yield Candidate(f"{head}{slash}{entry.name}")


def _actions(_given: Given) -> Iterator[Candidate]:
    from contractor.spec.actions import ACTIONS

    for row in ACTIONS.values():
        yield Candidate(row.name, row.help)


_KINDS: dict[str, Callable[[Given], Iterator[Candidate]]] = {
    "build": _builds,
    "step": _steps,
    "artifact": _artifacts,
    "parameter": _parameters,
    "matrix": _matrix,
    "secret": _secrets,
    "spec": _specs,
    "action": _actions,
}
