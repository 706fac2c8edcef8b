"""The `limits:` of a build and of a step."""

from __future__ import annotations

import msgspec

from contractor.spec import keys
from contractor.spec.model import Limits
from contractor.spec.nodes import Node
from contractor.spec.quantities import size_text

SMALLEST_SIZE = 4096  # a page; less is a forgotten unit


def load_limits(node: Node, base: Limits, *, step: bool) -> Limits:
    """The `limits:` of the build, or of a step on top of the build's."""
    values: dict[str, int | float] = {}
    for name, (key, value) in node.mapping("limits", keys.LIMITS).items():
        field, kind, of_step, about = keys.LIMITS[name]
        if step and not of_step:
            key.problem(f"{name} is a limit {about}, not of a step", "write it under limits: at the top")
            continue
        number = (
            value.duration(name) if kind == "duration" else value.size(name) if kind == "size" else value.integer(name)
        )
        if number is None or (number == 0 and name in keys.UNLIMITED):
            values |= {} if number is None else {field: number}
        elif number == 0:
            value.problem(f"{name} cannot be 0", "leave it out for the default")
        elif kind == "size" and number < SMALLEST_SIZE:
            hint = f"write {value.text}G or {value.text}M if that was meant; the least is {size_text(SMALLEST_SIZE)}"
            value.problem(f"{name} is {number} bytes: is a unit missing?", hint)
        else:
            values[field] = number
    return msgspec.structs.replace(base, **values)
