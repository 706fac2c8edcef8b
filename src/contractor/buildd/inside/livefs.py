"""What the supervisor does for images of root file systems: a folder that a sandbox may leave an image in."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

from contractor.build.inside.access import Opened
from contractor.buildd.inside.archive import gzip_tree, tree_size
from contractor.buildd.sanitize import clean
from contractor.core.errors import Broken
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside, Operation
from contractor.sandbox.stage import STAGE
from contractor.store.normalise import normalise

Args = dict[str, Any]

OUT = f"{STAGE}/out"
_FOLDER = "livefs-out"


def settle(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Make the system in the workspace one to give away: no time later than `epoch`, no credentials of the archives,
    and no file where a device should be: no user namespace can make one, and who boots it has them."""
    with Opened(f"{inside.state['work']}/ws") as root:
        for folder in ("dev", "etc/apt", "etc/apt/sources.list.d"):
            with contextlib.suppress(FileNotFoundError), Opened(f"{inside.state['work']}/ws/{folder}") as opened:
                for name in os.listdir(opened.number):
                    if not stat.S_ISREG(os.lstat(name, dir_fd=opened.number).st_mode):
                        continue
                    if folder == "dev":
                        os.unlink(name, dir_fd=opened.number)
                    elif name.endswith((".list", ".sources")):
                        _clean_sources(name, opened.number)
        normalise(root.number, args["epoch"])


def _clean_sources(name: str, folder: int) -> None:
    with open(os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "r+b") as file:
        found = file.read()
        if (cleaned := clean(found)) != found:
            file.seek(0)
            file.write(cleaned)
            file.truncate()


def make_out(_inside: Inside, _args: Args, _fds: list[int]) -> None:
    """An empty folder at OUT."""
    os.mkdir(_FOLDER, 0o755)
    os.mkdir(OUT, 0o755)
    syscalls.bind(_FOLDER, OUT)


def take_out(inside: Inside, args: Args, fds: list[int]) -> None:
    """Copy a regular file of that folder into the descriptor."""
    with Opened(f"{inside.state['work']}/{_FOLDER}") as folder:
        fd = os.open(args["name"], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder.number)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Broken(f"{args['name']} is no file")
            while os.sendfile(fds[0], fd, None, 1 << 30):
                pass
        finally:
            os.close(fd)


OPERATIONS: dict[str, Operation] = {
    "livefs-settle": settle,
    "livefs-out": make_out,
    "livefs-take": take_out,
    "gzip-tree": gzip_tree,
    "tree-size": tree_size,
}
