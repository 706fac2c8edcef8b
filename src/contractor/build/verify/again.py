"""A build's plan, to be run once more from what the store has: every step, under keys of its own, without network.

What steps fetched is served from the store; sources, downloads, commits and custom actions are there by digest. Bases,
and trees of artifacts by digest, are taken as they are: a build of their own makes them (and can be verified).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import msgspec

from contractor.build.facts import custom_path, host_arch
from contractor.build.source.obtain import inputs, is_here
from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.plan.rekey import Changed, rekey
from contractor.sandbox.local import LocalSandbox
from contractor.spec.model import Custom, Source, base_of
from contractor.store.layout import Store
from contractor.store.records import RETRY, Record
from contractor.store.results import Results, artifact_path

_PARTS = ("--until", "--only", "--shell", "--shell-after", "--lock", RETRY)  # then a build is not all of its plan
_CHOOSE = "`contractor list` shows the builds; choose one that succeeded"


def require_whole(record: Record) -> None:
    """Rejected: a build that proves nothing, for there is nothing to compare with, or it is not what its plan says."""
    if record.outcome == "running":
        raise Rejected(f"{record.id} has not ended", hint="wait for it, or choose another: `contractor list`")
    if record.outcome != "succeeded":
        raise Rejected(
            f"{record.id} has not succeeded ({record.outcome}): there is nothing to compare with", hint=_CHOOSE
        )
    if record.tainted:
        raise Rejected(f"{record.id} is tainted: {record.tainted}", hint="build without the shell, and verify that")
    if not set(_PARTS).isdisjoint(record.asked):
        raise Rejected(
            f"{record.id} was asked for something else than its plan ({' '.join(record.asked)})",
            hint="verify a build of the whole plan",
        )
    if not record.artifacts:
        raise Rejected(f"{record.id} made no artifact: there is nothing to compare", hint="add a create-artifact step")


def plan_again(plan: Plan, record: Record, store: Store, sandbox: LocalSandbox, given: Collection[str]) -> Plan:
    """given: names of the secrets that were given. Rejected, with all that is missing, when it cannot be run."""
    _require_machine(plan, sandbox)
    results = Results(store, sandbox.ids)
    answers = {
        position: _answers(plan, action, results, record.steps[position].fetches)
        for position, action in enumerate(plan.actions)
        if action.hosts and not _is_input(action)
    }
    missing = [*_missing(plan, store, results), *_unanswered(plan, answers, store)]
    if missing:
        raise Rejected(
            f"{record.id} cannot be built again from what the store has",
            details=tuple(missing),
            hint="build it once more with the network, and verify that build",
        )
    lacking = sorted({name for action in plan.actions for name in action.step.secrets} - set(given))
    if lacking:
        options = " ".join(f"--secret {name}=FILE" for name in lacking)
        raise Rejected(
            f"{record.id} used secrets: {', '.join(lacking)}", hint=f"contractor verify {record.id} {options}"
        )
    session = os.urandom(16).hex()
    as_they_are = {position for position, action in enumerate(plan.actions) if _is_given_tree(plan, action)}
    extra = {position: {"verify": session} for position in range(len(plan.actions)) if position not in as_they_are}
    made = rekey(plan, Changed(extra=extra))
    replays = {made.actions[position].key: fetches for position, fetches in answers.items()}
    return msgspec.structs.replace(made, replays=replays, unlocked=())


def _require_machine(plan: Plan, sandbox: LocalSandbox) -> None:
    if plan.arch != host_arch():
        raise Rejected(
            f"it was built for {plan.arch}, and this machine is {host_arch()}", hint="verify it on such a machine"
        )
    ids = next((action.inputs["ids"] for action in plan.actions if "ids" in action.inputs), "range")
    if ids != sandbox.owners:
        raise Rejected(
            f"it was built {'with one id' if ids == 'one' else 'with a range of ids'}, and files have other owners so",
            hint="contractor verify --one-id" if ids == "one" else "verify it where there are subordinate ids",
        )


def _is_input(action: Action) -> bool:
    """Whether what the action fetches is in the store under a digest that the plan names."""
    return action.kind in ("source", "fetch")


def _is_given_tree(plan: Plan, action: Action) -> bool:
    """Whether the action makes a tree of an artifact that the build itself does not make: a base's, or by digest."""
    made = {other.key for other in plan.actions}
    return action.kind == "create-systree" and action.artifact not in made


def _answers(plan: Plan, action: Action, results: Results, recorded: tuple[Fetch, ...]) -> tuple[Fetch, ...]:
    """What the action's requests were answered with: by a lock, or when it really ran."""
    if action.key in plan.replays:
        return plan.replays[action.key]
    result = results.read(action.key)
    return result.fetches if result is not None else recorded


def _missing(plan: Plan, store: Store, results: Results) -> Iterator[str]:
    own = {id(wanted.given): wanted for wanted in inputs(plan)}
    for position, action in enumerate(plan.actions):
        given = action.step.action
        step = f"step {position + 1}, {action.step.name}"
        base = base_of(given)
        if base:
            there = _is_given_tree(plan, action) and results.find(action.key) is not None
            there = there or results.find(base_artifact(plan.bases[base]).key) is not None
            if not there and not _is_locked(plan.bases[base]):
                yield f"{step}: the base {base} is not in the store any more (`contractor bases` makes it)"
        elif isinstance(given, Source) and given.path:
            if not os.path.exists(artifact_path(store, str(action.inputs["source"]))):
                yield f"{step}: the source's archive sha256:{action.inputs['source']} is not in the store any more"
        elif id(given) in own:
            if not is_here(own[id(given)], store):
                yield f"{step}: {own[id(given)].what} is not in the store any more"
        elif isinstance(given, Custom) and not _has_custom(plan, given, str(action.inputs["executable"]), store):
            yield f"{step}: the custom action {given.name} is not in the store, and not the same beside {plan.file}"
        elif action.artifact and not _is_there(plan, action.artifact, store):
            yield f"{step}: the artifact sha256:{action.artifact} is not in the store any more"


def _is_locked(base: Plan) -> bool:
    """Whether a base can be made without network, from what a lock has of it."""
    return all(action.key in base.replays for action in base.actions if action.hosts and not _is_input(action)) and all(
        _is_locked(inner) for inner in base.bases.values()
    )


def _is_there(plan: Plan, artifact: str, store: Store) -> bool:
    """An artifact by the key of the step that makes it, or by the digest of another build's."""
    return any(made.key == artifact for made in plan.actions) or os.path.exists(artifact_path(store, artifact))


def _has_custom(plan: Plan, given: Custom, wanted: str, store: Store) -> bool:
    if store.blobs.has(wanted):
        return True
    try:
        return digest.of_bytes(custom_path(os.path.dirname(plan.file), given.name).read_bytes()) == wanted
    except OSError:
        return False


def _unanswered(plan: Plan, answers: dict[int, tuple[Fetch, ...]], store: Store) -> Iterator[str]:
    for position, fetches in answers.items():
        step = f"step {position + 1}, {plan.actions[position].step.name}"
        known = {fetch.url for fetch in fetches if fetch.method == "GET" and fetch.kept}
        for why in dict.fromkeys(_why_not(fetch, known, store) for fetch in fetches if fetch.verdict == "allowed"):
            if why:
                yield f"{step}: {why}"


def _why_not(fetch: Fetch, known: Collection[str], store: Store) -> str:
    """Why a request cannot be answered again, or ""."""
    if fetch.method == "CONNECT":
        return f"it fetched through TLS from {fetch.url}, and what came was not kept (a `fetch` step keeps it)"
    if fetch.method == "HEAD":
        return "" if fetch.url in known else f"what HEAD {fetch.url} said was not kept"
    if fetch.method != "GET":
        return f"{fetch.method} {fetch.url} cannot be repeated without its server"
    if fetch.status in (206, 304):
        return f"of {fetch.url} only a part was fetched"
    if not fetch.kept:
        return f"what {fetch.url} gave was not kept"
    if not os.path.exists(store.captured.path(fetch.sha256)):
        return f"what {fetch.url} gave is not in the store any more"
    return ""
