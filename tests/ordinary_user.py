"""The ordinary user as whom tests run when they are started as root."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

USER = "contractor-test"


def ordinary_user() -> str:
    """A user with subordinate ids: made once, and left."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
    if USER not in Path("/etc/subuid").read_text():
        from contractor.sandbox.probe import free_range

        ids = f"{free_range()}-{free_range() + 65535}"
        subprocess.run(["usermod", "--add-subuids", ids, "--add-subgids", ids, USER], check=True)
    return USER
