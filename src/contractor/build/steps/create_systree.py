"""create-systree: an artifact as a new system tree: unpacked once as a layer, mounted ever after.

A base that has just been made is not even unpacked: the workspace that it was packed from has become the layer.
"""

from __future__ import annotations

from contractor.build.context import StepContext
from contractor.build.export.artifacts import artifact_digest
from contractor.build.options import Made
from contractor.store.results import artifact_path

_LARGEST = 64 << 30  # bytes of an unpacked tree, when the build has no disk limit to hold it


def run(context: StepContext) -> Made:
    digest = artifact_digest(context)
    if not context.tree_made:
        archive = artifact_path(context.store, digest)
        context.place.unpack_layer(archive, context.action.key, context.limits.disk or _LARGEST)
    context.say(f"system tree of sha256:{digest}")
    return Made()
