"""Differences in a few words: "packages grew by libfoo; script line 3 changed; tree changed because of step 2 (apt)".

Values come from specifications and are shortened, not cleaned: what shows them to people does that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from contractor.core.words import count
from contractor.plan import changes
from contractor.plan.causes import SELF, Cause, Chained, Explanation, is_epoch
from contractor.plan.changes import Change, Hunk
from contractor.plan.environment import PROXY

_MOST = 4  # differences that are told one by one
_ITEMS = 6  # of a list
_SHORT = 40  # characters of a value
_NAMES = {"hosts": "network", "executable": "the executable", "recommends": "recommended packages"}
_TEXTS = ("script",)
_DIGITS = 12  # of a digest
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def sentence(found: Explanation) -> str:
    """All of an explanation in a line; "" when there is nothing to explain.

    The epoch, which every step sees, is told where it is the only thing, and with the source that it comes from.
    """
    own = worth_telling(found.changes)
    source = any(change.input == "source" for change in own)
    if found.chained or not all(map(is_epoch, own)):
        own = [change for change in own if source or not is_epoch(change)]
    texts = [brief(change) for change in own]
    more = [f"{len(texts) - _MOST} more differences"] if len(texts) > _MOST else []
    return "; ".join([*texts[:_MOST], *more, *because(found.chained)])


def worth_telling(found: Sequence[Change]) -> list[Change]:
    """Without what follows from another difference: the proxy's variables, and the name that a script gave."""
    hosts = any(change.input == "hosts" for change in found)
    scripts = [str(change.after) for change in found if change.name == "script"]

    def follows(change: Change) -> bool:
        if change.input != "env":
            return False
        if change.name == "CONTRACTOR_STEP":
            return any(str(change.after).removesuffix("...") in script for script in scripts)
        return hosts and change.name in PROXY

    return sorted((change for change in found if not follows(change)), key=_rank)


def _rank(change: Change) -> tuple[bool, bool, str]:
    return is_epoch(change), change.input == "env", ""


def because(chained: Sequence[Chained]) -> list[str]:
    """One text for all inputs that other steps made, [] for none."""
    if not chained:
        return []
    if not any(one.causes for one in chained):  # what a person's shell left has no step
        return [f"{one.input} changed ({_digits(one.before)} -> {_digits(one.after)})" for one in chained]
    causes = {(cause.base, cause.number, cause.old): cause for one in chained for cause in one.causes}
    return [f"{' and '.join(one.input for one in chained)} changed{_origin(list(causes.values()))}"]


def _origin(causes: Sequence[Cause]) -> str:
    """One step is named; several are numbers, which the plan's table explains."""
    if len(causes) == 1:
        verb = {"removed": ", which is gone", "added": ", which is new", "moved": ", which moved"}
        return f" because of {called(causes[0])}{verb.get(causes[0].how, '')}"
    if any(cause.base or not cause.number for cause in causes):
        return f" because of {called(causes[0])} and {count(len(causes) - 1, 'more step')}"
    numbers = [str(number) for number in sorted({cause.number for cause in causes})]
    more = [f"{len(numbers) - _MOST} more"] if len(numbers) > _MOST + 1 else numbers[_MOST:]
    *head, tail = [*numbers[:_MOST], *more]
    return f" because of steps {', '.join(head)} and {tail}"


def called(cause: Cause) -> str:
    """ "step 2 (apt gcc)"; of a base, or of the earlier build, when it is not in this plan."""
    number = cause.number or cause.old
    base = f" of the base {cause.base}" if cause.base else ""
    earlier = "" if cause.number else "the old "
    return f"{earlier}step {number} ({short(cause.name)}){base}"


def brief(change: Change) -> str:
    """One difference."""
    if change == SELF:
        return "this version of Contractor builds it differently"
    name = label(change)
    before, after = change.before, change.after
    if change.input == "lock":
        return {"added": "it is locked now", "removed": "it is not locked any more"}.get(change.how, "its lock changed")
    if change.input == "verify":  # again.py gives such steps keys of their own
        return "it was built again by `contractor verify`"
    if is_epoch(change):
        return f"epoch {plain(before)} -> {plain(after)}"
    if change.input == "env":
        return _variable(change)
    if isinstance(before, str) and isinstance(after, str) and change.name in _TEXTS:
        return f"{name} {script_words(before, after)}"
    if isinstance(before, list) and isinstance(after, list):
        return f"{name} {list_words(before, after)}"
    if change.input == "executable":
        return f"{name} changed"
    if change.input == "source":
        return f"source changed ({_digits(before)} -> {_digits(after)})"
    return f"{name} {_digits(before)} -> {_digits(after)}"


def label(change: Change) -> str:
    """What people call the field: "script", "network", "env CC"."""
    if change.input == "action" or change == Change("artifact", "base", change.how, change.before, change.after):
        return _NAMES.get(change.name, change.name or "action")
    return f"{change.input} {change.name}" if change.name else _NAMES.get(change.input, change.input)


def _variable(change: Change) -> str:
    if change.name == "CONTRACTOR_STEP":
        return f"renamed from {short(plain(change.before))}"
    if change.how == "added":
        return f"env {change.name}={short(str(change.after))} added"
    if change.how == "removed":
        return f"env {change.name} removed"
    return f"env {change.name} {short(plain(change.before))} -> {short(plain(change.after))}"


def script_words(before: str, after: str) -> str:
    """ "line 3 changed", "lines 2-4 changed, line 9 removed"; a removed line has the number that it had."""
    found = changes.hunks(before, after)
    if not found:
        return "has another end of its last line"
    if len(found) > _MOST:
        return f"changed in {len(found)} places, lines {found[0].first} to {found[-1].last}"
    texts = []
    for how in dict.fromkeys(hunk.how for hunk in found):
        parts = [hunk for hunk in found if hunk.how == how]
        many = len(parts) > 1 or parts[0].last > parts[0].first
        texts.append(f"{'lines' if many else 'line'} {', '.join(map(_range, parts))} {how}")
    return ", ".join(texts)


def _range(hunk: Hunk) -> str:
    return str(hunk.first) if hunk.first == hunk.last else f"{hunk.first}-{hunk.last}"


def list_words(before: list[Any], after: list[Any]) -> str:
    """ "grew by a and lost b"."""
    added, removed = changes.items(before, after)
    grew = f"grew by {_some(added)}" if added else ""
    lost = f"lost {_some(removed)}" if removed else ""
    return " and ".join(filter(None, (grew, lost))) or "in another order"


def _some(items: Sequence[str]) -> str:
    more = [f"{len(items) - _ITEMS} more"] if len(items) > _ITEMS else []
    return ", ".join([*(short(item) for item in items[:_ITEMS]), *more])


def plain(value: Any) -> str:
    """A JSON value as people write it."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _digits(value: Any) -> str:
    """A short value; of a digest or a commit its first digits."""
    text = plain(value)
    return text[:_DIGITS] if _DIGEST.fullmatch(text) else short(text)


def short(text: str) -> str:
    """One line of at most 40 characters."""
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
