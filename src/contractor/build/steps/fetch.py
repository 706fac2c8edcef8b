"""fetch: one file by URL and sha256, kept in the store by that digest, placed in the workspace."""

from __future__ import annotations

from contractor.build.context import StepContext
from contractor.build.options import Made
from contractor.build.source.download import fetched_blob
from contractor.plan.planner import fetch_name
from contractor.spec.model import Fetch


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Fetch)
    with fetched_blob(context, action.url, action.sha256) as blob:
        to = action.to or fetch_name(action.url)
        to = to + fetch_name(action.url) if to.endswith("/") else to
        args = {"to": to, "executable": False, "epoch": context.plan.epoch}
        context.place.call("place", args, [blob.fileno()])
    return Made()
