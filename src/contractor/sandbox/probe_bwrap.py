"""Whether this machine's bwrap can be relied on: new enough for the options that it gets, and root's to change."""

from __future__ import annotations

import os
import re
import stat

from contractor.core.errors import Unavailable
from contractor.sandbox import process

_OLDEST = (0, 8)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "6.18.4-deb" is (6, 18, 4)."""
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def bwrap_trouble(path: str, version: str) -> tuple[str, str] | None:
    """Why this bwrap cannot be relied on, and the fix; None when it can. version: what it says itself."""
    if numbers(version) < _OLDEST:
        return f"{path} is of version {version!r}, and 0.8 is needed", "sudo apt-get install bubblewrap/bookworm"
    found = os.stat(path)
    if found.st_uid not in (0, 65534) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        fix = f"sudo chown root:root {path}; sudo chmod 755 {path}"
        return f"{path} can be changed by others than root (a step could, too)", fix
    return None


def require_bwrap(version: str) -> None:
    """Unavailable, with the fix, when this machine's bwrap, which says to be of this version, cannot be relied on."""
    path = os.path.realpath(process.require_tool("bwrap", "bubblewrap"))
    if trouble := bwrap_trouble(path, version):
        raise Unavailable(f"bubblewrap: {trouble[0]}", hint=trouble[1])
