"""Why a step's key is another than in an earlier plan: its own changes, and the steps where the rest began. Pure.

"tree", "workspace" and "artifact" are inputs that other steps make. When one differs, the two chains of steps that
made it are followed down together; a cause is a step of theirs that changed by itself, is new, is gone, or moved.
"""

from __future__ import annotations

from contractor.core.values import Value
from contractor.plan.align import align, inverse, known, moved
from contractor.plan.changes import Change, differences
from contractor.plan.model import Action, Plan

CHAINED = ("tree", "workspace", "artifact")
_OUTSIDE = -2  # where no step of the plan made an input: a person's shell did
SELF = Change("format", "", "changed")  # a key that differs although its inputs do not: another version's rules
_EPOCH = (("epoch", ""), ("env", "SOURCE_DATE_EPOCH"))


class Cause(Value, frozen=True):
    """A step where a difference began. how: changed, added, removed, moved.

    number: in the new plan, from 1; 0 when it is not there any more. old: in the old one; 0 when it is new.
    base: the base that it is a step of; "" for the plan itself.
    """

    how: str
    number: int
    old: int
    name: str
    action: str
    changes: tuple[Change, ...] = ()
    base: str = ""


class Chained(Value, frozen=True):
    """An input that other steps make. before, after: keys, "" for none."""

    input: str
    before: str
    after: str
    causes: tuple[Cause, ...]


class Explanation(Value, frozen=True):
    """All that differs; both are empty when the keys are the same."""

    changes: tuple[Change, ...] = ()
    chained: tuple[Chained, ...] = ()


class PlanPair:
    """Two plans, step by step. to_old[i]: the old position of step i of the new one, -1 for none; to_new: back."""

    def __init__(self, new: Plan, old: Plan) -> None:
        self.new = new
        self.old = old
        self.to_old = align(known(new), known(old))
        self.to_new = inverse(self.to_old, len(old.actions))
        self.moved = moved(self.to_old)

    def explain(self, position: int) -> Explanation:
        """Why a step of the new plan, which the old one has too, has another key."""
        before = self.to_old[position]
        if before < 0 or self.old.actions[before].key == self.new.actions[position].key:
            return Explanation()
        own, chained = self.split(position, before)
        return Explanation(own, tuple(self._follow(change, position, before) for change in chained))

    def split(self, position: int, before: int) -> tuple[tuple[Change, ...], list[Change]]:
        """A step's own changes, and those that other steps made."""
        new, old = self.new.actions[position], self.old.actions[before]
        own, chained = [], []
        for change in differences(old.inputs, new.inputs):
            if change.input not in CHAINED:
                own.append(change)
            elif change.input == "artifact" and _base(old) != _base(new):
                own.append(Change("artifact", "base", "changed", _base(old) or None, _base(new) or None))
            elif change.input == "artifact" and not _base(new) and not self._made(change):
                own.append(change)
            else:
                chained.append(change)
        return tuple(own) or (() if chained else (SELF,)), chained

    def _made(self, change: Change) -> bool:
        """Whether steps make it in both plans: a digest that is written down comes from nowhere."""
        return _maker(self.new, change.after) >= 0 and _maker(self.old, change.before) >= 0

    def _follow(self, change: Change, position: int, before: int) -> Chained:
        base = _base(self.new.actions[position]) if change.input == "artifact" else ""
        causes = self.of_base(base) if base else self._of_steps(change.input, position, before)
        strong = [cause for cause in causes if not _only_epoch(cause)]
        return Chained(change.input, change.before or "", change.after or "", tuple(strong or causes[:1]))

    def of_base(self, name: str) -> list[Cause]:
        from contractor.plan.planner import base_artifact

        new, old = self.new.bases.get(name), self.old.bases.get(name)
        if new is None or old is None:
            return []
        walk = _Walk(PlanPair(new, old), name)
        walk.between(new.actions.index(base_artifact(new)), old.actions.index(base_artifact(old)), "artifact")
        return walk.causes()

    def _of_steps(self, field: str, position: int, before: int) -> list[Cause]:
        walk = _Walk(self, "")
        walk.below(position, before, field)
        return walk.causes() or (walk.itself(position, before) if position in self.moved else [])


class _Walk:
    """Both chains of one input, from the top down to where they are the same."""

    def __init__(self, pair: PlanPair, base: str) -> None:
        self._pair = pair
        self._base = base
        self._found: dict[tuple[str, int, int], tuple[float, Cause]] = {}
        self._seen: set[tuple[int, int, str]] = set()
        self._waiting: list[tuple[int, int, str]] = []

    def causes(self) -> list[Cause]:
        return [cause for _place, cause in sorted(self._found.values(), key=lambda item: item[0])]

    def itself(self, new: int, old: int) -> list[Cause]:
        """The step that was asked about is the one that moved."""
        self._add("moved", new, old)
        return self.causes()

    def below(self, new: int, old: int, field: str) -> None:
        """Follow an input of a step and of its counterpart."""
        self.between(_below(self._pair.new, new, field), _below(self._pair.old, old, field), field)

    def between(self, new: int, old: int, field: str) -> None:
        """Follow from the steps that made it, -1 for none."""
        self._waiting.append((new, old, field))
        while self._waiting:
            here = self._waiting.pop()
            if here not in self._seen:
                self._seen.add(here)
                self._compare(*here)

    def _compare(self, new: int, old: int, field: str) -> None:
        pair = self._pair
        if (new < 0 and old < 0) or _OUTSIDE in (new, old):
            return
        if new >= 0 and old >= 0 and pair.new.actions[new].key == pair.old.actions[old].key:
            return
        if new >= 0 and old >= 0 and pair.to_old[new] == old:
            self._same_step(new, old)
        elif new >= 0 and pair.to_old[new] < 0:
            self._add("added", new, -1)
            self._waiting.append((_below(pair.new, new, field), old, field))
        elif old >= 0 and pair.to_new[old] < 0:
            self._add("removed", -1, old)
            self._waiting.append((new, _below(pair.old, old, field), field))
        else:
            self._reordered(new, old, field)

    def _same_step(self, new: int, old: int) -> None:
        pair = self._pair
        own, chained = pair.split(new, old)
        if own:
            self._add("changed", new, old, own)
        for change in chained:
            base = _base(pair.new.actions[new]) if change.input == "artifact" else ""
            if base:
                for cause in pair.of_base(base):
                    self._found[base, cause.number, cause.old] = (new, cause)
            else:
                self._waiting.append(
                    (_below(pair.new, new, change.input), _below(pair.old, old, change.input), change.input)
                )

    def _reordered(self, new: int, old: int, field: str) -> None:
        """Both are in both plans, but not in the same place of the chain."""
        pair = self._pair
        places = [place for place in (new, pair.to_new[old] if old >= 0 else -1) if place >= 0]
        away = [place for place in places if place in pair.moved]
        for place in away or (places if new < 0 or old < 0 else []):
            self._add("moved", place, pair.to_old[place])
        if new >= 0 and old >= 0:
            self._waiting.append((new, pair.to_old[new], field))
            return
        down_new = _below(pair.new, new, field) if new >= 0 else -1
        down_old = _below(pair.old, old, field) if old >= 0 else -1
        self._waiting.append((down_new, down_old, field))

    def _add(self, how: str, new: int, old: int, changes: tuple[Change, ...] = ()) -> None:
        action = self._pair.new.actions[new] if new >= 0 else self._pair.old.actions[old]
        cause = Cause(how, new + 1, old + 1, action.step.name, action.kind, changes, self._base)
        if how == "moved" and ("", new + 1, old + 1) in self._found:
            return  # it changed as well, which says more
        self._found["", new + 1, old + 1] = (new if new >= 0 else old - 0.5, cause)


def _below(plan: Plan, position: int, field: str) -> int:
    """The step that made an input of a step; -1 for none, -2 for something else."""
    key = str(plan.actions[position].inputs.get(field, ""))
    maker = _maker(plan, key, position) if key else -1
    return maker if maker >= 0 or not key else _OUTSIDE


def _maker(plan: Plan, key: str, before: int | None = None) -> int:
    """The step of a key, the nearest before a position; -1 for none."""
    end = len(plan.actions) if before is None else before
    return next((position for position in range(end - 1, -1, -1) if plan.actions[position].key == key), -1)


def _base(action: Action) -> str:
    return str(getattr(action.step.action, "base", ""))


def is_epoch(change: Change) -> bool:
    """The build's epoch reaches every step by itself: it explains little where something else changed."""
    return (change.input, change.name) in _EPOCH


def _only_epoch(cause: Cause) -> bool:
    return cause.how == "changed" and all(is_epoch(change) for change in cause.changes)
