"""The error of this package's own: evidence that was read, understood, and found not to hold."""

from __future__ import annotations

from contractor.core.errors import ContractorError, Outcome


class Refuted(ContractorError):
    """A signature, a digest or a chain that does not hold. What cannot be judged at all is Rejected."""

    outcome = Outcome.NOT_REPRODUCIBLE
