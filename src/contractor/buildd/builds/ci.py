"""CI builds: the jobs of .launchpad.yaml, stage after stage, each in a copy of the source with a log of its own.

    /build/tree                      the clone            /build/jobs/NAME-INDEX/project   a job's copy of it
    status()["jobs"]["NAME:INDEX"]   {log, properties, output: {name: sha1}, result}, as each job ends
    filemap                          NAME:INDEX.log, NAME:INDEX.properties, NAME:INDEX:FILE

A failed job lets the others of its stage run, and no later stage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from contractor.buildd.arguments import Ci
from contractor.buildd.builds import ci_job
from contractor.buildd.builds.checkout import blame_source, check_out, find, package_fail, program, say_channels
from contractor.buildd.builds.ci_log import JobLog
from contractor.buildd.builds.launchpad_model import CiJob, Configuration
from contractor.buildd.builds.launchpad_yaml import FILE, load
from contractor.buildd.target.preparation import hosts_of
from contractor.buildd.target.target import Failed, Target, TargetFailed
from contractor.core.errors import Broken, OutOfLimits, Rejected

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
_CONFIGURATION_MAX = 1 << 20


def build(target: Target, arguments: Ci) -> str:
    """Fetch, then run what the manager asked for."""
    target.allow = tuple(dict.fromkeys([*target.allow, *hosts_of(arguments.package_repositories)]))
    say_channels(target, {name: channel for name, channel in arguments.channels.items() if channel})
    tree = check_out(target, arguments, "tree")
    configuration = _configuration(target, tree)
    stages = [[_wanted(configuration, name, index) for name, index in stage] for stage in arguments.jobs]
    if arguments.scan_malware and not program(target, "clamscan"):
        raise Failed(200, "clamscan is not in this image, and the results cannot be scanned without it")
    run = _Run(target, arguments, configuration)
    for number, stage in enumerate(stages, 1):
        failed = [job for job in stage if not run.job(job)]
        if failed:
            names = ", ".join(job_id(job) for job in failed)
            left = f"; {len(stages) - number} stages are left out" if number < len(stages) else ""
            raise package_fail(f"failed in stage {number}: {names}{left}")
    return "OK"


def job_id(job: CiJob) -> str:
    return f"{job.name}:{job.index}"


def _configuration(target: Target, tree: str) -> Configuration:
    if find(target, tree, FILE, "the configuration") != "file":
        raise package_fail(f"there is no {FILE} in the source")
    with blame_source():
        return load(target.read(f"{tree}/{FILE}", _CONFIGURATION_MAX))


def _wanted(configuration: Configuration, name: str, index: int) -> CiJob:
    jobs = configuration.jobs.get(name, ())
    if not 0 <= index < len(jobs):
        known = ", ".join(f"{name}:{job.index}" for name, jobs in configuration.jobs.items() for job in jobs)
        raise package_fail(f"{FILE} has no job {name[:80]}:{index}", hint=f"it has {known[:500] or 'none'}")
    return jobs[index]


class _Run:
    """The jobs of one build."""

    def __init__(self, target: Target, arguments: Ci, configuration: Configuration) -> None:
        self._target = target
        self._arguments = arguments
        self._configuration = configuration
        self._results: dict[str, dict[str, Any]] = {}

    def job(self, job: CiJob) -> bool:
        """Run a job, and tell how it ended; what only the builder is to blame for is raised."""
        target = self._target
        name = job_id(job)
        result: dict[str, Any] = {"result": FAILED}
        with self._log(name, result):
            target.log.line(f"\nRunning job {name}")
            try:
                ci_job.run(target, self._arguments, job, self._results)
                if job.output is not None:
                    self._collect(job, name, result)
                result["result"] = SUCCEEDED
            except TargetFailed as error:
                target.log.line(error.message)
            except (Rejected, OutOfLimits) as error:
                target.log.line("; ".join((error.message, *error.details)))
            except Failed as error:
                if error.status not in (200, 201, "PACKAGEFAIL"):
                    raise
                target.log.line(error.message)
            target.log.line(f"Job {name}: {result['result']}")
        self._results[name] = result
        target.extra(jobs={name: dict(result) for name, result in self._results.items()})
        return bool(result["result"] == SUCCEEDED)

    def _collect(self, job: CiJob, name: str, result: dict[str, Any]) -> None:
        assert job.output is not None
        properties = ci_job.properties(self._target, job, self._configuration.license)
        files = ci_job.output_files(self._target, job)
        if files and self._arguments.scan_malware:
            ci_job.scan(self._target, job, files)
        output = {}
        for short, path in files.items():
            if not self._target.result(path, f"{name}:{short}"):
                raise Broken(f"{path} went away while it was collected")
            output[short] = self._target.files[f"{name}:{short}"]
        self._target.result_bytes(f"{name}.properties", properties)
        result["properties"] = self._target.files[f"{name}.properties"]
        result["output"] = output

    @contextlib.contextmanager
    def _log(self, name: str, result: dict[str, Any]) -> Iterator[None]:
        """While the block lasts, what goes to the build's log goes to the job's as well."""
        target, main = self._target, self._target.log
        with JobLog(main, target.job.cache) as log:
            target.log = log
            try:
                yield
            finally:
                target.log = main
                log.close()
            target.result_path(f"{name}.log", log.path)
            result["log"] = target.files[f"{name}.log"]
