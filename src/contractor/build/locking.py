"""Write a lock: run what has to be run to know which packages a specification gets, and say what they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from contractor.build.context import Emit, Options
from contractor.build.executor import execute
from contractor.build.steer import Steering
from contractor.build.tools import tool_versions
from contractor.core.errors import ERRORS_BY_OUTCOME, Broken, Outcome, Rejected
from contractor.core.fetch import Fetch
from contractor.plan.lock import LOCKED_KINDS, Answered, Lock, LockedSource, LockedStep, Package
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.sandbox.local import LocalSandbox
from contractor.spec.model import Source, base_of
from contractor.store.layout import Store
from contractor.store.results import Results

_DEB = re.compile(r"/(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[^_/]+)_(?P<arch>[a-z0-9-]+)\.deb\Z")


def make_lock(
    plans: list[Plan], store: Store, sandbox: LocalSandbox, options: Options, *, emit: Emit, anew: bool = False
) -> Lock:
    """The lock of a specification's plans. anew: ask the mirrors again, whatever has been built before."""
    found: dict[str, LockedStep] = {}
    sources: dict[tuple[str, str], LockedSource] = {}
    bases: dict[str, str] = {}
    for plan in plans:
        _make_sure(plan, store, sandbox, options, emit=emit, anew=anew)
        for step in _locked_steps(plan, Results(store, sandbox.ids)):
            found.setdefault(step.ask, step)
        for action in plan.actions:
            if isinstance(action.step.action, Source) and action.step.action.git:
                source = action.step.action
                commit = str(action.inputs["source"])
                sources[source.git, source.ref] = LockedSource(source.git, source.ref, commit)
        for name, base in plan.bases.items():
            result = Results(store, sandbox.ids).read(base_artifact(base).key)
            bases[name] = result.artifact.digest if result is not None and result.artifact is not None else ""
    return Lock(
        name=plans[0].name,
        steps=tuple(found.values()),
        sources=tuple(sources.values()),
        bases=bases,
        tools=tool_versions(store),
    )


class _Asking(NamedTuple):
    """A step that installs packages. base: the base that it belongs to; result: the key under which it is kept what
    it fetched (a base's steps leave no results of their own)."""

    action: Action
    base: str
    result: str


def _asking(plan: Plan, base: str = "") -> Iterator[_Asking]:
    """The steps of a plan and of its bases that a lock is about, in order."""
    for name, other in plan.bases.items():
        yield from _asking(other, name)
    for action in plan.actions:
        if action.kind in LOCKED_KINDS:
            yield _Asking(action, base, base_artifact(plan).key if base else action.key)


def _make_sure(plan: Plan, store: Store, sandbox: LocalSandbox, options: Options, *, emit: Emit, anew: bool) -> None:
    """Run what the packages depend on, unless their results are there with all that was fetched for them."""
    results = Results(store, sandbox.ids)
    lacking = [step for step in _asking(plan) if anew or not _known(step, results, store)]
    if not lacking:
        return
    keys = {step.action.key for step in lacking if not step.base}
    lost = {name for name, base in plan.bases.items() if {s.action.key for s in _asking(base, name)} & _keys(lacking)}
    again = [
        position
        for position, action in enumerate(plan.actions)
        if anew or action.key in keys or base_of(action.step.action) in lost
    ]
    steering = Steering(needed=needed(plan), anew=again, words=("--lock",))
    record = execute(plan, store, sandbox, emit, options._replace(steering=steering, fresh_bases=bool(lost)))
    if record.outcome != Outcome.SUCCEEDED.value:
        kind = ERRORS_BY_OUTCOME.get(Outcome(record.outcome), Broken)
        raise kind(f"no lock was written: {record.message}", details=record.details, hint=record.hint)


def _keys(steps: list[_Asking]) -> set[str]:
    return {step.action.key for step in steps}


def _known(step: _Asking, results: Results, store: Store) -> bool:
    """Whether a step's result is there with every answer kept."""
    result = results.find(step.result)
    kept = [fetch for fetch in result.fetches if fetch.kept] if result is not None else []
    return bool(kept) and all(os.path.exists(store.captured.path(fetch.sha256)) for fetch in kept)


def needed(plan: Plan) -> frozenset[int]:
    """The positions of the steps that install packages, and of all that these stand on."""
    makers = {action.key: position for position, action in enumerate(plan.actions)}
    wanted: set[int] = set()
    waiting = [position for position, action in enumerate(plan.actions) if action.kind in LOCKED_KINDS]
    waiting += [position for position, action in enumerate(plan.actions) if base_of(action.step.action)]
    while waiting:
        position = waiting.pop()
        if position in wanted:
            continue
        wanted.add(position)
        action = plan.actions[position]
        below = [action.artifact, *action.layers, action.before if "workspace" in action.inputs else ""]
        waiting += [makers[key] for key in below if key in makers]
    return frozenset(wanted)


def _locked_steps(plan: Plan, results: Results) -> Iterator[LockedStep]:
    for action, base, key in _asking(plan):
        result = results.read(key)
        if result is None:
            raise Broken(f"the result of step {action.step.name!r} is gone", hint="`contractor lock` again")
        tunnels = [fetch.url for fetch in result.fetches if fetch.method == "CONNECT"]
        if tunnels:
            raise Rejected(
                f"step {action.step.name!r} fetches through TLS ({tunnels[0]}): what came cannot be kept",
                hint="use the mirror's http:// address: apt checks the archive's signature either way",
            )
        fetched = tuple(sorted((fetch for fetch in result.fetches if fetch.kept), key=lambda fetch: fetch.url))
        yield LockedStep(
            name=action.step.name,
            kind=action.kind,
            arch=action.arch,
            ask=action.key,
            base=base,
            packages=tuple(_packages(result.packages, fetched)),
            answers=tuple({f.url: Answered(f.url, f.status, f.size, f.sha256, f.headers) for f in fetched}.values()),
        )


def _packages(installed: tuple[str, ...], fetches: tuple[Fetch, ...]) -> Iterator[Package]:
    """The packages that a step fetched; for a tree from nothing these are all that it has."""
    urls = {}
    for fetch in fetches:
        match = _DEB.search(unquote(fetch.url))
        if match and fetch.status == 200:
            urls[match["name"], match["version"], match["arch"]] = fetch
    for text in installed:
        name, _, rest = text.partition(":")
        arch, _, version = rest.partition("=")
        came = urls.get((name, version.partition(":")[2] if ":" in version else version, arch))
        if came is not None:
            yield Package(name, version, arch, came.sha256, came.url)
