"""What the end of a step's command means, as an error with whose turn it is."""

from __future__ import annotations

from contractor.build.stray_words import without_network
from contractor.core.errors import Broken, ContractorError, Failed, OutOfLimits
from contractor.sandbox.spec import Exit, SandboxSpec
from contractor.spec.model import Limits
from contractor.spec.quantities import duration_text, size_text

_LIMIT_NAMES = {
    "time": ("ran longer than its limit of {time}", "step"),
    "memory": ("used more memory than its limit of {memory}", "step"),
    "disk": ("made the build use more disk than its limit of {disk}", "build"),
    "files": ("made the build hold more files than its limit of {files}", "build"),
    "processes": ("reached its limit of {processes} processes", "step"),
    "file-size": ("wrote a file larger than its limit of {file_size}", "step"),
}


def _in_words(limits: Limits) -> dict[str, str]:
    """The limits as a specification would write them."""
    sizes = {name: size_text(getattr(limits, name)) for name in ("memory", "disk", "file_size")}
    counts = {name: str(getattr(limits, name)) for name in ("files", "processes")}
    return {"time": duration_text(limits.time), **sizes, **counts}


def meaning(exit_: Exit, spec: SandboxSpec, name: str) -> ContractorError | None:
    """What the end of a command means: nothing when it succeeded, else whose turn it is."""
    if exit_.limit in _LIMIT_NAMES:
        text, whose = _LIMIT_NAMES[exit_.limit]
        return OutOfLimits(
            f"the step {name!r} {text.format(**_in_words(spec.limits))}",
            hint=f"raise `limits: {{{exit_.limit}: ...}}` of the {whose}, or find out why it needs that much",
        )
    if exit_.limit == "disk-full":
        return Broken(
            f"the disk of the store became full while the step {name!r} ran",
            hint="free some space (`contractor gc` frees the store's) and build again: finished steps are kept",
        )
    if not exit_.started:
        return Broken(
            f"the sandbox of the step {name!r} could not be set up (bwrap ended with {exit_.code})",
            hint="its message is at the end of the log; `contractor doctor` says what this machine can do",
        )
    if exit_.code == 0:
        return None
    if exit_.code in (126, 127):
        return Failed(
            f"the step {name!r} failed with exit code {exit_.code}: a program was not found or cannot be executed",
            hint="the last line names it; install its package with an `apt` step before this one",
        )
    killed = f", killed by signal {exit_.code - 128}" if 128 < exit_.code < 160 else ""
    details = () if spec.network else without_network(exit_)
    return Failed(f"the step {name!r} failed with exit code {exit_.code}{killed}", details=details)
