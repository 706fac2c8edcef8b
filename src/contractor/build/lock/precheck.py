"""What can be said of a build before anything of it runs: what its lock does not cover, what offline it cannot have."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from contractor.build.bookkeeping import Bookkeeping
from contractor.build.lock.replay import replay_of
from contractor.build.options import Options
from contractor.build.source.git import is_remote
from contractor.build.source.obtain import inputs, is_here
from contractor.build.tools import tool_versions
from contractor.core.errors import ContractorError, NotReproducible, Unavailable
from contractor.core.words import count
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.results import Result, Results

_MOST = 20  # that are told one by one


class Ground(NamedTuple):
    """What a build stands on. runs: the positions of the plan's actions that will run; None: those without result."""

    store: Store
    results: Results
    options: Options
    runs: Collection[int] | None = None


def precheck(plan: Plan, ground: Ground, books: Bookkeeping) -> None:
    """Warn of what is not locked. Unavailable: the build may ask nobody, and has to; each step that has is named."""
    if plan.unlocked and not books.parent:
        texts = "; ".join(plan.unlocked[:_MOST])
        books.notice(f"{os.path.basename(plan.lock)} does not cover this build: {texts}", "warning")
    if ground.options.offline and not books.parent:
        missing = tuple(lacking(plan, ground))
        if missing:
            raise Unavailable(
                f"the build runs offline, and {count(len(missing), 'step')} cannot have what "
                f"{'it needs' if len(missing) == 1 else 'they need'}",
                details=missing[:_MOST],
                hint=_way_out(plan),
            )


def _way_out(plan: Plan) -> str:
    if plan.lock:
        return "build once with the network (without --offline), or import a capsule that has it"
    return "build once with the network, or `contractor lock`: it keeps all that a later build needs"


def lacking(plan: Plan, ground: Ground, base: str = "") -> Iterator[str]:
    """What a build without network lacks, a text a step."""
    store, options = ground.store, ground.options
    own = {id(item.given): item for item in inputs(plan)}
    for position, action in enumerate(plan.actions):
        if ground.runs is not None and position not in ground.runs:
            continue
        if ground.runs is None and ground.results.find(action.key) is not None:
            continue
        name = f"{f'base {base}, ' if base else ''}step {position + 1}, {action.step.name}"
        given, of_base = action.step.action, model.base_of(action.step.action)
        if of_base:
            key = base_artifact(plan.bases[of_base]).key
            if options.fresh_bases or ground.results.find(key) is None:
                yield from lacking(plan.bases[of_base], ground._replace(runs=None), of_base)
        elif isinstance(given, model.Source | model.Fetch):
            item = own.get(id(given))
            local = isinstance(given, model.Source) and given.git and not is_remote(given.git)
            if item is not None and not local and not is_here(item, store):
                yield f"{name}: {item.what} is not in the store"
        elif action.hosts and (text := _unanswered(plan, action, store, options)):
            yield f"{name}: {text}"


def _unanswered(plan: Plan, action: Action, store: Store, options: Options) -> str:
    replay = replay_of(plan, action, store, options)
    if replay is None:
        asks = f"it asks {', '.join(action.hosts)}"
        return f"{asks}, and is not locked" if action.kind in ("apt", "debootstrap") else asks
    lost = replay.lost(store.captured)
    if not lost:
        return ""
    return f"{len(lost)} of {count(len(replay.answers), 'file')} that {replay.source} names are not in the store"


def check_base(plan: Plan, name: str, result: Result | None, store: Store) -> ContractorError | None:
    """What is wrong with a base's artifact when it is not the one that was locked; nothing when it is, or was not."""
    expected = plan.expected.get(name)
    if not expected or result is None or result.artifact is None or result.artifact.digest == expected:
        return None
    others = other_tools(plan.expected_tools, store)
    return NotReproducible(
        f"the base {name} came out as sha256:{result.artifact.digest}, and not as it was locked",
        details=(f"{os.path.basename(plan.lock)} has sha256:{expected}, of the same packages", *others),
        hint="install the versions that it was locked with; or lock anew: `contractor lock --update`"
        if others
        else "all tools are those that it was locked with: try `contractor build --fresh-bases`, or lock anew: "
        "`contractor lock --update`",
    )


def other_tools(tools: Mapping[str, str], store: Store) -> tuple[str, ...]:
    """The tools that are here in another version than a lock was written with, in words."""
    here = tool_versions(store)
    return tuple(
        f"{name} is {here.get(name, 'not there')}, and was {tools.get(name, 'not there')} when it was locked"
        for name in sorted({*tools, *here})
        if tools and tools.get(name) != here.get(name)
    )
