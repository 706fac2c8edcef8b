"""A plan after somebody changed what a step reads: the same actions under other keys. Pure.

What a person's shell does is in no key, so whatever is made from it must not be found under the keys of the plan. It
gets keys of its own, chained as ever: a result of an untouched build is never taken for one of these, nor they for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.core import digest
from contractor.plan.key import action_key
from contractor.plan.model import Action, Plan


def shell_state(before: str, build: str, index: int) -> str:
    """The name of the workspace's state as a shell before an action left it."""
    return digest.of_value({"shell": build, "before": before, "step": index})


def rekey(plan: Plan, first: int, *, workspace: str | None = None, salt: str = "") -> Plan:
    """workspace: the state that action `first` now begins with; salt: what makes that action's own key another one.

    Actions before `first` stay as they are, and so does each that reads nothing of what was changed.
    """
    begins = plan.actions[first].before
    states = {begins: workspace} if workspace is not None else {}
    others: dict[str, str] = {}  # trees and artifacts: what they were named, and are now
    actions = list(plan.actions)
    for position in range(first, len(actions)):
        old = actions[position]
        names = {"workspace": states, "tree": others, "artifact": others}
        inputs: dict[str, Any] = {field: _other(names, field, value) for field, value in old.inputs.items()}
        if salt and position == first:
            inputs["shell"] = salt
        key = old.key if inputs == old.inputs else action_key(inputs)
        before = states.get(old.before, old.before)
        if old.kind == "empty-workspace" and old.after == "":
            states.pop("", None)  # nothing of what was changed is there any more
        if key != old.key:
            others[old.key] = key
            states[old.key] = key
        actions[position] = _replaced(old, key, inputs, before, states.get(old.after, old.after), others)
    return msgspec.structs.replace(plan, actions=tuple(actions))


def _other(names: dict[str, dict[str, str]], field: str, value: Any) -> Any:
    return names[field].get(value, value) if field in names and isinstance(value, str) else value


def _replaced(old: Action, key: str, inputs: dict[str, Any], before: str, after: str, others: dict[str, str]) -> Action:
    return msgspec.structs.replace(
        old,
        key=key,
        inputs=inputs,
        before=before,
        after=after,
        layers=tuple(others.get(layer, layer) for layer in old.layers),
        artifact=others.get(old.artifact, old.artifact),
    )
