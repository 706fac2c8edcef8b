"""Which step of one plan is which step of another. Pure.

The same key is the same step; then the same name and kind; then, between two steps that are known, the same kind and
the most words in common, in order: so an unnamed step that was edited, or one that was renamed, is still what it was.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from contractor.core.digest import canonical
from contractor.plan.model import Plan

_MOST = 10_000  # pairs of steps that are compared word by word
_ANY = 0.01  # what it is worth that two steps have nothing in common but their kind and place
_WORD = re.compile(r"\w+")


class Known(NamedTuple):
    """What a step is known by. body: what it does, as text."""

    key: str
    name: str
    kind: str
    body: str = ""


def known(plan: Plan) -> list[Known]:
    return [
        Known(action.key, action.step.name, action.kind, canonical(action.inputs.get("action")).decode())
        for action in plan.actions
    ]


def align(new: Sequence[Known], old: Sequence[Known]) -> list[int]:
    """For each step of `new` its position in `old`, or -1. No two have the same."""
    found = [-1] * len(new)
    _pair(found, new, old, lambda step: step.key)
    _pair(found, new, old, lambda step: (step.name, step.kind))
    _fill(found, new, old)
    return found


def inverse(found: Sequence[int], size: int) -> list[int]:
    """The same pairs from the other side, which has `size` steps."""
    back = [-1] * size
    for position, other in enumerate(found):
        if other >= 0:
            back[other] = position
    return back


def moved(found: Sequence[int]) -> frozenset[int]:
    """Positions of steps that are in another order: the fewest whose removal leaves the others in order."""
    tails: list[int] = []  # the last position of the best chain of each length
    values: list[int] = []  # and what it maps to, which is ascending
    before: dict[int, int] = {}
    for position, other in enumerate(found):
        if other < 0:
            continue
        length = bisect_left(values, other)
        before[position] = tails[length - 1] if length else -1
        tails[length:] = [position, *tails[length + 1 :]]
        values[length:] = [other, *values[length + 1 :]]
    kept = set()
    position = tails[-1] if tails else -1
    while position >= 0:
        kept.add(position)
        position = before[position]
    return frozenset(before.keys() - kept)


def _pair(found: list[int], new: Sequence[Known], old: Sequence[Known], mark: Callable[[Known], Hashable]) -> None:
    """Pair those of the same mark that are not paired yet, in their order."""
    taken = set(found)
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for position, step in enumerate(old):
        if position not in taken:
            waiting[mark(step)].append(position)
    for position, step in enumerate(new):
        if found[position] < 0 and waiting.get(mark(step)):
            found[position] = waiting[mark(step)].popleft()


def _fill(found: list[int], new: Sequence[Known], old: Sequence[Known]) -> None:
    """Pair what is left between two paired steps, by kind and in order."""
    taken = set(found)
    low, start = 0, 0
    for end in [*(position for position, other in enumerate(found) if other >= 0), len(new)]:
        high = found[end] if end < len(new) else len(old)
        if high >= low:
            free = [position for position in range(low, high) if position not in taken]
            wanted = [position for position in range(start, end) if found[position] < 0]
            for position, other in _best(new, old, wanted, free):
                found[position] = other
            low = high + 1
        start = end + 1


def _best(new: Sequence[Known], old: Sequence[Known], wanted: list[int], free: list[int]) -> list[tuple[int, int]]:
    """Pairs of the same kind, in order on both sides, that have the most in common altogether."""
    if len(wanted) * len(free) > _MOST:
        return [(a, b) for a, b in zip(wanted, free, strict=False) if new[a].kind == old[b].kind]
    words = {
        id(step): _words(step) for steps, at in ((new, wanted), (old, free)) for step in map(steps.__getitem__, at)
    }
    worth = [[0.0] * (len(free) + 1) for _ in range(len(wanted) + 1)]  # of the rest from (row, column) on
    alike = [[_alike(new[a], old[b], words) for b in free] for a in wanted]
    for row in range(len(wanted) - 1, -1, -1):
        for column in range(len(free) - 1, -1, -1):
            here = alike[row][column]
            both = worth[row + 1][column + 1] + here if here else 0.0
            worth[row][column] = max(both, worth[row + 1][column], worth[row][column + 1])
    pairs, row, column = [], 0, 0
    while row < len(wanted) and column < len(free):
        here = alike[row][column]
        if here and worth[row][column] == worth[row + 1][column + 1] + here:
            pairs.append((wanted[row], free[column]))
            row, column = row + 1, column + 1
        elif worth[row][column] == worth[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


def _alike(new: Known, old: Known, words: dict[int, frozenset[str]]) -> float:
    """0 for another kind; else from 0.01 to 1.01, by the words that both have."""
    if new.kind != old.kind:
        return 0.0
    mine, other = words[id(new)], words[id(old)]
    return _ANY + len(mine & other) / max(1, len(mine | other))


def _words(step: Known) -> frozenset[str]:
    return frozenset(_WORD.findall(f"{step.name} {step.body}"))
