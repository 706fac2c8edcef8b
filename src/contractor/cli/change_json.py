"""Differences of steps as JSON values: what `why --json` and `diff --json` share. Numbers of steps count from 1."""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.cli.change_text import Sources
from contractor.plan import words
from contractor.plan.causes import Cause, Explanation
from contractor.plan.changes import Change


def explanation_json(found: Explanation, sources: Sources) -> dict[str, Any]:
    """`changes`, and `caused`: inputs that other steps made, with the steps where that began."""
    caused = [
        {
            "input": chained.input,
            "before": chained.before,
            "after": chained.after,
            "causes": [_cause_json(cause, sources) for cause in chained.causes],
        }
        for chained in found.chained
    ]
    return {"changes": [change_json(change, sources) for change in found.changes], "caused": caused}


def _cause_json(cause: Cause, sources: Sources) -> dict[str, Any]:
    return {
        "how": cause.how,
        "number": cause.number or None,
        "old_number": cause.old or None,
        "step": cause.name,
        "action": cause.action,
        "base": cause.base or None,
        "changes": [change_json(change, sources) for change in cause.changes],
    }


def change_json(change: Change, sources: Sources) -> dict[str, Any]:
    """A change with its words; of a source whose archives are there, the files that differ."""
    made = {**msgspec.to_builtins(change), "text": words.brief(change)}
    members = sources.get((change.before, change.after)) if change.input == "source" else None
    if members is not None:
        made["files"] = msgspec.to_builtins(members.changes)
        made["files_unknown"] = members.why_not or None
    return made
