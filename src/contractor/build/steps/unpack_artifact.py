"""unpack-artifact: an artifact of this build, of a base, or of the store by digest, into the workspace.

With `archive` the tar itself is put there: in it a step, which is nobody's root, can read all files of a system tree
with their owners.
"""

from __future__ import annotations

import os

from contractor.build.context import StepContext
from contractor.build.export.artifacts import artifact_digest
from contractor.build.options import Made
from contractor.core.words import count
from contractor.spec.model import UnpackArtifact
from contractor.store.results import artifact_path


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, UnpackArtifact)
    digest = artifact_digest(context)
    fd = os.open(artifact_path(context.store, digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        limits = context.limits
        if action.archive:
            args = {"to": action.archive, "max_bytes": limits.disk, "epoch": context.action.inputs["epoch"]}
            context.place.call("unpack-file", args, [fd])
            context.say(f"{action.archive} is the archive of sha256:{digest}")
            return Made()
        args = {"to": action.to, "max_bytes": limits.disk, "max_files": limits.files, "own": True}
        done = context.place.call("unpack", args, [fd])
    finally:
        os.close(fd)
    context.say(f"unpacked {count(done['files'], 'file')} of sha256:{digest}")
    return Made()
