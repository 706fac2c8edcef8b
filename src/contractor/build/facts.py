"""What planning must know of the world, gathered once before it: architecture, epoch, and digests of the sources."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contractor.build.source.folder import Source, read_source
from contractor.build.source.git import Head, head_of, is_commit, is_remote, resolve_commit
from contractor.core import digest
from contractor.core.errors import Rejected, Unavailable
from contractor.plan.model import Checkout, Facts
from contractor.sandbox.local import LocalSandbox
from contractor.spec import model
from contractor.spec.model import BuildSpec, Step
from contractor.spec.references import only_name
from contractor.spec.resolve import epoch_of
from contractor.store.layout import Store

if TYPE_CHECKING:
    from contractor.plan.lock import Lock

_DEBIAN_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
NO_SOURCE_EPOCH = 315532800  # 1980-01-01: the first time that zip and FAT can hold


class Where(NamedTuple):
    """folder: what the specification's paths are below; leave: absolute paths that are no part of a source there.

    lock: knows commits of references. offline: no server may be asked for one; locked: nobody may.
    upstream: a proxy that this machine must use.
    """

    folder: str
    leave: tuple[str, ...] = ()
    lock: Lock | None = None
    offline: bool = False
    locked: bool = False
    upstream: str = ""


def host_arch() -> str:
    """This machine's architecture, by Debian's name for it."""
    machine = os.uname().machine
    return _DEBIAN_ARCHES.get(machine, machine)


def gather(
    spec: BuildSpec,
    steps: Sequence[Step],
    values: tuple[Mapping[str, str], Mapping[str, str]],
    *,
    where: Where,
    store: Store,
    sandbox: LocalSandbox,
) -> Facts:
    """values: parameters and matrix values of this combination."""
    folder = where.folder
    parameters, matrix = values
    arch = matrix.get("arch", host_arch())
    if arch != host_arch():
        raise Unavailable(
            f"this machine builds for {host_arch()}, not for {arch}",
            hint=f"choose with `--only arch={host_arch()}`, or build on a machine with that architecture",
        )
    found = {
        position: read_source(folder, step.action.path, store, (*_own_files(spec, folder), *where.leave))
        for position, step in enumerate(steps)
        if isinstance(step.action, model.Source) and step.action.path
    }
    heads = {position: head for position, source in found.items() if source.git and (head := head_of(source.path))}
    epoch, origin = _epoch(spec, parameters, found, heads)
    sources: dict[int, str] = {}
    for position, step in enumerate(steps):
        if isinstance(step.action, model.Source):
            sources[position] = _identity(step.action, found.get(position), epoch, where, (store, sandbox))
    customs = {
        step.action.name: _custom_digest(folder, step) for step in steps if isinstance(step.action, model.Custom)
    }
    specification = _spec_digest(spec)
    checkouts = {
        str(position): checkout
        for position, head in heads.items()
        if (checkout := _checkout(found[position], head, store, sources[position], specification, *customs.values()))
    }
    return Facts(
        arch=arch,
        epoch=epoch,
        epoch_origin=origin,
        ids=sandbox.owners,
        parameters=dict(parameters),
        matrix=dict(matrix),
        sources=sources,
        customs=customs,
        specification=specification,
        checkouts=checkouts,
    )


def _checkout(source: Source, head: Head, store: Store, source_digest: str, *others: str) -> Checkout | None:
    from contractor.build.source.checkout import checkout_of

    return checkout_of(source, head, store, source_digest, *others)


def _spec_digest(spec: BuildSpec) -> str:
    """Of the specification's file, which was read a moment ago; "" when it is gone."""
    try:
        with open(spec.file, "rb") as file:
            return digest.of_bytes(file.read())
    except (OSError, ValueError):
        return ""


def _own_files(spec: BuildSpec, folder: str) -> tuple[str, ...]:
    """The specification itself is no source: editing step 48 must not change what step 1 reads. Nor is its lock."""
    own = os.path.abspath(os.path.join(folder, os.path.basename(spec.file)))
    return (
        own,
        f"{os.path.splitext(own)[0]}.lock",
        os.path.abspath(f"{folder}/.contractor"),
    )


def _epoch(
    spec: BuildSpec, parameters: Mapping[str, str], sources: Mapping[int, Source], heads: Mapping[int, Head]
) -> tuple[int, str]:
    given = epoch_of(spec, parameters)
    if given is not None:
        return given, f"the parameter {only_name(spec.epoch)}" if isinstance(
            spec.epoch, str
        ) else "the specification's epoch"
    for position, head in heads.items():
        return head.time, f"the git commit of {sources[position].path}"
    if sources:
        return max(NO_SOURCE_EPOCH, *(source.newest for source in sources.values())), "the newest file of the source"
    return NO_SOURCE_EPOCH, "no source: 1980-01-01"


def _identity(
    action: model.Source, found: Source | None, epoch: int, where: Where, local: tuple[Store, LocalSandbox]
) -> str:
    if found is not None:
        return found.digest(epoch)
    if not action.git:
        return action.sha256
    commit = where.lock.commit_of(action.git, action.ref) if where.lock is not None else ""
    if not commit and where.locked and not is_commit(action.ref):
        return ""  # the lock does not cover it: so there will be no build, and the repository need not be asked
    if not commit and where.offline and is_remote(action.git) and not is_commit(action.ref):
        raise Unavailable(
            f"the build runs offline, and which commit {action.ref} of {action.git} is must be asked there",
            hint="`contractor lock` writes it down; or give a whole commit as `ref`",
        )
    return commit or resolve_commit(action, where.folder, *local, where.upstream)


def custom_path(folder: str, name: str) -> Path:
    return Path(folder, ".contractor", "actions", name)


def _custom_digest(folder: str, step: Step) -> str:
    assert isinstance(step.action, model.Custom)
    path = custom_path(folder, step.action.name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Rejected(
            f"{step.place}: the custom action {step.action.name} cannot be read: {error.strerror}",
            hint=f"put its executable at {path}",
        ) from error
    return digest.of_bytes(content)
