"""How a build's own commands fail: what build types raise and the pipeline understands."""

from __future__ import annotations

from collections.abc import Sequence

from contractor.core.errors import ContractorError


class TargetFailed(ContractorError):
    """A command of the target that was to succeed did not."""

    def __init__(self, argv: Sequence[str], code: int, output: bytes = b"") -> None:
        super().__init__(f"{argv[0]} failed with exit code {code}")
        self.argv = tuple(argv)
        self.code = code
        self.output = output


class Failed(ContractorError):
    """A build's end, known where it is raised. status: a BuildStatus, or an exit code of the type's own step, whose
    meaning is in the table of types (200: an install, 201: a build failed); text: a line for the log."""

    def __init__(self, status: str | int, text: str, dependencies: str = "", hint: str = "") -> None:
        super().__init__(text, hint=hint)
        self.status = status
        self.dependencies = dependencies
