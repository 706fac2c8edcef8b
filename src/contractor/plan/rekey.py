"""The same actions under other keys, because something that they read is not what the plan took it for. Pure.

A lock says which bytes a step installs: they belong into its key. And what a person's shell does is in no key, so what
is made from it must not be found under the keys of the plan, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contractor.core import digest
from contractor.plan.key import action_key
from contractor.plan.model import Plan


def shell_state(before: str, build: str, index: int) -> str:
    """The name of the workspace's state as a shell before an action left it."""
    return digest.of_value({"shell": build, "before": before, "step": index})


class Changed(NamedTuple):
    """What is other than planned. states: what a state of the workspace is named now, by its old name; others: the
    same for trees and artifacts; extra: more inputs of an action, by its position."""

    states: Mapping[str, str] = {}
    others: Mapping[str, str] = {}
    extra: Mapping[int, Mapping[str, Any]] = {}


def rekey(plan: Plan, changed: Changed, first: int = 0) -> Plan:
    """The plan with other keys for what reads something that is other than planned, chained as ever.

    Actions before `first` stay as they are, and so does each that reads nothing of what was changed.
    """
    states, others = dict(changed.states), dict(changed.others)
    names = {"workspace": states, "tree": others, "artifact": others}
    actions = list(plan.actions)
    for position in range(first, len(actions)):
        old = actions[position]
        inputs: dict[str, Any] = {field: _other(names, field, value) for field, value in old.inputs.items()}
        inputs.update(changed.extra.get(position, {}))
        key = old.key if inputs == old.inputs else action_key(inputs)
        before = states.get(old.before, old.before)
        layers = tuple(others.get(layer, layer) for layer in old.layers)
        artifact = others.get(old.artifact, old.artifact)
        if old.kind == "empty-workspace" and old.after == "":
            states.pop("", None)  # nothing of what was changed is there any more
        for known in (others, states):
            known.pop(old.key, None)  # what it makes has its old name again, as when a source is unpacked twice
            if key != old.key:
                known[old.key] = key
        actions[position] = msgspec.structs.replace(
            old,
            key=key,
            inputs=inputs,
            before=before,
            after=states.get(old.after, old.after),
            layers=layers,
            artifact=artifact,
        )
    return msgspec.structs.replace(
        plan,
        actions=tuple(actions),
        replays={others.get(key, key): fetches for key, fetches in plan.replays.items()},
        held={others.get(key, key): held for key, held in plan.held.items()},
        locked=tuple(others.get(key, key) for key in plan.locked),
    )


def _other(names: dict[str, dict[str, str]], field: str, value: Any) -> Any:
    return names[field].get(value, value) if field in names and isinstance(value, str) else value
