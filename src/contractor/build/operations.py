"""What the supervisor does when it is called: everything that touches files of many owners.

These functions run inside the user namespace, as its root; paths in their arguments are absolute and made by the
executor, never by a step. A build's place is

    work/<build>/place/ws         the workspace, shown to steps as /workspace
    work/<build>/place/points-N   laid over a read-only tree: directories to mount on, and a few files of /etc
    work/<build>/place/upper-N    what a step writes into the tree, before it becomes a layer

and, in the supervisor's mounts only, STAGE/ws and STAGE/tree: a step's user may not walk the way to the store, which
is the invoking user's alone, so what a step gets is mounted where it may.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from contractor.build.stage import STAGE, TREE, WORKSPACE
from contractor.core.errors import Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.idmap import OWNER_ID
from contractor.sandbox.namespace import Inside, Operation
from contractor.sandbox.run import run_inside
from contractor.sandbox.spec import BUILD_ID
from contractor.store import compress, states
from contractor.store.pack import PackOptions, pack
from contractor.store.remove import remove_tree, usage
from contractor.store.unpack import UnpackOptions, unpack

Args = dict[str, Any]
_MAX_TREE_FILES = 5_000_000
_ETC = {"passwd": b"build:x:1000:1000:build:/build:/bin/sh\n", "group": b"build:x:1000:\n"}
_ETC_MAX = 1 << 20  # bytes
_MOUNT_POINTS = ("workspace", "build", "proc", "dev", "sys", "run", "tmp", "var/tmp")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _begin(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Make a build's place."""
    work = args["work"]
    os.mkdir(work, 0o755)
    os.chdir(work)  # mounts name their layers relative to it: a step sees the names in /proc/mounts
    syscalls.mount("contractor", STAGE, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,size=64k")
    os.mkdir(TREE, 0o755)
    os.mkdir(WORKSPACE, 0o755)
    inside.state.update(work=work, scan=states.EMPTY, mounted=None, uppers=0)
    _fresh_workspace(inside, work)


def _fresh_workspace(inside: Inside, work: str) -> None:
    """An empty workspace, shown at WORKSPACE in place of the one before."""
    if os.path.lexists(f"{work}/ws"):
        syscalls.umount(WORKSPACE)
        with _opened(work) as fd:
            remove_tree(fd.number, "ws")
    os.mkdir(f"{work}/ws", 0o755)
    if inside.owners:
        os.chown(f"{work}/ws", BUILD_ID, BUILD_ID)
    syscalls.mount(f"{work}/ws", WORKSPACE, "", syscalls.MS_BIND)


def _restore(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Bring the workspace to a stored state: `chain` are the states' paths, root first; none is an empty workspace."""
    work = inside.state["work"]
    _fresh_workspace(inside, work)
    inside.state["scan"] = states.EMPTY
    if args["chain"]:
        with _opened(f"{work}/ws") as ws:
            inside.state["scan"] = states.restore(ws.number, args["chain"])


def _save(inside: Inside, args: Args, _fds: list[int]) -> dict[str, int]:
    """Store what changed since the last restore or save, as a state named `name` after `parent` (or none)."""
    owner = (OWNER_ID, OWNER_ID) if inside.owners else None
    with _opened(f"{inside.state['work']}/ws") as ws, _opened(args["states"]) as folder:
        target = states.Target(folder.number, args["name"], owner)
        before = inside.state["scan"] if args["parent"] else states.EMPTY
        scan, stored = states.save(ws.number, before, target, args["parent"] or None)
    inside.state["scan"] = scan
    return {"size": stored.size, "files": len(scan.entries)}


def _empty(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Remove everything from the workspace but `keep` (paths, and what is above them)."""
    keep = [os.fsencode(path) for path in args["keep"]]
    above = {path[:i] for path in keep for i in range(len(path)) if path[i : i + 1] == b"/"}

    def sweep(folder: bytes) -> None:
        with _opened(os.fsencode(inside.state["work"]) + b"/ws/" + folder) as fd:
            for name in sorted(os.listdir(fd.number)):
                path = folder + os.fsencode(name)
                if path in above:
                    sweep(path + b"/")
                elif path not in keep:
                    remove_tree(fd.number, name)

    sweep(b"")


def _list(inside: Inside, _args: Args, _fds: list[int]) -> list[tuple[bytes, bool]]:
    """Every path of the workspace and whether it is a directory, sorted: what globs are matched against."""
    with _opened(f"{inside.state['work']}/ws") as ws:
        entries = states.scan(ws.number).entries
    return sorted((path, stat.S_ISDIR(found[0])) for path, found in entries.items() if path)


def _mount_tree(inside: Inside, args: Args, _fds: list[int]) -> str:
    """Mount a tree from its layers (paths, bottom first); writable if asked. Returns the upper directory's path."""
    work, writable = inside.state["work"], args["writable"]
    layers = [os.path.relpath(layer, work) for layer in args["layers"]]
    wanted = (tuple(layers), writable)
    if inside.state["mounted"] == wanted and not writable:
        return ""
    _unmount_tree(inside, {}, [])
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
        os.mkdir(f"{points}/etc", 0o755)
        syscalls.mount_overlay([points, *reversed(layers)], "", "", TREE)
        try:
            files = {name: _read_in_etc(name) for name in _ETC}
        finally:
            syscalls.umount(TREE)
        for name, line in _ETC.items():
            with open(f"{points}/etc/{name}", "wb") as file:
                file.write(files[name] + (line if line.split(b":")[2] not in _ids(files[name]) else b""))
        with open(f"{points}/etc/hosts", "wb") as file:
            file.write(b"127.0.0.1 localhost contractor\n::1 localhost\n")
        made[layers] = points
    return made[layers]


def _read_in_etc(name: str) -> bytes:
    """A file of the mounted tree's /etc; empty if there is none that can be read without following a link."""
    try:
        with _opened(f"{TREE}/etc") as etc:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=etc.number)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        content = file.read(_ETC_MAX)
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _ids(content: bytes) -> set[bytes]:
    return {line.split(b":")[2] for line in content.splitlines() if line.count(b":") >= 2}


def _unmount_tree(inside: Inside, _args: Args, _fds: list[int]) -> None:
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


def _commit_layer(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Give a finished upper directory its name: a layer. Another build's equal layer may have been first."""
    _unmount_tree(inside, {}, [])
    os.chmod(args["upper"], 0o755)
    _publish(args["upper"], args["layer"])


def _publish(made: str, layer: str) -> None:
    try:
        os.rename(made, layer)
    except OSError:
        if not os.path.isdir(layer):
            raise
        with _opened(os.path.dirname(made)) as fd:
            remove_tree(fd.number, os.path.basename(made))


def _unpack_tree(inside: Inside, args: Args, fds: list[int]) -> dict[str, int]:
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
    with _opened(made) as root:
        done = unpack(compress.open_archive(fds[0]), root.number, options)
    _publish(made, args["layer"])
    return {"files": done.files, "size": done.size}


def _unpack(inside: Inside, args: Args, fds: list[int]) -> dict[str, int]:
    """Unpack an archive into the workspace at `to`, all of it the build user's."""
    owner = (BUILD_ID, BUILD_ID) if inside.owners else None
    options = UnpackOptions(
        max_bytes=args["max_bytes"], max_files=args["max_files"], owner=owner, strip_components=args.get("strip", 0)
    )
    with _made_below(inside, args["to"]) as target:
        done = unpack(compress.open_archive(fds[0]), target.number, options)
    return {"files": done.files, "size": done.size}


def _place(inside: Inside, args: Args, fds: list[int]) -> None:
    """Copy a file (the descriptor) into the workspace under `to`, with the time `epoch`."""
    folder, _, name = args["to"].rpartition("/")
    with _made_below(inside, folder or ".") as target:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.unlink(name, dir_fd=target.number)
        except FileNotFoundError:
            pass
        except IsADirectoryError as error:
            raise Rejected(f"{args['to']} is a directory in the workspace", hint="choose another `to`") from error
        fd = os.open(name, flags, 0o755 if args["executable"] else 0o644, dir_fd=target.number)
        try:
            if inside.owners:
                os.fchown(fd, BUILD_ID, BUILD_ID)
            while os.sendfile(fd, fds[0], None, 1 << 30):
                pass
            os.utime(fd, (args["epoch"], args["epoch"]))
        finally:
            os.close(fd)


def _pack(inside: Inside, args: Args, fds: list[int]) -> dict[str, Any]:
    """Pack paths of the workspace (None: all) as a deterministic archive, compressed into the descriptor."""
    options = PackOptions(mtime_limit=args["epoch"], owners=args["owners"])
    with _opened(f"{inside.state['work']}/ws") as ws, compress.ZstdSink(fds[0]) as sink:
        done = pack(ws.number, args["paths"], options, sink)
    return {"digest": done.digest, "size": done.size, "files": done.files, "skipped": list(done.skipped)}


def _exist_in_tree(_inside: Inside, args: Args, _fds: list[int]) -> list[str]:
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


def _packages(_inside: Inside, args: Args, _fds: list[int]) -> list[str]:
    """What dpkg says is installed in the mounted tree, or in the workspace: sorted name:arch=version."""
    root = WORKSPACE if args["workspace"] else TREE
    here = _opened(root)
    try:
        for part in ("var", "lib", "dpkg"):
            number = os.open(part, _DIRECTORY, dir_fd=here.number)
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


def _date(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Give everything below a directory of the workspace one time."""
    epoch = args["epoch"]
    with _made_below(inside, args["to"]) as top:
        for _folder, folders, files, fd in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=top.number):
            for name in (*folders, *files):
                os.utime(name, (epoch, epoch), dir_fd=fd, follow_symlinks=False)


def _show(inside: Inside, args: Args, _fds: list[int]) -> str:
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


def _own_workspace(inside: Inside, _args: Args, _fds: list[int]) -> None:
    """After a step that ran as root in the workspace: its top is the build user's again."""
    if inside.owners:
        os.chown(f"{inside.state['work']}/ws", BUILD_ID, BUILD_ID)


def _run(inside: Inside, args: Args, fds: list[int]) -> dict[str, Any]:
    def measure() -> tuple[int, int]:
        folder, name = os.path.split(args["folder"])
        with _opened(folder) as fd:
            return usage(fd.number, name)

    return run_inside(inside, args, fds, measure)


def _usage(_inside: Inside, args: Args, _fds: list[int]) -> tuple[int, int]:
    with _opened(args["folder"]) as fd:
        return usage(fd.number, args["name"])


def _remove(_inside: Inside, args: Args, _fds: list[int]) -> None:
    with _opened(args["folder"]) as fd:
        for name in args["names"]:
            remove_tree(fd.number, name)


def _end(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Unmount, and remove the build's place unless it is to be kept."""
    _unmount_tree(inside, {}, [])
    syscalls.umount(WORKSPACE)
    if not args["keep"]:
        work = inside.state["work"]
        with _opened(os.path.dirname(work)) as fd:
            remove_tree(fd.number, os.path.basename(work))


class _opened:
    """A directory's descriptor, closed at the end of the block."""

    def __init__(self, path: str | bytes) -> None:
        self.number = os.open(path, _DIRECTORY)

    def __enter__(self) -> _opened:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.number)


def _made_below(inside: Inside, to: str) -> _opened:
    """A directory of the workspace, made where it is missing; a link on the way is refused, not followed."""
    here = _opened(f"{inside.state['work']}/ws")
    for part in [part for part in to.split("/") if part not in ("", ".")]:
        try:
            os.mkdir(part, 0o755, dir_fd=here.number)
            if inside.owners:
                os.chown(part, BUILD_ID, BUILD_ID, dir_fd=here.number, follow_symlinks=False)
        except FileExistsError:
            pass
        try:
            number = os.open(part, _DIRECTORY, dir_fd=here.number)
        except OSError as error:
            os.close(here.number)
            raise Rejected(f"{to}: {part} is in the way in the workspace and is no directory") from error
        os.close(here.number)
        here.number = number
    return here


OPERATIONS: dict[str, Operation] = {
    "begin": _begin,
    "restore": _restore,
    "save": _save,
    "empty": _empty,
    "list": _list,
    "mount-tree": _mount_tree,
    "unmount-tree": _unmount_tree,
    "commit-layer": _commit_layer,
    "unpack-tree": _unpack_tree,
    "unpack": _unpack,
    "place": _place,
    "pack": _pack,
    "exist-in-tree": _exist_in_tree,
    "packages": _packages,
    "date": _date,
    "show": _show,
    "own-workspace": _own_workspace,
    "run": _run,
    "usage": _usage,
    "remove": _remove,
    "end": _end,
}
