"""The workspace: its states, what goes into it, what is packed from it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from contractor.build.inside.access import Opened, made_below
from contractor.core.errors import OutOfLimits, Rejected
from contractor.sandbox import syscalls
from contractor.sandbox.idmap import OWNER_ID
from contractor.sandbox.namespace import Inside
from contractor.sandbox.spec import BUILD_ID
from contractor.sandbox.stage import WORKSPACE
from contractor.store import compress, states
from contractor.store.pack import PackOptions, pack
from contractor.store.remove import remove_tree
from contractor.store.unpack import UnpackOptions, unpack

Args = dict[str, Any]
_PIECE = 1 << 20


def fresh_workspace(inside: Inside, work: str) -> None:
    """An empty workspace, shown at WORKSPACE in place of the one before."""
    if os.path.lexists(f"{work}/ws"):
        syscalls.umount(WORKSPACE)
        if inside.state["tmpfs"]:
            syscalls.umount(f"{work}/ws")
        with Opened(work) as fd:
            remove_tree(fd.number, "ws")
    os.mkdir(f"{work}/ws", 0o755)
    if inside.state["tmpfs"]:
        options = f"mode=755,size={inside.state['tmpfs']}".encode()
        syscalls.mount("contractor", f"{work}/ws", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
    if inside.owners:
        os.chown(f"{work}/ws", BUILD_ID, BUILD_ID)
    syscalls.bind(f"{work}/ws", WORKSPACE)


def restore(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Bring the workspace to a stored state: `chain` are the states' paths, root first; none is an empty workspace."""
    work = inside.state["work"]
    fresh_workspace(inside, work)
    inside.state["scan"] = states.EMPTY
    if args["chain"]:
        with Opened(f"{work}/ws") as ws:
            inside.state["scan"] = states.restore(ws.number, args["chain"])


def save(inside: Inside, args: Args, _fds: list[int]) -> dict[str, int]:
    """Store what changed since the last restore or save, as a state named `name` after `parent` (or none)."""
    owner = (OWNER_ID, OWNER_ID) if inside.owners else None
    with Opened(f"{inside.state['work']}/ws") as ws, Opened(args["states"]) as folder:
        target = states.Target(folder.number, args["name"], owner)
        before = inside.state["scan"] if args["parent"] else states.EMPTY
        scan, stored = states.save(ws.number, before, target, args["parent"] or None)
    inside.state["scan"] = scan
    return {"size": stored.size, "files": len(scan.entries)}


def changed(inside: Inside, _args: Args, _fds: list[int]) -> list[bytes]:
    """The paths of the workspace that are not as they were after the last restore or save, sorted."""
    with Opened(f"{inside.state['work']}/ws") as ws:
        now = states.scan(ws.number).entries
    before = inside.state["scan"].entries
    return sorted(path for path in {*before, *now} if path and before.get(path) != now.get(path))


def empty(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Remove everything from the workspace but `keep` (paths, and what is above them)."""
    keep = [os.fsencode(path) for path in args["keep"]]
    above = {path[:i] for path in keep for i in range(len(path)) if path[i : i + 1] == b"/"}

    def sweep(folder: bytes) -> None:
        with Opened((os.fsencode(inside.state["work"]) + b"/ws/" + folder).rstrip(b"/")) as fd:
            for name in sorted(os.listdir(fd.number)):
                path = folder + os.fsencode(name)
                if path in above:
                    sweep(path + b"/")
                elif path not in keep:
                    remove_tree(fd.number, name)

    sweep(b"")


def list_entries(inside: Inside, _args: Args, _fds: list[int]) -> list[tuple[bytes, bool]]:
    """Every path of the workspace and whether it is a directory, sorted: what globs are matched against."""
    with Opened(f"{inside.state['work']}/ws") as ws:
        entries = states.scan(ws.number).entries
    return sorted((path, stat.S_ISDIR(found[0])) for path, found in entries.items() if path)


def unpack_archive(inside: Inside, args: Args, fds: list[int]) -> dict[str, int]:
    """Unpack an archive into the workspace at `to`, all of it the build user's.

    own: Contractor packed it (a source folder, an artifact), so links may lead anywhere: steps follow them in their
    tree only, and nothing outside ever does. A stranger's archive may not have such links.
    """
    owner = (BUILD_ID, BUILD_ID) if inside.owners else None
    options = UnpackOptions(
        max_bytes=args["max_bytes"], max_files=args["max_files"], owner=owner, links="any" if args["own"] else "inside"
    )
    with made_below(inside, args["to"]) as target:
        done = unpack(compress.open_archive(fds[0]), target.number, options)
    return {"files": done.files, "size": done.size}


def place(inside: Inside, args: Args, fds: list[int]) -> None:
    """Copy a file (the descriptor) into the workspace under `to`, with the time `epoch`."""
    with _new_file(inside, args["to"], args["epoch"], executable=args["executable"]) as fd:
        while os.sendfile(fd, fds[0], None, 1 << 30):
            pass


def unpack_file(inside: Inside, args: Args, fds: list[int]) -> None:
    """Decompress a file (the descriptor) into the workspace under `to`, with the time `epoch`."""
    read, left = compress.open_archive(fds[0]), args["max_bytes"]
    with _new_file(inside, args["to"], args["epoch"]) as fd:
        while data := read(_PIECE):
            left -= len(data)
            if left < 0 < args["max_bytes"]:
                raise OutOfLimits(
                    f"{args['to']} is larger than the build's limit of {args['max_bytes']} bytes",
                    hint="raise `limits: {disk: ...}` of the build",
                )
            while data:
                data = data[os.write(fd, data) :]


@contextlib.contextmanager
def _new_file(inside: Inside, to: str, epoch: int, *, executable: bool = False) -> Iterator[int]:
    """The descriptor of a new file of the workspace, in place of one that may be there."""
    folder, _, name = to.rpartition("/")
    with made_below(inside, folder or ".") as target:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.unlink(name, dir_fd=target.number)
        except FileNotFoundError:
            pass
        except IsADirectoryError as error:
            raise Rejected(f"{to} is a directory in the workspace", hint="choose another name for it") from error
        fd = os.open(name, flags, 0o755 if executable else 0o644, dir_fd=target.number)
        try:
            if inside.owners:
                os.fchown(fd, BUILD_ID, BUILD_ID)
            yield fd
            os.utime(fd, (epoch, epoch))
        finally:
            os.close(fd)


def pack_archive(inside: Inside, args: Args, fds: list[int]) -> dict[str, Any]:
    """Pack paths of the workspace (None: all) as a deterministic archive, compressed into the descriptor."""
    options = PackOptions(mtime_limit=args["epoch"], owners=args["owners"])
    with Opened(f"{inside.state['work']}/ws") as ws, compress.ZstdSink(fds[0]) as sink:
        done = pack(ws.number, args["paths"], options, sink)
    return {"digest": done.digest, "size": done.size, "files": done.files, "skipped": list(done.skipped)}


def date(inside: Inside, args: Args, _fds: list[int]) -> None:
    """Give everything below a directory of the workspace one time."""
    epoch = args["epoch"]
    with made_below(inside, args["to"]) as top:
        for _folder, folders, files, fd in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=top.number):
            for name in (*folders, *files):
                os.utime(name, (epoch, epoch), dir_fd=fd, follow_symlinks=False)


def own_workspace(inside: Inside, _args: Args, _fds: list[int]) -> None:
    """After a step that ran as root in the workspace: its top is the build user's again."""
    if inside.owners:
        os.chown(f"{inside.state['work']}/ws", BUILD_ID, BUILD_ID)
