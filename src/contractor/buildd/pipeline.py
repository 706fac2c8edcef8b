"""The steps of a build, INIT to CLEANUP, in the order and with the words of the protocol.

    INIT UNPACK MOUNT [SOURCES] [KEYS] UPDATE  the type's own step  REAP UMOUNT CLEANUP

A failure before the type's own step is CHROOTFAIL (BUILDERFAIL for INIT), one after it BUILDERFAIL unless the build has
failed already. Where an installation of launchpad-buildd is taken over, its in-target runs all but the type's own step.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from contractor.buildd.builds import TYPES, BuildType
from contractor.buildd.model import BuildStatus, Outcome
from contractor.buildd.target import installed, preparation
from contractor.buildd.target.target import Failed, Target, TargetFailed
from contractor.core.errors import Aborted, Broken, ContractorError, OutOfLimits, Rejected

if TYPE_CHECKING:
    from contractor.buildd.log import Log

OnStep = Callable[[str], None]


class Step(NamedTuple):
    """A step before the build. program: what the RUN: line says, without the options that all have."""

    name: str
    program: tuple[str, ...]
    run: Callable[[Target], None]
    status: BuildStatus = BuildStatus.CHROOTFAIL


def run(target: Target, on_step: OnStep) -> Outcome:
    """Do the whole build; what can go wrong is in the outcome, and in words in the log."""
    row = TYPES[target.job.tag]
    dependencies = ""
    try:
        status = _prepare(target, row, on_step)
        if status is None:
            status, dependencies = _build(target, row, on_step)
    except Aborted as error:
        status = BuildStatus.ABORTED
        say(target.log, error)
    except OSError as error:  # the log cannot be written, say
        status = BuildStatus.BUILDERFAIL
        say(target.log, error)
    status = _clean_up(target, row, status, on_step)
    if target.aborted and status is not BuildStatus.BUILDERFAIL:
        status = BuildStatus.ABORTED
    files = target.files if status.has_files else {}  # what a failed build has left is shown as well
    return Outcome(status, files, dependencies if status is BuildStatus.DEPFAIL else "")


def _steps(target: Target) -> Iterator[Step]:
    arguments = target.arguments
    yield Step("INIT", ("builder-prep",), preparation.begin, BuildStatus.BUILDERFAIL)
    image = ("--image-type", arguments.image_type, target.job.image_name)
    yield Step("UNPACK", ("in-target", "unpack-chroot", *image), lambda target: target.unpack())
    yield Step("MOUNT", ("in-target", "mount-chroot"), preparation.mount)
    if arguments.archives:
        yield Step("SOURCES", ("in-target", "override-sources-list", *arguments.archives), preparation.sources)
    if arguments.trusted_keys:
        yield Step("KEYS", ("in-target", "add-trusted-keys"), preparation.keys)
    yield Step("UPDATE", ("in-target", "update-debian-chroot"), preparation.update)


def _prepare(target: Target, row: BuildType, on_step: OnStep) -> BuildStatus | None:
    """The steps before the type's own; how the build ended, if it did."""
    if target.arguments.build_url:
        target.log.line(f"Building {target.arguments.build_url}")
    target.installation = installation = installed.find(target, _backend(target, row))
    for step in _steps(target):
        target.tick()
        on_step(step.name)
        command = _command(target, row, step.program)
        target.log.run(command)
        try:
            if installation is not None and installation.does(step.name):
                installation.prepare(step.name, command)
            else:
                step.run(target)
        except Aborted:
            raise
        except Exception as error:  # whatever it is, the clean-up comes next
            target.tick()  # the supervisor's sudden end is no failure when it was we who ended it
            say(target.log, error)
            return step.status if isinstance(error, ContractorError) else BuildStatus.BUILDERFAIL
    return None


def _build(target: Target, row: BuildType, on_step: OnStep) -> tuple[BuildStatus, str]:
    """The type's own step: how the build ended, and what it waits for."""
    target.tick()
    on_step(target.job.tag.upper().replace("-", "_"))
    target.log.run(_command(target, row, ("in-target", target.job.tag)))
    try:
        preparation.trust_fetch_service(target)
        module = importlib.import_module(row.module)
        return BuildStatus(module.build(target, target.arguments)), ""
    except Aborted:
        raise
    except Failed as failure:
        target.tick()
        say(target.log, failure)
        if isinstance(failure.status, int):
            return row.status_of(failure.status), ""
        return BuildStatus(failure.status), failure.dependencies
    except TargetFailed as error:
        target.tick()
        say(target.log, error)
        return row.status_of(201), ""
    except (Rejected, OutOfLimits) as error:  # the image's fault, or the source's
        target.tick()
        say(target.log, error)
        return BuildStatus.PACKAGEFAIL, ""
    except Exception as error:  # a build type that is wrong must not leave its target behind
        target.tick()
        say(target.log, error)
        return BuildStatus.BUILDERFAIL, ""


def _clean_up(target: Target, row: BuildType, status: BuildStatus, on_step: OnStep) -> BuildStatus:
    """Nothing of the build is left on this machine; unless the machine is thrown away anyway."""
    steps = [("REAP", "scan-for-processes")]
    if not target.arguments.fast_cleanup:
        steps += [("UMOUNT", "umount-chroot"), ("CLEANUP", "remove-build")]
    trouble = _trying(target.revoke_proxy_token)
    for name, program in steps:
        command = _command(target, row, ("in-target", program))
        trouble = _trying(partial(_clean_up_step, target, name, command, on_step)) or trouble
        if target.installation is not None:
            trouble = target.installation.clean_up(command) or trouble
    trouble = target.close(keep=target.arguments.fast_cleanup) or trouble
    if trouble and not target.aborted:
        say(target.log, Broken(f"the target could not be removed: {trouble}"))
        return BuildStatus.BUILDERFAIL if status is BuildStatus.OK else status
    return status


def _clean_up_step(target: Target, name: str, command: tuple[str, ...], on_step: OnStep) -> None:
    on_step(name)
    target.log.run(command)
    if name == "REAP" and target.installation is None:
        target.log.line("Nothing is left to kill: each command's processes end with it.")
    elif name == "UMOUNT":
        target.unmount()


def _trying(do: Callable[[], None]) -> str:
    """Do it, whatever comes next; what went wrong, or nothing."""
    try:
        do()
    except (ContractorError, OSError) as error:
        return str(error)
    return ""


def _command(target: Target, row: BuildType, program: tuple[str, ...]) -> tuple[str, ...]:
    """What the RUN: line of a step says: the names and options of the protocol's own programs."""
    if program[0] != "in-target":
        return program
    arguments = target.arguments
    options = [f"--backend={_backend(target, row)}", f"--series={arguments.series}", f"--arch={arguments.arch_tag}"]
    options += [f"--constraint={constraint}" for constraint in arguments.builder_constraints]
    return (*program[:2], *options, target.job.id, *program[2:])


def _backend(target: Target, row: BuildType) -> str:
    return "lxd" if target.arguments.image_type == "lxd" else row.backend


def say(log: Log, error: Exception) -> None:
    """An error as lines of the log."""
    try:
        if isinstance(error, ContractorError):
            log.line(error.message)
            for line in error.details:
                log.line(f"  {line}")
            if error.hint:
                log.line(f"hint: {error.hint}")
        elif isinstance(error, OSError):
            log.line(str(error))
        else:
            import traceback

            log.line("".join(traceback.format_exception(error)))
    except OSError:
        return  # the disk is full: what could be said of it is not kept
