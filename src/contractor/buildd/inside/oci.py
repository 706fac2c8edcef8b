"""What the supervisor does for images: a stage's tree as layers.

oci-N          what one instruction wrote (overlayfs' upper directory): a layer, with overlayfs' marks of what went
oci-points     laid below what is built: the directories that mounts go on, so that no layer has them
STAGE/oci      the stage that is being built        STAGE/oci-from   the one that COPY --from reads
"""

from __future__ import annotations

import os
import stat
from typing import Any

from contractor.buildd.inside.archive import gzip_tree
from contractor.buildd.inside.copy import copy
from contractor.buildd.inside.root import READ, Root, ids_of, workdir
from contractor.core.errors import Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside, Operation
from contractor.sandbox.stage import STAGE

Args = dict[str, Any]

ROOT, FROM = f"{STAGE}/oci", f"{STAGE}/oci-from"
POINTS = ("proc", "dev", "sys")


def mount(inside: Inside, args: Args, _fds: list[int]) -> str:
    """Show a stage at `at`. layers: paths, the lowest first. writable: what is written goes to a new layer, whose path
    is returned. A stage that has a link or a file where a mount goes is refused."""
    work, at = inside.state["work"], args["at"]
    if not os.path.isdir(at):
        os.mkdir(at, 0o755)
    unmount(inside, {"at": at}, [])
    if not os.path.isdir("oci-points"):
        for point in POINTS:
            os.makedirs(f"oci-points/{point}", 0o755)
        os.mkdir("oci-empty")
        os.mkdir("oci-nothing")
    layers = [os.path.relpath(layer, work) for layer in args["layers"]]
    lowers = [*reversed(layers)]
    upper = ""
    if args["writable"]:
        inside.state["oci"] = inside.state.get("oci", 0) + 1
        upper = f"oci-{inside.state['oci']}"
        os.mkdir(upper, 0o755)
        os.mkdir(f"{upper}.work", 0o700)
        syscalls.mount_overlay([*lowers, "oci-points"], upper, f"{upper}.work", at)
    else:
        syscalls.mount_overlay(["oci-empty", *lowers, "oci-nothing"], "", "", at)
    inside.state.setdefault("oci-mounted", set()).add(at)
    if args["writable"]:
        for point in POINTS:
            if not stat.S_ISDIR(os.lstat(f"{at}/{point}").st_mode):
                raise Rejected(f"the image has no directory /{point}")
    return f"{work}/{upper}" if upper else ""


def unmount(inside: Inside, args: Args, _fds: list[int]) -> None:
    mounted = inside.state.get("oci-mounted", set())
    if args["at"] in mounted:
        mounted.discard(args["at"])
        syscalls.umount(args["at"])


def is_empty(_inside: Inside, args: Args, _fds: list[int]) -> bool:
    """Whether nothing was written to a layer."""
    return not os.listdir(args["layer"])


def has_program(_inside: Inside, args: Args, _fds: list[int]) -> bool:
    """Whether the stage at `at` has a program of this name or path. path: folders, with colons."""
    name = args["name"]
    ways = [name] if "/" in name else [f"{folder}/{name}" for folder in args["path"].split(":")]
    with Root(args["at"]) as root:
        return any(root.is_file(os.fsencode(way)) for way in ways)


def read(_inside: Inside, args: Args, _fds: list[int]) -> bytes:
    """A regular file of the stage at `at`; nothing when there is none, or more than `limit` bytes."""
    with Root(args["at"]) as root:
        try:
            fd = root.open(os.fsencode(args["path"]), READ)
        except OSError:
            return b""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        data = file.read(args["limit"] + 1)
        return data if len(data) <= args["limit"] else b""


OPERATIONS: dict[str, Operation] = {
    "oci-mount": mount,
    "oci-unmount": unmount,
    "oci-empty": is_empty,
    "gzip-tree": gzip_tree,
    "oci-copy": copy,
    "oci-workdir": workdir,
    "oci-ids": ids_of,
    "oci-has": has_program,
    "oci-read": read,
}
