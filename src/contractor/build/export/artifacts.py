"""From an action's artifact (the key of who makes it, or a digest) to bytes that are in the store."""

from __future__ import annotations

import os

from contractor.build.context import StepContext
from contractor.core.errors import Rejected
from contractor.store.results import Results, artifact_path


def artifact_digest(context: StepContext) -> str:
    """The digest of the artifact that the context's action reads; Rejected when the store does not have it."""
    wanted = context.action.artifact
    result = Results(context.store, "").read(wanted)
    digest = result.artifact.digest if result is not None and result.artifact is not None else wanted
    if not os.path.exists(artifact_path(context.store, digest)):
        raise Rejected(
            f"the artifact sha256:{digest} is not in the store",
            hint="`contractor artifacts list` shows what is there; build what makes it first",
        )
    return digest
