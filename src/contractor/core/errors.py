"""One hierarchy of errors: message, details, hint; and the table of outcomes and exit codes.

An error is built from facts where it is known; only `cli/main.py` makes text of it.
The outcome says whose turn it is: see the table in ARCHITECTURE.md.
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import ClassVar


class Outcome(StrEnum):
    """How a build or a step ended. The value is what events, records and `--json` print."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    NOT_REPRODUCIBLE = "not-reproducible"
    OUT_OF_LIMITS = "out-of-limits"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"
    ABORTED = "aborted"


EXIT_CODES: dict[Outcome, int] = {
    Outcome.SUCCEEDED: 0,
    Outcome.FAILED: 1,
    Outcome.REJECTED: 2,
    Outcome.NOT_REPRODUCIBLE: 3,
    Outcome.OUT_OF_LIMITS: 4,
    Outcome.UNAVAILABLE: 5,
    Outcome.BROKEN: 6,
    Outcome.ABORTED: 130,
}


class ContractorError(Exception):
    """An error that names the place, the reason and the way out.

    message: one sentence without a full stop; details: further lines; hint: what to do next.
    """

    outcome: ClassVar[Outcome] = Outcome.BROKEN

    def __init__(self, message: str, *, details: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.hint = hint

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


class Failed(ContractorError):
    """A step's command said no: the project's author acts."""

    outcome = Outcome.FAILED


class Rejected(ContractorError):
    """A bad specification, parameter or input, or an output that was not declared."""

    outcome = Outcome.REJECTED


class NotReproducible(ContractorError):
    """The same plan gave other bytes."""

    outcome = Outcome.NOT_REPRODUCIBLE


class OutOfLimits(ContractorError):
    """The plan's own time, memory, disk, process, file or log limit was reached."""

    outcome = Outcome.OUT_OF_LIMITS


class Unavailable(ContractorError):
    """This machine cannot isolate as asked, or lacks a capability."""

    outcome = Outcome.UNAVAILABLE


class Broken(ContractorError):
    """The sandbox, the store, the network or a mirror failed: not the author's fault."""

    outcome = Outcome.BROKEN


class Aborted(ContractorError):
    """Someone asked for it to stop."""

    outcome = Outcome.ABORTED


def from_os_error(error: OSError) -> ContractorError:
    """What the operating system refused, where nobody knew better: a full disk, or a broken machine."""
    place = f": {error.filename}" if error.filename is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Broken(
            f"the disk is full{place}",
            hint="free some space (`contractor gc` frees the store's) and build again: finished steps are kept",
        )
    return Broken(f"{error.strerror or error}{place}")


def from_exception(fault: Exception) -> ContractorError:
    """What the operating system refused, or a fault of this program: its place, no values, which may be secret."""
    if isinstance(fault, OSError):
        return from_os_error(fault)
    trace, places = fault.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return Broken(
        f"a fault in Contractor itself: {type(fault).__name__}",
        details=tuple(places[-6:]),
        hint="please report it with these lines; finished steps are kept",
    )


ERRORS_BY_OUTCOME: dict[Outcome, type[ContractorError]] = {
    kind.outcome: kind for kind in (Failed, Rejected, NotReproducible, OutOfLimits, Unavailable, Broken, Aborted)
}
