"""create-artifact: files of the workspace as a deterministic archive, named by the sha256 of its bytes.

An artifact that should hold a file and does not is a failure, whatever the steps before it returned.
"""

from __future__ import annotations

import os

from contractor.build.context import StepContext
from contractor.build.globs import select
from contractor.build.options import Made
from contractor.core.errors import Failed
from contractor.core.events import ArtifactInfo
from contractor.spec.model import CreateArtifact
from contractor.store.results import artifact_path


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, CreateArtifact)
    paths = None if action.files == ("**",) else _selected(context, action)
    if context.secrets.values:
        from contractor.build.secrets.leaks import require_none_packed

        require_none_packed(context.place, context.secrets.values, paths, action.name)
    temporary = context.store.path("blobs", f".artifact-{os.urandom(8).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        args = {"paths": paths, "epoch": context.action.inputs["epoch"], "owners": context.action.inputs["owners"]}
        done = context.place.call("pack", args, [fd])
        if paths is None and not done["files"]:
            raise Failed(f"the artifact {action.name} would be empty", hint="no step before it left a file")
        for path in done["skipped"]:
            context.notice(
                f"{os.fsdecode(path)!r} is a device or a socket and was left out of {action.name}", "warning"
            )
        stored = os.fstat(fd).st_size
        final = artifact_path(context.store, done["digest"])
        os.makedirs(os.path.dirname(final), 0o700, exist_ok=True)
        os.rename(temporary, final)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    artifact = ArtifactInfo(
        name=action.name,
        digest=done["digest"],
        size=done["size"],
        files=done["files"],
        stored=stored,
        format=action.format,
    )
    return Made(artifact=artifact, whole=paths is None and not done["skipped"])


def _selected(context: StepContext, action: CreateArtifact) -> list[bytes]:
    entries = context.place.call("list")
    paths, empty = select(entries, action.files)
    if empty:
        near = [os.fsdecode(path) for path, _folder in entries if b"/" not in path][:20]
        raise Failed(
            f"the artifact {action.name} lacks files: nothing in the workspace matches {', '.join(map(repr, empty))}",
            details=(f"the workspace's top has: {', '.join(map(repr, near)) or 'nothing'}",),
            hint="a step before it was to make them",
        )
    return paths
