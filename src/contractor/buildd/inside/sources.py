"""What the supervisor tells of the sources in a target: whether a path stays in them, and which files there are.

No link leads out of the folder that a path is looked up in: what would, is refused and not reinterpreted.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from contractor.buildd.inside.files import Tree, blaming
from contractor.core.errors import OutOfLimits
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside, Operation
from contractor.store.walk import walk

Args = dict[str, Any]

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir"}


def below(_inside: Inside, args: Args, _fds: list[int]) -> str | None:
    """What is at `path` in the folder `top`, links followed: file, dir, other, or empty for nothing. None: the path
    leads out of the folder."""
    path = os.fsencode(args["path"]) or b"."
    if b"\0" in path:
        return None
    with blaming(args["top"]), Tree() as tree:
        top = tree.open(args["top"], os.O_PATH | os.O_DIRECTORY)
        try:
            fd = syscalls.open_in_root(top, path, os.O_PATH, beneath=True)
        except OSError as error:
            return None if error.errno == errno.EXDEV else ""
        finally:
            os.close(top)
        try:
            return _KINDS.get(stat.S_IFMT(os.fstat(fd).st_mode), "other")
        finally:
            os.close(fd)


def files(_inside: Inside, args: Args, _fds: list[int]) -> list[bytes]:
    """The regular files below a folder of the tree, sorted, as paths relative to it; no link is followed.

    OutOfLimits: there are more than `limit`.
    """
    found: list[bytes] = []
    with blaming(args["path"]), Tree() as tree:
        top = tree.open(args["path"], os.O_RDONLY | os.O_DIRECTORY)
        try:
            for entry in walk(top, None):
                if entry.kind == "f":
                    found.append(entry.path)
                if len(found) > args["limit"]:
                    raise OutOfLimits(f"there are more than {args['limit']} files in {args['path']}")
        finally:
            os.close(top)
    return found


OPERATIONS: dict[str, Operation] = {"below": below, "files": files}
