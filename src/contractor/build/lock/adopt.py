"""What was run to write a lock, under the keys that the lock gives it: by construction it is what a replay would make.

Layers are renamed where they are, artifacts are only named once more. What could be found by other builds stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec

from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.spec.actions import ACTIONS
from contractor.store.layout import Store
from contractor.store.results import Result, Results


def adopt(ran: Plan, locked: Plan, session: str, results: Results, store: Store) -> None:
    """ran, locked: the same plan under the keys that it ran with, and those of the lock. session: in the former.

    What was run for the lock and has no place in it goes: nobody would ever find it.
    """
    with store.using():
        for before, after in _pairs(ran, locked):
            result = results.find(before.key) if before.key != after.key else None
            if result is None or result.state:
                continue
            own = _of_session(ran, before.key, session)
            wanted = results.find(after.key) is None
            if wanted and (not result.layer or (own and _move_layer(store, before.key, after.key))):
                _file(result, after, results)
            if own:
                _forget(store, before.key)


def _pairs(ran: Plan, locked: Plan) -> Iterator[tuple[Action, Action]]:
    """The actions that a lock is about: those that make system trees, and the artifacts of bases."""
    for name in ran.bases:
        yield from _pairs(ran.bases[name], locked.bases[name])
        yield base_artifact(ran.bases[name]), base_artifact(locked.bases[name])
    for before, after in zip(ran.actions, locked.actions, strict=True):
        if "tree" in ACTIONS[before.kind].writes:
            yield before, after


def _of_session(plan: Plan, key: str, session: str) -> bool:
    """Whether a key was made for this run: it, or one that it is made of, has the session in it."""
    actions = {action.key: action for each in _all(plan) for action in each.actions}
    waiting, seen = [key], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in actions:
            continue
        seen.add(name)
        inputs = actions[name].inputs
        if session in str(inputs.get("lock", "")):
            return True
        waiting += [str(inputs.get(field, "")) for field in ("tree", "workspace", "artifact")]
    return False


def _all(plan: Plan) -> Iterator[Plan]:
    yield plan
    for base in plan.bases.values():
        yield from _all(base)


def _move_layer(store: Store, before: str, after: str) -> bool:
    for ids in os.listdir(store.path("layers")):
        with contextlib.suppress(OSError):
            os.rename(store.layer(ids, before), store.layer(ids, after))
            return True
    return False


def _file(result: Result, action: Action, results: Results) -> None:
    results.add(msgspec.structs.replace(result, key=action.key, inputs=action.inputs, before=action.before))


def _forget(store: Store, key: str) -> None:
    for folder in (*(f"results/unsynced/{boot}" for boot in os.listdir(store.path("results", "unsynced"))), "results"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(store.path(folder, f"{key}.json"))
