"""From a specification's file to the plans of its combinations, with the bases that they need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from contractor.build.facts import Where, gather
from contractor.core.errors import Rejected
from contractor.plan.model import Plan
from contractor.plan.planner import make_plan
from contractor.sandbox.local import LocalSandbox
from contractor.spec.load import load_spec
from contractor.spec.matrix import Combination, expand
from contractor.spec.model import BuildSpec, Step
from contractor.spec.resolve import resolve_steps
from contractor.store.layout import Store

if TYPE_CHECKING:
    from contractor.plan.lock import Lock

SHIPPED_BASES = Path(__file__).parent.parent / "data" / "bases"
_LARGEST_SPEC = 16 << 20  # bytes: more is not even read
_LARGEST_LOCK = 256 << 20


class Request(NamedTuple):
    """What is asked for: a specification, values for its parameters, some of its matrix; where bases are looked up.

    leave: absolute paths that are no part of a source, such as where the artifacts go. lock: whether to use the lock
    beside the specification; "require": one that covers everything. known: that lock, once it has been read. offline:
    nothing may be asked of a server for planning. upstream: a proxy that this machine must use.
    """

    spec: str
    parameters: Mapping[str, str] = {}
    only: Mapping[str, str] = {}
    base_folders: tuple[Path, ...] = ()
    leave: tuple[str, ...] = ()
    known: Lock | None = None
    lock: Literal["use", "require", "ignore"] = "use"
    offline: bool = False
    upstream: str = ""

    @property
    def lock_path(self) -> str:
        """Beside the specification: contractor.yaml has contractor.lock."""
        return f"{os.path.splitext(self.spec)[0]}.lock"

    @property
    def folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.spec))

    def bases(self) -> tuple[Path, ...]:
        """Where bases are, the first found wins: beside the specification, the user's own, Contractor's."""
        return (Path(self.folder, ".contractor", "bases"), *self.base_folders, SHIPPED_BASES)


def read_spec(path: str) -> BuildSpec:
    """The specification in a file; Rejected when it cannot be read, SpecError with every problem in it."""
    folder = os.path.dirname(path)
    shown = os.fsencode(path).decode("utf-8", "replace")  # records and messages are UTF-8, a path need not be
    return load_spec(_read(path), shown, lambda name: _read(os.path.normpath(f"{folder or '.'}/{name}")))


def read_files(path: str) -> list[str]:
    """The files that a specification is made of, its own first; as paths below its folder."""
    folder = os.path.dirname(path)
    found = [os.path.basename(path)]

    def read(name: str) -> bytes:
        found.append(os.path.normpath(name))
        return _read(os.path.normpath(f"{folder or '.'}/{name}"))

    load_spec(_read(path), path, read)
    return list(dict.fromkeys(found))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_SPEC)
    except FileNotFoundError as error:
        raise Rejected(
            f"there is no specification {path}",
            hint="`contractor init` writes a first specification for the project here",
        ) from error
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error


def make_plans(request: Request, store: Store, sandbox: LocalSandbox) -> list[Plan]:
    """One plan for each combination of the matrix that was asked for, under the specification's lock if it has one.

    Rejected when a lock is required that covers everything, and something is not covered.
    """
    lock = read_lock(request)
    plans = plan_all(request._replace(known=lock), store, sandbox)
    if lock is None:
        return plans
    from contractor.plan.locked import locked_plan  # only with a lock

    plans = [locked_plan(plan, lock, request.lock_path) for plan in plans]
    missing = tuple(dict.fromkeys(text for plan in plans for text in plan.unlocked))
    if missing and request.lock == "require":
        raise Rejected(
            f"{request.lock_path} does not cover what {request.spec} asks for",
            details=missing,
            hint="`contractor lock` brings it up to date; look at what changed before you commit it",
        )
    return plans


def plan_all(request: Request, store: Store, sandbox: LocalSandbox) -> list[Plan]:
    """The same without the lock, but for the commits of git references that it knows (`request.known`)."""
    spec = read_spec(request.spec)
    return [
        _plan(spec, combination, request, store, sandbox)
        for combination in expand(spec, request.parameters, request.only)
    ]


def read_lock(request: Request) -> Lock | None:
    """The lock of a specification; Rejected when one is required and there is none."""
    if request.lock == "ignore":
        return None
    try:
        with open(request.lock_path, "rb") as file:
            data = file.read(_LARGEST_LOCK)
    except FileNotFoundError as error:
        if request.lock == "require":
            raise Rejected(f"there is no lock {request.lock_path}", hint="`contractor lock` writes it") from error
        return None
    except OSError as error:
        raise Rejected(f"{request.lock_path} cannot be read: {error.strerror}") from error
    from contractor.plan.lock import decode

    return decode(data, request.lock_path)


def _plan(
    spec: BuildSpec, combination: Combination, request: Request, store: Store, sandbox: LocalSandbox, depth: int = 0
) -> Plan:
    resolved = resolve_steps(spec, combination.values)
    steps = resolved.steps
    values = (combination.parameters, combination.matrix)
    where = Where(
        folder=request.folder,
        leave=request.leave,
        lock=request.known,
        offline=request.offline,
        locked=request.lock == "require",
        upstream=request.upstream,
    )
    facts = gather(spec, steps, values, where=where, store=store, sandbox=sandbox)

    def base_plan(name: str, step: Step) -> Plan:
        if depth > 8:
            raise Rejected(f"{step.place}: the base {name} needs itself", hint="a base must end in debootstrap")
        path = find_base(name, request.bases(), str(step.place))
        base = read_spec(str(path))
        if not all(parameter.default is not None for parameter in base.parameters):
            raise Rejected(f"{path}: a base's parameters need defaults", hint="nobody can give them a value")
        first = expand(base, {}, {"arch": facts.arch} if "arch" in base.matrix else {})[0]
        inner = request._replace(spec=str(path))
        return _plan(base, first, inner, store, sandbox, depth + 1)

    return make_plan(spec, resolved, facts, base_plan=base_plan)


def find_base(name: str, folders: tuple[Path, ...], place: str = "") -> Path:
    """The specification of a base; Rejected with what there is when there is none."""
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.yaml")})
    from difflib import get_close_matches  # only for the message

    where = f"{place}: " if place else ""
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "`contractor bases` lists them"
    raise Rejected(f"{where}there is no base {name}", details=(f"bases: {', '.join(known)}",), hint=hint)
