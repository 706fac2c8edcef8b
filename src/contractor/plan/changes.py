"""What differs between the inputs of two actions, field by field. Pure; words.py makes text of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from contractor.core.digest import canonical
from contractor.core.values import Value

Opcode = tuple[str, int, int, int, int]

_MOST_LINES = 1000  # of a script's differing part that are matched line by line: matching is quadratic


class Change(Value, frozen=True):
    """One field that is not the same.

    input: the field of the key's inputs; name: the part of it, such as a field of the action or a variable ("" for
    the whole; parts of parts are joined by dots). how: changed, added, removed. before, after: JSON values, None
    where there is none.
    """

    input: str
    name: str
    how: str
    before: Any = None
    after: Any = None


class Items(NamedTuple):
    """What a list gained and lost, each in its list's order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


class Hunk(NamedTuple):
    """Lines first..last, from 1. how: changed and added count the new text's lines, removed the old one's."""

    how: str
    first: int
    last: int


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Each field that differs, once, in the order of their names. Mappings are compared key by key."""
    return tuple(_mappings("", "", _plain(old), _plain(new)))


def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As a stored plan has them: a list where the planner has a tuple."""
    return msgspec.json.decode(canonical(inputs), type=dict[str, Any])


def _mappings(field: str, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        here = (field, f"{path}.{name}" if path else name) if field else (name, "")
        if name not in old:
            yield Change(*here, "added", None, after)
        elif name not in new:
            yield Change(*here, "removed", before, None)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _mappings(*here, before, after)
        elif before != after or type(before) is not type(after):  # True == 1, but not in JSON
            yield Change(*here, "changed", before, after)


def items(before: list[Any], after: list[Any]) -> Items:
    """What was added and removed; both are empty when only the order differs."""
    olds, news = [str(item) for item in before], [str(item) for item in after]
    return Items(tuple(_more(news, Counter(olds))), tuple(_more(olds, Counter(news))))


def _more(given: list[str], known: Counter[str]) -> Iterator[str]:
    for item in given:
        if known[item]:
            known[item] -= 1
        else:
            yield item


def lines_of(text: str) -> list[str]:
    """A script's lines; whether the last one has an end makes no difference."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def hunks(before: str, after: str) -> list[Hunk]:
    """Where two scripts differ, in order; [] when they have the same lines."""
    found = []
    for how, first, last, new_first, new_last in opcodes(lines_of(before), lines_of(after)):
        if how == "delete":
            found.append(Hunk("removed", first + 1, last))
        elif how != "equal":
            found.append(Hunk("changed" if how == "replace" else "added", new_first + 1, new_last))
    return found


def unified(before: str, after: str, context: int = 3) -> list[str]:
    """A unified diff without its two heading lines: "@@ -1,3 +1,4 @@", then lines that begin with " ", "-" or "+"."""
    old, new = lines_of(before), lines_of(after)
    lines: list[str] = []
    for group in _groups(opcodes(old, new), context):
        first, last = group[0], group[-1]
        lines.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@")
        for how, start, end, new_start, new_end in group:
            if how == "equal":
                lines += [f" {line}" for line in old[start:end]]
                continue
            lines += [f"-{line}" for line in old[start:end]]
            lines += [f"+{line}" for line in new[new_start:new_end]]
    return lines


def _range(start: int, end: int) -> str:
    """As diff(1) writes it: a range of no lines is named by the line before it."""
    if end - start == 1:
        return str(start + 1)
    return f"{start + (end > start)},{end - start}"


def _groups(found: list[Opcode], context: int) -> Iterator[list[Opcode]]:
    """Differences that share their context, with at most `context` equal lines around them."""
    group: list[Opcode] = []
    for place, (how, start, end, new_start, new_end) in enumerate(found):
        if how != "equal":
            group.append((how, start, end, new_start, new_end))
            continue
        head = 0 if not group else min(context, end - start)  # after what came before
        tail = 0 if place == len(found) - 1 else min(context, end - start)
        if group and head + tail >= end - start and place != len(found) - 1:
            group.append((how, start, end, new_start, new_end))
            continue
        if group:
            if head:
                group.append((how, start, start + head, new_start, new_start + head))
            yield group
        group = [(how, end - tail, end, new_end - tail, new_end)] if tail else []
    if group:
        yield group


def opcodes(old: list[str], new: list[str]) -> list[Opcode]:
    """As difflib's: (equal, replace, insert or delete; a range of old; a range of new), in order, covering both.

    Very long parts that differ are one replacement.
    """
    most = min(len(old), len(new))
    head = next((n for n in range(most) if old[n] != new[n]), most)
    tail = next((n for n in range(most - head) if old[-1 - n] != new[-1 - n]), most - head)
    ends = (len(old) - tail, len(new) - tail)
    found: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
    found += _middle(old, new, head, ends)
    if tail:
        found.append(("equal", ends[0], len(old), ends[1], len(new)))
    return found


def _middle(old: list[str], new: list[str], head: int, ends: tuple[int, int]) -> list[Opcode]:
    old_end, new_end = ends
    if head in (old_end, new_end):
        how = "insert" if head < new_end else "delete"
        return [] if head == old_end == new_end else [(how, head, old_end, head, new_end)]
    if max(old_end, new_end) - head > _MOST_LINES:
        return [("replace", head, old_end, head, new_end)]
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, old[head:old_end], new[head:new_end])
    return [(how, a + head, b + head, c + head, d + head) for how, a, b, c, d in matcher.get_opcodes()]
