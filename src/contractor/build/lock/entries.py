"""Entries of a lock, made of what steps that install packages were answered when they ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from contractor.core.errors import Broken, Rejected
from contractor.core.fetch import Fetch
from contractor.plan.lock import (
    LOCKED_KINDS,
    OLDER,
    Answered,
    LockedBase,
    LockedFile,
    LockedSource,
    LockedStep,
    Package,
    original_url,
)
from contractor.plan.locked import Ask
from contractor.plan.model import Action, Held, Plan
from contractor.plan.planner import base_artifact
from contractor.spec import model
from contractor.spec.actions import ACTIONS
from contractor.store.results import Result, Results

_DEB = re.compile(r"/(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[^_/]+)_(?P<arch>[a-z0-9-]+)\.deb\Z")


class Asking(NamedTuple):
    """A step that installs packages. base: the base that it belongs to, or empty; result: the key under which it is
    kept what it fetched."""

    action: Action
    base: str
    result: str


def asking(plan: Plan, base: str = "") -> Iterator[Asking]:
    """The steps of a plan and of its bases that a lock is about, in order, those of bases first."""
    for name, other in plan.bases.items():
        yield from asking(other, name)
    for action in plan.actions:
        if action.kind in LOCKED_KINDS:
            yield Asking(action, base, kept_under(plan, action, base))


def kept_under(plan: Plan, action: Action, base: str) -> str:
    """The key of the result that has what a step was answered: its own. A base's workspaces have none: of a step that
    makes one it is the next artifact's."""
    if not base or "workspace" not in ACTIONS[action.kind].writes:
        return action.key
    after = plan.actions[plan.actions.index(action) :]
    return next((other.key for other in after if other.kind == "create-artifact"), base_artifact(plan).key)


def entry_of(step: Asking, ask: Ask, held: Held, results: Results) -> LockedStep:
    """The entry of a step that has run. held: what it was held by then, which is a part of it."""
    result = results.read(step.result)
    name = step.action.step.name
    if result is None:
        raise Broken(f"the result of step {name!r} is gone", hint="`contractor lock` again")
    for fetch in result.fetches:
        _require_kept(name, fetch)
    answers = {fetch.url: fetch for fetch in result.fetches if fetch.kept}
    older = held.older
    if older and _is_the_same(answers):
        answers, older = {url: fetch for url, fetch in answers.items() if not url.startswith(OLDER)}, ()
    fetched = tuple(answers[url] for url in sorted(answers))
    return LockedStep(
        name=name,
        kind=step.action.kind,
        arch=step.action.arch,
        ask=ask.key,
        asked=dict(ask.inputs),
        base=step.base,
        packages=tuple(_packages(result, fetched)),
        answers=tuple(Answered(f.url, f.status, f.size, f.sha256, f.headers) for f in fetched),
        pins=held.pins,
        older=older,
    )


def _is_the_same(answers: dict[str, Fetch]) -> bool:
    """Whether the archive is as it was when the step was locked before, so that one state of it is enough."""
    before = [fetch for url, fetch in answers.items() if url.startswith(OLDER)]
    return all(
        (now := answers.get(original_url(fetch.url))) is not None and now.sha256 == fetch.sha256 for fetch in before
    )


def is_whole(result: Result) -> bool:
    """Whether all that the step was answered was kept."""
    allowed = [fetch for fetch in result.fetches if fetch.verdict == "allowed" and fetch.status < 500]
    return bool(allowed) and all(fetch.kept for fetch in allowed)


def _require_kept(name: str, fetch: Fetch) -> None:
    if fetch.method == "CONNECT" and fetch.verdict == "allowed":
        raise Rejected(
            f"step {name!r} fetches through TLS ({fetch.url}): what came cannot be kept",
            hint="use the mirror's http:// address: apt checks the archive's signature either way",
        )
    if fetch.status == 206 and not fetch.kept:
        raise Broken(
            f"step {name!r} got {fetch.url} in parts: the connection was broken in between",
            hint="`contractor lock` again",
        )


def _packages(result: Result, fetches: tuple[Fetch, ...]) -> Iterator[Package]:
    """The packages that a step fetched; for a tree from nothing these are all that it has."""
    urls = {}
    for fetch in fetches:
        match = _DEB.search(unquote(fetch.url))
        if match and fetch.status == 200:
            urls[match["name"], match["version"], match["arch"]] = fetch
    for text in result.packages:
        name, _, rest = text.partition(":")
        arch, _, version = rest.partition("=")
        came = urls.get((name, version.partition(":")[2] if ":" in version else version, arch))
        if came is not None:
            yield Package(name, version, arch, came.sha256, came.url)


def sources_of(plan: Plan) -> Iterator[LockedSource]:
    """The git references of a plan and of its bases, which planning has resolved."""
    for base in plan.bases.values():
        yield from sources_of(base)
    for action in plan.actions:
        given = action.step.action
        if isinstance(given, model.Source) and given.git:
            yield LockedSource(given.git, given.ref, str(action.inputs["source"]))


def files_of(plan: Plan) -> Iterator[LockedFile]:
    """What is downloaded by its digest."""
    for base in plan.bases.values():
        yield from files_of(base)
    for action in plan.actions:
        given = action.step.action
        if isinstance(given, model.Fetch) or (isinstance(given, model.Source) and given.url):
            yield LockedFile(given.url, given.sha256)


def bases_of(plan: Plan, results: Results) -> Iterator[LockedBase]:
    """The bases of a plan as they were made, where files have owners. The plan is the one that was run."""
    if any("ids" in action.inputs for action in plan.actions):
        return
    for name, base in plan.bases.items():
        yield from bases_of(base, results)
        result = results.read(base_artifact(base).key)
        if result is not None and result.artifact is not None:
            yield LockedBase(name, plan.arch, result.artifact.digest)
