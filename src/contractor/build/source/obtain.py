"""What a build takes besides packages, into the store before it runs: downloads by digest, commits of repositories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from contractor.build.options import Options
from contractor.build.source.download import download_blob
from contractor.build.source.git import clone_aside
from contractor.build.source.git_archive import archive_of
from contractor.plan.model import Plan
from contractor.sandbox.local import LocalSandbox
from contractor.spec import model
from contractor.store.layout import Store


class Input(NamedTuple):
    """Something that a step takes. sha256: of a download; commit: of a repository; limit: bytes that it may have."""

    given: model.Source | model.Fetch
    sha256: str = ""
    commit: str = ""
    limit: int = 0

    @property
    def what(self) -> str:
        """In words."""
        assert self.sha256 or isinstance(self.given, model.Source)
        if isinstance(self.given, model.Fetch) or self.sha256:
            return self.given.url
        return f"commit {self.commit[:12]} of {self.given.git}"


def inputs(plan: Plan) -> Iterator[Input]:
    """Of a plan's own steps; not of its bases."""
    for action in plan.actions:
        given, limit = action.step.action, action.step.limits.disk
        if isinstance(given, model.Fetch) or (isinstance(given, model.Source) and given.url):
            yield Input(given, sha256=given.sha256, limit=limit)
        elif isinstance(given, model.Source) and given.git:
            yield Input(given, commit=str(action.inputs["source"]))


def is_here(wanted: Input, store: Store) -> bool:
    return store.blobs.has(wanted.sha256) if wanted.sha256 else bool(archive_of(store, wanted.commit))


def obtain(wanted: Input, folder: str, store: Store, sandbox: LocalSandbox, options: Options) -> None:
    """Get it; folder: what a repository's path is relative to. Rejected: other bytes, or no such commit. Broken: it
    cannot be had."""
    if wanted.sha256:
        download_blob(store, wanted.given.url, wanted.sha256, wanted.limit, options)
    else:
        assert isinstance(wanted.given, model.Source)
        clone_aside(wanted.given, wanted.commit, folder, (store, sandbox), options)
