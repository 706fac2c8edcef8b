"""empty-workspace: nothing in the workspace but what `keep` names."""

from __future__ import annotations

import os

from contractor.build.context import StepContext
from contractor.build.globs import select
from contractor.build.options import Made
from contractor.spec.model import EmptyWorkspace


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, EmptyWorkspace)
    if action.keep:
        kept, _empty = select(context.place.call("list"), action.keep)
        context.place.call("empty", {"keep": [os.fsdecode(path) for path in kept]})
    return Made()
