"""One job of a CI build: its packages, its commands, and what it leaves."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from contractor.build.globs import pattern
from contractor.buildd.arguments import Ci
from contractor.buildd.builds import dotenv
from contractor.buildd.builds.checkout import blame_source, find, join, package_fail, program
from contractor.buildd.builds.launchpad_model import CiJob, Repository
from contractor.buildd.target.files import User
from contractor.buildd.target.preparation import apt, install
from contractor.buildd.target.target import Failed, Target

JOBS = "/build/jobs"
# What a plugin runs where the job says no `run`; the program that the image must have for it.
PLUGINS = {
    "tox": ("tox", "tox"),
    "pyproject-build": ("pyproject-build", "pyproject-build"),
}
_PPA = "https://ppa.launchpadcontent.net"
_SECRET = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
_DYNAMIC_MAX = 1 << 20
_MOST_FILES = 100_000


def run(target: Target, arguments: Ci, job: CiJob, before: Mapping[str, Mapping[str, Any]]) -> None:
    """Run a job to its end. TargetFailed: a command failed; Failed: it cannot run here. before: earlier jobs."""
    _require_possible(arguments, job)
    folder = _folder(job)
    target.mkdir(folder)
    target.run(["cp", "-a", "--", "/build/tree", f"{folder}/project"], echo=False, check=True)
    user: User = "root" if job.root else "buildd"
    if not job.root:
        target.run(["chown", "-R", "buildd", "--", folder], echo=False, check=True)
    _prepare(target, arguments, job)
    if job.input is not None:
        _bring_input(target, job, before)
    env = {**arguments.environment_variables, **job.environment}
    for script in (job.run_before, job.run or PLUGINS.get(job.plugin, ("", ""))[0], job.run_after):
        if script:
            argv = ["bash", "--noprofile", "--norc", "-ec", script]
            target.run(argv, env=env, cwd=f"{folder}/project", user=user, network=True, check=True)


def _folder(job: CiJob) -> str:
    return f"{JOBS}/{job.name}-{job.index}"


def _require_possible(arguments: Ci, job: CiJob) -> None:
    if job.series != arguments.series:
        raise package_fail(f"the job is for {job.series}, and this target is {arguments.series}")
    if arguments.arch_tag not in job.architectures:
        raise package_fail(f"the job is for {', '.join(job.architectures)}, and this builder is {arguments.arch_tag}")
    if job.snaps:
        raise package_fail(f"snaps cannot be installed in this target: {', '.join(job.snaps)}")
    if job.plugin and job.plugin not in PLUGINS:
        raise package_fail(f"the plugin {job.plugin} is not supported", hint=f"there are {', '.join(PLUGINS)}")
    if not (job.run or job.plugin):
        raise package_fail("the job has neither run nor plugin")


def _prepare(target: Target, arguments: Ci, job: CiJob) -> None:
    """Repositories, packages, and the tool of the plugin."""
    lines = [*arguments.package_repositories]
    for repository in job.repositories:
        lines += _lines(repository, arguments.secrets)
    if lines:
        target.write("/etc/apt/sources.list.d/job.list", "".join(f"{line}\n" for line in lines).encode(), 0o600)
        apt(target, ["update"])
    try:
        install(target, job.packages)
    finally:
        if lines:
            target.remove("/etc/apt/sources.list.d/job.list")
    tool = PLUGINS.get(job.plugin, ("", ""))[1]
    if tool and not job.run and not program(target, tool):
        raise package_fail(
            f"the plugin {job.plugin} needs the program {tool}, which is not in this image",
            hint=f"name its package in `packages`, or build with an image that has {tool}",
        )


def _lines(repository: Repository, secrets: Mapping[str, str]) -> list[str]:
    """Lines of sources.list. Failed: a secret is not there."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in secrets:
            raise package_fail(f"package-repositories: there is no secret {found[1]}")
        return secrets[found[1]]

    url = _SECRET.sub(value, repository.url)
    if repository.ppa:
        owner, _, rest = repository.ppa.partition("/")
        distribution, _, name = rest.rpartition("/")
        url = f"{_PPA}/{owner}/{name}/{distribution or 'ubuntu'}"
    option = "" if repository.trusted is None else f"[trusted={'yes' if repository.trusted else 'no'}] "
    components = " ".join(repository.components or ("main",))
    return [f"{kind} {option}{url} {suite} {components}" for kind in repository.formats for suite in repository.suites]


def _bring_input(target: Target, job: CiJob, before: Mapping[str, Mapping[str, Any]]) -> None:
    """The results of earlier jobs of a name, as files/ and properties of a folder in the source."""
    assert job.input is not None
    top = f"{_folder(job)}/project"
    find(target, top, job.input.target_directory, "target-directory")
    folder = join(top, job.input.target_directory)
    found = {key: result for key, result in before.items() if key.rpartition(":")[0] == job.input.job_name}
    if not found:
        raise package_fail(f"input: no job {job.input.job_name} ran before this one")
    properties: dict[str, Any] = {}
    for result in found.values():
        for name, sha1 in result.get("output", {}).items():
            target.add_file(f"{target.job.cache}/{sha1}", f"{folder}/files/{name}")
        if "properties" in result:
            with open(f"{target.job.cache}/{result['properties']}", "rb") as file:
                properties.update(json.load(file))
    target.write(f"{folder}/properties", json.dumps(properties).encode())


def properties(target: Target, job: CiJob, license_: Mapping[str, str]) -> bytes:
    """The job's properties as JSON, with those that it wrote itself."""
    assert job.output is not None
    found: dict[str, Any] = dict(job.output.properties)
    if license_:
        found.setdefault("license", dict(license_))
    if job.output.dynamic_properties:
        top = f"{_folder(job)}/project"
        path = job.output.dynamic_properties
        if find(target, top, path, "dynamic-properties") != "file":
            raise package_fail(f"dynamic-properties: there is no file {path}")
        with blame_source():
            text = target.read(join(top, path), _DYNAMIC_MAX).decode(errors="replace")
        try:
            dynamic = dotenv.read(text)
        except ValueError as error:
            raise package_fail(f"dynamic-properties: {path}: {error}") from error
        for name, value in dynamic.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
    return json.dumps(found, sort_keys=True).encode()


def output_files(target: Target, job: CiJob) -> dict[str, str]:
    """Name of a result -> its path in the target. The folder above the source may be named, nothing above that.

    Links are no results, and none is followed. A name that comes twice becomes the path with dashes.
    """
    assert job.output is not None
    folder = _folder(job)
    every = [os.fsencode(path) for path in target.call("files", path=folder, limit=_MOST_FILES)]
    chosen: dict[bytes, None] = {}
    for glob in job.output.paths:
        below = posixpath.normpath(posixpath.join("project", glob))
        if below.startswith("../") or below in ("..", ".") or glob.startswith("/"):
            raise package_fail(f"output: the path {glob!r} leads out of the source")
        expression = pattern(below)
        matched = [path for path in every if path == os.fsencode(below) or expression.match(path)]
        if not matched:
            target.log.line(f"output: no file matches {glob}")
        chosen.update(dict.fromkeys(matched))
    names: dict[str, str] = {}
    for path in sorted(os.fsdecode(path) for path in chosen):
        short = posixpath.basename(path)
        names[path.replace("/", "-") if short in names else short] = f"{folder}/{path}"
    return names


def scan(target: Target, job: CiJob, files: Mapping[str, str]) -> None:
    """Failed: one of the results has something in it that clamscan knows."""
    if target.run(["clamscan", "--no-summary", "--", *files.values()]).code:
        raise Failed(201, f"clamscan objects to a result of {job.name}:{job.index}")
