"""What `.launchpad.yaml` says, as values: repositories, what jobs take and leave, the jobs and their stages.

A job's index is its place in the list that its matrix makes; its architectures are a list that one copy of the job runs
on.
"""

from __future__ import annotations

from contractor.core.values import Value


class Repository(Value, frozen=True):
    """Where apt finds more packages. url may have {{names}} of secrets in it."""

    formats: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    url: str = ""
    ppa: str = ""
    trusted: bool | None = None


class Output(Value, frozen=True):
    """paths: patterns, relative to the source. dynamic_properties: a file of NAME=value lines. expires: as written."""

    paths: tuple[str, ...] = ()
    distribute: str = ""
    channels: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    dynamic_properties: str = ""
    expires: str = ""


class Input(Value, frozen=True):
    job_name: str
    target_directory: str


class CiJob(Value, frozen=True):
    """One job of the expanded list. root: whether its commands run as root."""

    name: str
    index: int
    series: str
    architectures: tuple[str, ...]
    packages: tuple[str, ...] = ()
    snaps: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    environment: dict[str, str] = {}
    plugin: str = ""
    run_before: str = ""
    run: str = ""
    run_after: str = ""
    output: Output | None = None
    input: Input | None = None
    root: bool = True


class Configuration(Value, frozen=True):
    """stages: names of jobs. jobs: of each name, in the order of their indices."""

    stages: tuple[tuple[str, ...], ...]
    jobs: dict[str, tuple[CiJob, ...]]
    license: dict[str, str] = {}
