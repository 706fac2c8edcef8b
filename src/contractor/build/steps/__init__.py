"""One small module an action: each has `run(context) -> Made`. Loaded when the first such step runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contractor.build.context import StepContext
    from contractor.build.options import Made


def run(context: StepContext) -> Made:
    """Run the context's action."""
    module = import_module(f"{__name__}.{context.action.kind.replace('-', '_')}")
    made: Made = module.run(context)
    return made
