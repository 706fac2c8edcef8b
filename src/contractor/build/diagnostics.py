"""After a failure: what the specification asked to keep of the workspace, beside the record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from contractor.build.context import StepContext
from contractor.build.globs import select
from contractor.core.errors import ContractorError

if TYPE_CHECKING:
    from contractor.build.bookkeeping import Bookkeeping


def keep_diagnostics(context: StepContext, books: Bookkeeping, error: ContractorError) -> None:
    """Pack the matching files, once a build: a shell after it changes nothing of them.

    A trouble here is said, and never hides the build's own error.
    """
    if context.diagnosed:
        return
    context.diagnosed = True
    globs = [*context.plan.diagnostics]
    if hasattr(context, "action"):
        globs += context.action.step.diagnostics
    if not globs or not context.place.started:
        return
    try:
        paths, _empty = select(context.place.call("list"), globs)
        if not paths:
            return
        path = f"{books.folder}/diagnostics.tar.zst"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            done = context.place.call("pack", {"paths": paths, "epoch": context.plan.epoch, "owners": False}, [fd])
        finally:
            os.close(fd)
        books.notice(f"{done['files']} files kept for diagnosis: {path}")
    except (ContractorError, OSError) as trouble:
        books.notice(f"the diagnostics could not be kept: {trouble} (after: {error.message})", "warning")
