"""The step that is meant: by number, by name, or by the beginning of its name. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contractor.core.errors import Rejected


def find_step(names: Sequence[str], text: str, where: str) -> int:
    """The position of a step. names: all steps' names, in order; where: what has them, as "the plan of hello".

    A name goes before a number, a number before a beginning (of which case does not matter). Rejected, with the steps
    listed: none fits, or several do.
    """
    named = [position for position, name in enumerate(names) if name == text]
    if not named and text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= len(names):
        return int(text) - 1
    fits = named or [position for position, name in enumerate(names) if text and name.lower().startswith(text.lower())]
    if len(fits) == 1:
        return fits[0]
    if fits:
        details = tuple(f"{position + 1}. {names[position]}" for position in fits[:20])
        raise Rejected(f"{text!r} fits {len(fits)} steps of {where}", details=details, hint="give the number")
    from difflib import get_close_matches

    near = get_close_matches(text, names, 1, 0.5)
    details = tuple(f"{number}. {name}" for number, name in enumerate(names, 1))
    hint = f"did you mean '{near[0]}'?" if near else "give a step's number, its name, or how its name begins"
    raise Rejected(f"{where} has no step {text!r}", details=details, hint=hint)
