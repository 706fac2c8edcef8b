"""What a killed build with secrets left: its workspace may have them in it, and does not wait for gc.

work/<id>/secrets     while a build (or a shell) has a step with secrets: its workspace goes as soon as it is dead
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from contractor.store.layout import Store
from contractor.store.live import is_live

if TYPE_CHECKING:
    from contractor.build.place import Place

_MARK = "secrets"


def mark(place: Place) -> None:
    """A step with secrets begins."""
    os.close(os.open(_path(place), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def unmark(place: Place) -> None:
    """The workspace has gone, or has been looked through."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(place))


def sweep(store: Store) -> None:
    """Remove what dead builds with secrets left behind."""
    work = store.path("work")
    dead = [name for name in os.listdir(work) if os.path.exists(f"{work}/{name}/{_MARK}") and not is_live(store, name)]
    if dead:
        from contractor.build.removal import removal

        with removal() as hands:
            hands.remove(work, dead)


def _path(place: Place) -> str:
    return f"{os.path.dirname(place.folder)}/{_MARK}"
