"""After a failure: what the specification asked to keep of the workspace, beside the record."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from contractor.build.context import StepContext
from contractor.build.globs import select
from contractor.core.errors import ContractorError
from contractor.core.words import count

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
        paths = _without_secrets(context, books, paths)
        if not paths:
            return
        path = f"{books.folder}/diagnostics.tar.zst"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            now = int(time.time()) + 1  # the files keep their times: they tell something
            done = context.place.call("pack", {"paths": paths, "epoch": now, "owners": False}, [fd])
        finally:
            os.close(fd)
        how = f"contractor artifacts get {books.id} --diagnostics -o DIR"
        books.notice(f"{count(done['files'], 'file')} kept for diagnosis: {how}")
    except (ContractorError, OSError) as trouble:
        books.notice(f"the diagnostics could not be kept: {trouble} (after: {error.message})", "warning")


def _without_secrets(context: StepContext, books: Bookkeeping, paths: list[bytes]) -> list[bytes]:
    """The paths but for those that have a secret in them, which is said."""
    if not context.secrets.values:
        return paths
    from contractor.build.secrets.leaks import find_leaks, in_words

    kept = paths
    while found := find_leaks(context.place, context.secrets.values, paths=kept):
        for leak in found:
            where = in_words(leak, context.secrets.values)
            books.notice(f"not kept for diagnosis, for it has the secret {leak.secret}: {where}", "warning")
        left = {leak.path for leak in found}
        kept = [path for path in kept if not any(path == gone or path.startswith(gone + b"/") for gone in left)]
    return kept
