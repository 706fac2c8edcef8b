"""Which step's sandbox may be set up while the one before it runs (sandbox/ahead.py): a pure decision.

A wrong guess costs the time of setting it up and nothing else: what is not run is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contractor.build.steer import Steering
    from contractor.plan.model import Action, Plan


def following(plan: Plan, index: int, steering: Steering) -> Action | None:
    """The action after this one, if both are shell steps in the same tree, which is mounted already, and the next one
    needs no network of its own, has no secrets, which would lie ready, and waits for nobody else.

    None where a person may come in between.
    """
    if steering.shells or steering.trial is not None or not steering.reaches(index + 1):
        return None
    if index + 1 >= len(plan.actions):
        return None
    this, after = plan.actions[index], plan.actions[index + 1]
    if not this.kind == after.kind == "shell" or this.layers != after.layers:
        return None
    return None if after.step.network or after.step.secrets or after.step.exclusive else after
