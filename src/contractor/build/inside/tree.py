"""The system tree: mounted from its layers, and new layers made of what is written into it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from contractor.build.inside.access import DIRECTORY, Opened
from contractor.build.inside.workspace import fresh_workspace
from contractor.core.errors import Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.namespace import Inside
from contractor.sandbox.stage import TREE, WORKSPACE
from contractor.store import compress
from contractor.store.normalise import normalise
from contractor.store.unpack import UnpackOptions, unpack

Args = dict[str, Any]
_MAX_TREE_FILES = 5_000_000
_ETC = {"passwd": b"build:x:1000:1000:build:/build:/bin/sh\n", "group": b"build:x:1000:\n"}
_ETC_MAX = 1 << 20  # bytes
_MOUNT_POINTS = ("workspace", "build", "proc", "dev", "sys", "run", "tmp", "var")


def mount_tree(inside: Inside, args: Args, _fds: list[int]) -> str:
    """Mount a tree from its layers (paths, bottom first); writable if asked. Returns the upper directory's path."""
    work, writable = inside.state["work"], args["writable"]
    layers = [os.path.relpath(layer, work) for layer in args["layers"]]
    wanted = (tuple(layers), writable)
    if inside.state["mounted"] == wanted and not writable:
        return ""
    unmount_tree(inside, {}, [])
    upper = ""
    if writable:
        inside.state["uppers"] += 1
        upper = f"upper-{inside.state['uppers']}"
        os.mkdir(upper, 0o755)
        os.mkdir(f"{upper}.work", 0o700)
        syscalls.mount_overlay(list(reversed(layers)), upper, f"{upper}.work", TREE)
    else:
        syscalls.mount_overlay([_points(inside, tuple(layers)), *reversed(layers)], "", "", TREE)
    inside.state["mounted"] = wanted
    if writable:
        _require_directories(TREE, ("proc", "dev", "run", "tmp"))
    return f"{work}/{upper}" if writable else ""


def _points(inside: Inside, layers: tuple[str, ...]) -> str:
    """The directory that is laid over a tree of these layers: made once a tree.

    It has the directories that mounts go on, and an /etc whose passwd and group know the build user.
    """
    made: dict[tuple[str, ...], str] = inside.state.setdefault("points", {})
    if layers not in made:
        points = f"points-{len(made)}"
        for point in _MOUNT_POINTS:
            os.makedirs(f"{points}/{point}", 0o755)
        os.symlink("/tmp", f"{points}/var/tmp")
        os.mkdir(f"{points}/etc", 0o755)
        syscalls.mount_overlay([points, *reversed(layers)], "", "", TREE)
        try:
            files = {name: _read_in_etc(name) for name in (*_ETC, "ld.so.preload")}
        finally:
            syscalls.umount(TREE)
        for name, line in _ETC.items():
            with open(f"{points}/etc/{name}", "wb") as file:
                file.write(files[name] + (line if line.split(b":")[2] not in _ids(files[name]) else b""))
        with open(f"{points}/etc/hosts", "wb") as file:
            file.write(b"127.0.0.1 localhost contractor\n::1 localhost\n")
        if inside.state.get("clock"):
            from contractor.build.inside.vary import add_clock

            add_clock(f"{points}/etc", files["ld.so.preload"])
        made[layers] = points
    return made[layers]


def _read_in_etc(name: str) -> bytes:
    """A file of the mounted tree's /etc; empty if there is none that can be read without following a link."""
    try:
        with Opened(f"{TREE}/etc") as etc:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=etc.number)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        content = file.read(_ETC_MAX)
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _ids(content: bytes) -> set[bytes]:
    return {line.split(b":")[2] for line in content.splitlines() if line.count(b":") >= 2}


def tree_changed(inside: Inside, _args: Args, _fds: list[int]) -> bool:
    """Whether anything has been written into the mounted tree."""
    if inside.state["mounted"] is None or not inside.state["mounted"][1]:
        return False
    return bool(os.listdir(f"{inside.state['work']}/upper-{inside.state['uppers']}"))


def unmount_tree(inside: Inside, _args: Args, _fds: list[int]) -> None:
    if inside.state["mounted"] is not None:
        inside.state["mounted"] = None
        syscalls.umount(TREE)


def _require_directories(tree: str, names: tuple[str, ...]) -> None:
    """A tree of unknown origin may hold a link where a mount goes."""
    for name in names:
        try:
            mode = os.lstat(f"{tree}/{name}").st_mode
        except FileNotFoundError:
            os.mkdir(f"{tree}/{name}", 0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise Rejected(f"the system tree has no directory /{name}", hint="make the tree with debootstrap")


def commit_layer(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Give a finished upper directory its name: a layer."""
    unmount_tree(inside, {}, [])
    os.chmod(args["upper"], 0o755)  # noqa: S103 - the root of a system tree
    publish(args["upper"], args["layer"])


def publish(made: str, layer: str) -> None:
    """Give what was made its name. What has the name already was made by another build at the same time, or before a
    crash that may have cut it short: it steps aside, for who has it mounted, and gc removes it.
    """
    with contextlib.suppress(FileNotFoundError):
        folder, name = os.path.split(layer)
        os.rename(layer, f"{folder}/.{name}.{os.urandom(4).hex()}")
    os.rename(made, layer)


def adopt_workspace(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Make a layer of the workspace itself, of which an archive has just been made with this epoch."""
    work = inside.state["work"]
    syscalls.umount(WORKSPACE)
    with Opened(f"{work}/ws") as root:
        normalise(root.number, args["epoch"])
        if inside.owners:
            os.chown(root.number, 0, 0)
        os.chmod(root.number, 0o755)  # noqa: S103 - the root of a system tree
    publish(f"{work}/ws", args["layer"])
    fresh_workspace(inside, work)


def unpack_tree(inside: Inside, args: Args, fds: list[int]) -> dict[str, int]:
    """Unpack an artifact (its compressed archive is the descriptor) as a layer."""
    inside.state["uppers"] += 1
    made = f"{inside.state['work']}/upper-{inside.state['uppers']}"
    os.mkdir(made, 0o755)
    options = UnpackOptions(
        max_bytes=args["max_bytes"],
        max_files=_MAX_TREE_FILES,
        links="any",
        tree=True,
        owner=None if inside.owners else (0, 0),
    )
    with Opened(made) as root:
        done = unpack(compress.open_archive(fds[0]), root.number, options)
    publish(made, args["layer"])
    return {"files": done.files, "size": done.size}


def exist_in_tree(_inside: Inside, args: Args, _fds: list[int]) -> list[str]:
    """Which of these files (absolute paths in the mounted tree) exist, links followed within the tree only once."""
    return [path for path in args["paths"] if _exists_in(TREE, path)]


def _exists_in(tree: str, path: str) -> bool:
    for _ in range(8):
        parts = path.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            here = f"{tree}/{'/'.join(parts[:i])}"
            if os.path.islink(here):
                target = os.readlink(here)
                base = "" if target.startswith("/") else "/".join(parts[: i - 1])
                path = os.path.normpath("/" + base + "/" + target + "/" + "/".join(parts[i:]))
                break
        else:
            return os.path.exists(f"{tree}/{'/'.join(parts)}")
    return False


def packages(_inside: Inside, args: Args, _fds: list[int]) -> list[str]:
    """What dpkg says is installed in the mounted tree, or in the workspace: sorted name:arch=version."""
    root = WORKSPACE if args["workspace"] else TREE
    here = Opened(root)
    try:
        for part in ("var", "lib", "dpkg"):
            number = os.open(part, DIRECTORY, dir_fd=here.number)
            os.close(here.number)
            here.number = number
        fd = os.open("status", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here.number)
    except OSError:
        return []  # no Debian tree
    finally:
        os.close(here.number)
    with open(fd, encoding="utf-8", errors="replace") as file:
        return sorted(_installed(file.read()))


def _installed(status: str) -> Iterator[str]:
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            yield f"{fields['Package']}:{fields.get('Architecture', '?')}={fields.get('Version', '?')}"
