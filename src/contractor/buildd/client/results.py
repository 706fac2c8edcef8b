"""The results of a build that has ended: from the builder's cache into a folder."""

from __future__ import annotations

from typing import Any

from contractor.buildd.client.answers import Status, Unfit, ci_jobs
from contractor.buildd.client.builder import Builder
from contractor.buildd.client.files import Fetched, check_names, download
from contractor.buildd.client.folder import Folder
from contractor.buildd.client.watch import Watcher
from contractor.buildd.model import BuildStatus
from contractor.core.errors import Broken, ContractorError
from contractor.core.values import Value
from contractor.core.words import count


class End(Value, frozen=True):
    """How a build ended. log: its path here, "" when there is none."""

    status: BuildStatus
    dependencies: str
    fetched: list[Fetched]
    log: str
    extra: dict[str, Any]


def take(builder: Builder, status: Status, folder: Folder, log: str, watcher: Watcher) -> End:
    """The results of a build that has ended, into the folder. Raises Broken when some did not come; see `download`."""
    if status.ended is None:
        raise Broken(f"the builder at {builder.url} does not say how the build ended: it is {status.words}")
    if status.ended is BuildStatus.OK and status.files is None:
        raise Broken(
            f"the builder at {builder.url} says that the build is OK, but lists no files",
            hint="it was left as it is; its log may say more",
        )
    try:
        jobs = ci_jobs(status.extra)
    except Unfit as error:
        raise Broken(f"the builder's answer is wrong: {error}") from None
    parts: list[tuple[tuple[str, ...], dict[str, str]]] = [((), status.files or {})]
    for job in jobs:
        parts += [((job.name,), job.files), ((job.name, "output"), job.output)]
    for below, files in parts:
        check_names(files, below)
    fetched: list[Fetched] = []
    try:
        for below, files in parts:
            fetched += _fetch(builder, files, folder, below)
    except ContractorError:
        have = count(len(fetched), "file")
        watcher.say(f"{have} came; the builder keeps all of them: `contractor buildd fetch {builder.url}`")
        raise
    return End(status.ended, status.dependencies, fetched, log, status.extra)


def _fetch(builder: Builder, files: dict[str, str], folder: Folder, below: tuple[str, ...]) -> list[Fetched]:
    if below and files:
        with folder.below(below[0]) as inner:
            return _fetch(builder, files, inner, below[1:])
    return [download(builder, name, key, folder) for name, key in files.items()]
