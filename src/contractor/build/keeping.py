"""The workspace after a step, kept in the store: so that the next builds go on from there, or a person looks around."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contractor.core import digest
from contractor.core.errors import ContractorError

if TYPE_CHECKING:
    from contractor.build.bookkeeping import Bookkeeping
    from contractor.build.context import StepContext
    from contractor.plan.model import Action


def keep_workspace(context: StepContext, action: Action, *, base: bool) -> bool:
    """Keep the workspace under the name of its new state; False when there is nothing to keep it for."""
    place = context.place
    if action.after != action.key:
        place.at(action.after)  # emptied
        return False
    if base or context.options.variation is not None:
        place.workspace = action.key  # a base is its artifact, a verification its verdict: nobody needs the way
        return False
    place.save(action.key, action.before)
    return True


def keep_what_is_left(context: StepContext, books: Bookkeeping) -> str:
    """Keep the workspace as a step left it that did not succeed; the state's name, "" when there is none."""
    place = context.place
    full = context.exit is not None and context.exit.limit in ("disk", "files", "disk-full")
    passing = books.parent or context.options.variation is not None  # nothing below it is kept
    if passing or not place.started or place.workspace is not None or full:
        return ""
    name = digest.of_value({"left": books.id, "step": context.index})
    books.use(name)
    try:
        place.save(name, context.action.before)
    except ContractorError as trouble:
        books.notice(f"the workspace of the failed step could not be kept: {trouble.message}", "warning")
        return ""
    return name
