"""source: what the workspace begins with: a folder's files, a git commit, or an archive by URL and sha256."""

from __future__ import annotations

from contractor.build.context import StepContext
from contractor.build.options import Made
from contractor.build.source.download import fetched_blob
from contractor.build.source.folder import source_blob
from contractor.build.source.git import clone_into_workspace
from contractor.core.words import count
from contractor.spec.model import Source


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Source)
    if action.git:
        return clone_into_workspace(context, action, context.action.inputs["source"])
    limits = context.limits
    args = {"to": action.to, "max_bytes": limits.disk, "max_files": limits.files, "own": not action.url}
    if action.url:
        with fetched_blob(context, action.url, action.sha256) as blob:
            done = context.place.call("unpack", args, [blob.fileno()])
    else:
        with source_blob(context, context.action.inputs["source"]) as blob:
            done = context.place.call("unpack", args, [blob.fileno()])
    context.say(f"{count(done['files'], 'file')}, sha256:{context.action.inputs['source']}")
    return Made()
