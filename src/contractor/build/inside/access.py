"""Directories by descriptor: nothing here follows a link that a step may have made."""

from __future__ import annotations

import os

from contractor.core.errors import Rejected
from contractor.sandbox.namespace import Inside
from contractor.sandbox.spec import BUILD_ID

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Opened:
    """A directory's descriptor, closed at the end of the block."""

    def __init__(self, path: str | bytes) -> None:
        self.number = os.open(path, DIRECTORY)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.number)


def made_below(inside: Inside, to: str) -> Opened:
    """A directory of the workspace, made where it is missing; a link on the way is refused, not followed."""
    here = Opened(f"{inside.state['work']}/ws")
    for part in [part for part in to.split("/") if part not in ("", ".")]:
        try:
            os.mkdir(part, 0o755, dir_fd=here.number)
            if inside.owners:
                os.chown(part, BUILD_ID, BUILD_ID, dir_fd=here.number, follow_symlinks=False)
        except FileExistsError:
            pass
        try:
            number = os.open(part, DIRECTORY, dir_fd=here.number)
        except OSError as error:
            os.close(here.number)
            raise Rejected(f"{to}: {part} is in the way in the workspace and is no directory") from error
        os.close(here.number)
        here.number = number
    return here
