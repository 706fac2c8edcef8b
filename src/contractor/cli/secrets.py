"""--secret NAME=FILE: values that must be in no argument, log or record."""

from __future__ import annotations

from collections.abc import Sequence

from contractor.build.secret_forms import SHORTEST_SECRET
from contractor.cli.options import pairs
from contractor.core.errors import Rejected

_LARGEST_SECRET = 1 << 20  # bytes


def read_secrets(given: Sequence[str]) -> dict[str, bytes]:
    """The secrets by name. Rejected: unreadable, too large, or too short to be hidden."""
    found = {}
    for name, path in pairs(given, "--secret").items():
        try:
            with open(path, "rb") as file:
                found[name] = file.read(_LARGEST_SECRET + 1)
        except OSError as error:
            raise Rejected(f"--secret {name}: {path} cannot be read: {error.strerror}") from error
        if len(found[name]) > _LARGEST_SECRET:
            raise Rejected(f"--secret {name}: {path} has more than 1 MiB", hint="a secret is a key or a password")
        if len(found[name].strip()) < SHORTEST_SECRET:
            raise Rejected(
                f"--secret {name}: {path} has fewer than {SHORTEST_SECRET} bytes, too few to be hidden in a log",
                hint="a value that short is no secret: give it as a parameter",
            )
    return found
