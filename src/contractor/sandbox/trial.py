"""Trying things for real: a supervisor and a step that does nothing, an overlay on the store's file system.

The overlay's answer is kept in the store, by file system and boot: locks/overlay-<device>-<boot> exists when it worked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any

from contractor.core.errors import Broken, Unavailable
from contractor.sandbox import hosttree, syscalls
from contractor.sandbox.spec import Caller, Mount, SandboxSpec
from contractor.spec.model import Limits

if TYPE_CHECKING:
    from contractor.sandbox.namespace import Inside, Operation, Supervisor

_FICLONE = 0x40049409
_FILE_SYSTEMS = {"nfs": "NFS", "nfs4": "NFS", "overlay": "overlayfs (a container's own files)", "tmpfs": "tmpfs",
                 "fuse": "FUSE", "9p": "9p", "vfat": "FAT", "ntfs3": "NTFS", "cifs": "CIFS"}  # fmt: skip


def start_and_run(*, one_id: bool = False) -> str:
    """Start the best tier and run `true` of the host's tree in it; its name. Raises what a build would raise."""
    from contractor.sandbox.local import choose
    from contractor.sandbox.run import run

    sandbox = choose(one_id=one_id)
    said: list[bytes] = []
    with sandbox.start(OPERATIONS) as (supervisor, group):
        spec = SandboxSpec(
            argv=("/usr/bin/env", "true"),
            mounts=(*hosttree.mounts(), Mount("tmpfs", "/workspace", size=1 << 20)),
            env={"PATH": "/usr/bin:/bin"},
            limits=Limits(time=20.0),
        )
        exit_ = run(supervisor, spec, Caller(said.append), group, "/")
    if not exit_.started or exit_.code:
        text = b"".join(said).decode(errors="replace").strip()
        raise Unavailable(
            f"a step in the sandbox ended with {exit_.code}: {text[-300:]}",
            hint="if this is a container, it must allow mounting /proc: see `container` in `contractor doctor`",
        )
    return sandbox.tier.name


def require_overlay(store: str, supervisor: Supervisor) -> None:
    """Unavailable, with the file system's name and the way out, when no system tree can be mounted there."""
    mark = _mark(store)
    if os.path.exists(mark):
        return
    if trouble := try_overlay(store, supervisor):
        kind = file_system(store)
        raise Unavailable(
            f"the store's file system ({_FILE_SYSTEMS.get(kind, kind)}) cannot carry system trees: {trouble}",
            details=(f"the store is {store}",),
            hint="put the store on a local disk (ext4, xfs, btrfs): --store DIR, or CONTRACTOR_STORE=DIR",
        )
    with contextlib.suppress(OSError):
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _mark(store: str) -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()[:8]
    return f"{store}/locks/overlay-{os.stat(store).st_dev}-{os.uname().release[:20]}-{boot}"


def try_overlay(store: str, supervisor: Supervisor) -> str:
    """Mount one, remove a lower directory in it, and change an owner: empty when all of it works, else what did not."""
    folder = f"{store}/work/probe-{os.urandom(8).hex()}"
    os.mkdir(folder, 0o700)
    try:
        answer: str = supervisor.call("try-overlay", {"folder": folder})
    except Broken as error:
        answer = error.message
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return answer


def try_overlay_inside(inside: Inside, args: dict[str, Any], _fds: list[int]) -> str:
    top = f"{args['folder']}/place"
    made = ("", "/lower", "/lower/gone", "/upper", "/work", "/tree")
    doing = "making directories"
    try:
        for name in made:
            os.mkdir(top + name, 0o755)
        doing = "mounting overlayfs"
        syscalls.mount_overlay([f"{top}/lower"], f"{top}/upper", f"{top}/work", f"{top}/tree")
        try:
            doing = "replacing a directory in an overlay"
            os.rmdir(f"{top}/tree/gone")
            os.mkdir(f"{top}/tree/gone")
            if inside.owners:
                doing = "changing an owner"
                os.chown(f"{top}/tree/gone", 1000, 1000)
        finally:
            syscalls.umount(f"{top}/tree")
    except OSError as error:
        return f"{doing}: {error.strerror}"
    finally:
        for here, folders, files in os.walk(top, topdown=False):  # nothing of a step's: all of it was made above
            for name in files:
                os.unlink(f"{here}/{name}")
            for name in folders:
                os.rmdir(f"{here}/{name}")
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(top)
    return ""


def _lowerdir_plus(_inside: Inside, _args: dict[str, Any], _fds: list[int]) -> bool:
    """Whether this kernel takes layers one by one (lowerdir+, 6.8); else mount(2) with short names is used."""
    return syscalls.overlay_takes_layers()


def reflink(folder: str) -> bool:
    """Whether files can share their blocks here (xfs, btrfs): copies of artifacts and sources cost nothing."""
    import tempfile

    with tempfile.NamedTemporaryFile(dir=folder) as one, tempfile.NamedTemporaryFile(dir=folder) as other:
        one.write(b"x" * 4096)
        one.flush()
        try:
            fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.EXDEV, errno.ENOSYS):
                return False
            raise
    return True


def file_system(path: str) -> str:
    """The kernel's name of the file system that holds a path."""
    device = os.stat(path).st_dev
    found = ""
    best = -1
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            target = before.split()[4].replace("\\040", " ")
            major, _, minor = before.split()[2].partition(":")
            inside = path == target or path.startswith(target.rstrip("/") + "/")
            same = os.makedev(int(major), int(minor)) == device  # btrfs's subvolumes have other numbers
            if inside and len(target) + (1 << 16) * same > best:
                best, found = len(target) + (1 << 16) * same, after.split()[0]
    return found


def _run(inside: Inside, args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    from contractor.sandbox.stage import make_stage
    from contractor.sandbox.step import run_inside

    make_stage()
    return run_inside(inside, args, fds, lambda: (0, 0))


OPERATIONS: dict[str, Operation] = {"run": _run, "try-overlay": try_overlay_inside, "lowerdir-plus": _lowerdir_plus}
