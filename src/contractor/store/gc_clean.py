"""Take what one build left out of the store, by name: its workspaces, and on request its record and log.

Its results stay: they are for every build that needs the same. gc takes those.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from contractor.core.errors import Rejected
from contractor.core.words import count
from contractor.store.collected import remember
from contractor.store.gc import Tools, choosing
from contractor.store.gc_builds import Builds, folder_size
from contractor.store.gc_model import Thing
from contractor.store.layout import Store
from contractor.store.live import is_live
from contractor.store.pins import pin_of


def parts_of(store: Store, build: str, tools: Tools, *, records: bool) -> list[Thing]:
    """What `take` would remove, with sizes. Rejected for a build that runs, is pinned, or whose workspace is in use."""
    left = _allowed(store, build)
    parts = []
    if os.path.isdir(store.path("work", build)):
        parts.append(Thing(f"work/{build}", build, tools.measure(store.path("work"), build)))
    for name in left:
        with contextlib.suppress(FileNotFoundError):
            parts.append(Thing(f"states/{name}", name, os.lstat(store.state(name)).st_blocks * 512))
    if records and os.path.isdir(store.path("builds", build)):
        parts.append(Thing(f"builds/{build}", build, folder_size(store, build)))
    return parts


def _allowed(store: Store, build: str) -> list[str]:
    """The states that its steps left; Rejected when somebody still wants something of the build."""
    builds = Builds(store)
    if is_live(store, build):
        raise Rejected(f"the build {build} is running", hint="stop it first (Ctrl-C where it runs)")
    pin = pin_of(store, build)
    if pin is not None:
        reason = f": {pin.reason}" if pin.reason else ""
        raise Rejected(
            f"the build {build} is pinned{reason}", hint=f"`contractor pin --remove {build}` takes the pin away"
        )
    found = builds.found.get(build)
    left = [step.left for step in found.steps if step.left] if found is not None else []
    in_use = builds.in_use().intersection(left)
    if in_use:
        raise Rejected(
            f"{count(len(in_use), 'workspace')} of the build {build} is in use by a build or a shell that runs",
            details=tuple(sorted(builds.live)),
            hint="end it first",
        )
    return left


def take(store: Store, build: str, parts: Sequence[Thing], tools: Tools) -> list[str]:
    """Remove parts of a build, as `parts_of` gave them; returns a line for each that could not be removed."""
    moved: list[tuple[str, str]] = []
    mark = os.urandom(4).hex()
    with choosing(store):  # nobody pins it or enters it meanwhile
        _allowed(store, build)
        for part in parts:
            folder, _, name = part.path.rpartition("/")
            if folder != "work":  # of other owners, perhaps; and nobody looks for it there
                with contextlib.suppress(FileNotFoundError):
                    os.rename(store.path(part.path), store.path("trash", f"{name}-{mark}"))
                folder, name = "trash", f"{name}-{mark}"
            moved.append((folder, name))
    troubles = [text for folder, name in moved for text in tools.remove(store.path(folder), [name])]
    gone = {kind: [part.name for part in parts if part.kind == kind] for kind in ("builds", "states")}
    by = f"contractor clean {build}" + (" --records" if gone["builds"] else "")
    remember(store, by, builds=gone["builds"], keys=gone["states"])
    return troubles
