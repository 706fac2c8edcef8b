"""Why each action will run, or will not: the plan's inputs compared with those of earlier builds. Pure.

"workspace" and "tree" are inputs that change because an earlier step did; the reason names the first step of that
chain, which is the one whose own fields, environment or source changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from contractor.core.digest import canonical
from contractor.core.values import Value
from contractor.plan.model import Action, Plan

_CHAINED = ("tree", "workspace", "artifact")
_FINISHED = ("succeeded", "cached")
_MOST = 4  # differences that are told one by one
_SHORT = 40  # characters of a value


class Earlier(Value, frozen=True):
    """A build of the same name. outcomes: of its plan's actions, in their order."""

    build: str
    plan: Plan
    outcomes: tuple[str, ...]


class Decision(Value, frozen=True):
    """runs: whether the action runs; cause: the position of the step that is why, -1 when it is found."""

    runs: bool
    reason: str
    cause: int = -1


def decide(plan: Plan, made_by: Mapping[str, str], earlier: Sequence[Earlier]) -> tuple[Decision, ...]:
    """made_by: the build that made the result, by key, for each action that has one. earlier: newest first."""
    decisions: list[Decision] = []
    for position, action in enumerate(plan.actions):
        if action.key in made_by:
            decisions.append(Decision(runs=False, reason=f"made by {made_by[action.key]}"))
            continue
        decisions.append(_why(plan, position, decisions, earlier))
    return tuple(decisions)


def _why(plan: Plan, position: int, decisions: Sequence[Decision], earlier: Sequence[Earlier]) -> Decision:
    action = plan.actions[position]
    before = _same_key(action, earlier)
    if before is not None:
        build, outcome = before
        said = "its result is no longer in the store" if outcome in _FINISHED else _unfinished(outcome)
        return Decision(runs=True, reason=f"{said} ({build})", cause=position)
    old = _counterpart(position, action, earlier)
    if old is None:
        return Decision(runs=True, reason="never ran", cause=position)
    own, chained, cause = [], [], -1
    for field, text in differences(old, action):
        if field not in _CHAINED:
            own.append(text)
            continue
        first = _cause(plan, action, field, decisions)
        chained.append(f"{field} because of {_named(plan, first)}" if first >= 0 else field)
        cause = first if cause < 0 else cause
    if not own and not chained:
        return Decision(runs=True, reason="this version of Contractor builds it differently", cause=position)
    more = [f"{len(own) - _MOST} more"] if len(own) > _MOST else []
    return Decision(runs=True, reason="; ".join([*own[:_MOST], *more, *chained]), cause=position if own else cause)


def _same_key(action: Action, earlier: Sequence[Earlier]) -> tuple[str, str] | None:
    """The newest build that had this very action before it, and what became of it there."""
    for build in earlier:
        for old, outcome in zip(build.plan.actions, build.outcomes, strict=False):
            if old.key == action.key:
                return build.build, outcome
    return None


def _unfinished(outcome: str) -> str:
    if outcome == "not run":
        return "was not reached last time"
    return "was interrupted last time" if outcome in ("running", "aborted") else f"{outcome} last time"


def _counterpart(position: int, action: Action, earlier: Sequence[Earlier]) -> Action | None:
    """What the action was in an earlier build: the newest that finished, else the newest at all.

    The same step by its name and kind, or by its kind and place in the plan where it was renamed.
    """
    found = None
    for build in earlier:
        old = _in(build.plan, position, action)
        if old is None:
            continue
        outcome = build.outcomes[old] if old < len(build.outcomes) else "not run"
        if outcome in _FINISHED:
            return build.plan.actions[old]
        found = found or build.plan.actions[old]
    return found


def _in(plan: Plan, position: int, action: Action) -> int | None:
    named = [
        index for index, old in enumerate(plan.actions) if old.step.name == action.step.name and old.kind == action.kind
    ]
    if named:
        return min(named, key=lambda index: abs(index - position))
    if position < len(plan.actions) and plan.actions[position].kind == action.kind:
        return position
    return None


def _cause(plan: Plan, action: Action, field: str, decisions: Sequence[Decision]) -> int:
    """The first step of the chain that made this input another; -1 when no step of the plan that runs is in it."""
    wanted = action.inputs.get(field)
    for position, decision in enumerate(decisions):
        if plan.actions[position].key == wanted and decision.runs:
            return decision.cause if decision.cause >= 0 else position
    return -1


def _named(plan: Plan, position: int) -> str:
    return f"step {position + 1} ({plan.actions[position].step.name})"


def differences(old: Action, new: Action) -> list[tuple[str, str]]:
    """(input, what changed, in a few words) for each input that is not the same."""
    found: list[tuple[str, str]] = []
    old_inputs, new_inputs = _plain(old.inputs), _plain(new.inputs)
    for field in sorted({*old_inputs, *new_inputs}):
        before, after = old_inputs.get(field), new_inputs.get(field)
        if before == after:
            continue
        if field == "action" and isinstance(before, dict) and isinstance(after, dict):
            found += [("action", text) for text in _fields(before, after)]
        elif field == "env" and isinstance(before, dict) and isinstance(after, dict):
            found += [("env", f"env {text}") for text in _mapping(before, after)]
        else:
            found.append((field, _change(field, before, after)))
    return found


def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As a stored plan has them: a list where the planner has a tuple."""
    return msgspec.json.decode(canonical(inputs), type=dict[str, Any])


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [_change(name, before.get(name), after.get(name)) for name in names]


def _mapping(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """+NAME -NAME NAME: values stay out, they may be long."""
    added = [f"+{name}" for name in sorted(after.keys() - before.keys())]
    removed = [f"-{name}" for name in sorted(before.keys() - after.keys())]
    changed = [name for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    return [*changed, *added, *removed]


def _change(name: str, before: Any, after: Any) -> str:
    if isinstance(before, list) and isinstance(after, list):
        plus = [f"+{item}" for item in after if item not in before]
        minus = [f"-{item}" for item in before if item not in after]
        return f"{name} {' '.join((plus + minus)[:12])}" if plus or minus else f"{name} in another order"
    if name in ("script", "executable", "args"):
        return name
    if name == "source":
        return f"source ({str(before)[:12]} -> {str(after)[:12]})"
    return f"{name} ({_short(before)} -> {_short(after)})"


def _short(value: Any) -> str:
    if value is None or value == "":
        return "none"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
