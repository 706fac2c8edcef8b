"""A build's place: made, shown to steps, measured, removed; and a step's run in it."""

from __future__ import annotations

import os
import stat
from typing import Any

import msgspec

from contractor.build.inside.access import Opened
from contractor.build.inside.tree import unmount_tree
from contractor.build.inside.workspace import fresh_workspace
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside
from contractor.sandbox.stage import STAGE, WORKSPACE, make_stage
from contractor.sandbox.step import run_inside
from contractor.store import states
from contractor.store.remove import remove_tree, usage
from contractor.store.scan import MODE, SIZE

Args = dict[str, Any]


def begin(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Make a build's place."""
    work = args["work"]
    os.mkdir(work, 0o755)
    os.chdir(work)  # mounts name their layers relative to it: a step sees the names in /proc/mounts
    make_stage()
    inside.state.update(work=work, scan=states.EMPTY, mounted=None, uppers=0, tmpfs=0)
    if args.get("variation"):
        from contractor.build.inside.vary import Variation, apply

        apply(inside, msgspec.convert(args["variation"], Variation))
    fresh_workspace(inside, work)


def show(inside: Inside, args: Args, _fds: list[int]) -> str:
    """Show a folder or a file of the invoking user to steps: mounted at STAGE, where they may walk. Returns where."""
    shown: dict[str, str] = inside.state.setdefault("shown", {})
    path = args["path"]
    if path not in shown:
        target = f"{STAGE}/shown-{len(shown)}"
        if os.path.isdir(path):
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        syscalls.mount(path, target, "", syscalls.MS_BIND | syscalls.MS_REC)
        shown[path] = target
    return shown[path]


def run(inside: Inside, args: Args, fds: list[int]) -> dict[str, Any]:
    def measure() -> tuple[int, int]:
        folder, name = os.path.split(args["folder"])
        with Opened(folder) as fd:
            return usage(fd.number, name)

    exit_ = run_inside(inside, args, fds, measure)
    if exit_["code"] and not exit_["limit"] and _has_file_of(inside, args["file_size"]):
        exit_["limit"] = "file-size"  # a program that ignores SIGXFSZ fails in its own words
    return exit_


def _has_file_of(inside: Inside, size: int) -> bool:
    with Opened(f"{inside.state['work']}/ws") as ws:
        entries = states.scan(ws.number).entries
    return any(stat.S_ISREG(found[MODE]) and found[SIZE] >= size for found in entries.values())


def usage_of(_inside: Inside, args: Args, _fds: list[int]) -> tuple[int, int]:
    with Opened(args["folder"]) as fd:
        return usage(fd.number, args["name"])


def remove(_inside: Inside, args: Args, _fds: list[int]) -> None:
    with Opened(args["folder"]) as fd:
        for name in args["names"]:
            remove_tree(fd.number, name)


def end(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Unmount, and remove the build's place unless it is to be kept."""
    unmount_tree(inside, {}, [])
    syscalls.umount(WORKSPACE)
    work = inside.state["work"]
    if inside.state["tmpfs"]:
        syscalls.umount(f"{work}/ws")
    if not args["keep"]:
        with Opened(os.path.dirname(work)) as fd:
            remove_tree(fd.number, os.path.basename(work))
