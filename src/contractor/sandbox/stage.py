"""Where the supervisor mounts what a step gets: a place that a step's user may walk to.

The store is the invoking user's alone, so a step cannot reach its workspace by the store's path. The place is a tmpfs
in the supervisor's own mount namespace:

    STAGE/tree   the system tree       STAGE/ws   the workspace       STAGE/dev   the devices that every step has
"""

from __future__ import annotations

import os

from contractor.sandbox import syscalls

STAGE = "/sys"  # a directory that exists everywhere and that the supervisor has no use for
TREE = f"{STAGE}/tree"
WORKSPACE = f"{STAGE}/ws"
DEV = f"{STAGE}/dev"

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def make_stage() -> None:
    """Make the place, in a mount namespace of one's own. OSError when the kernel refuses."""
    hardened = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("contractor", STAGE, "tmpfs", hardened, b"mode=755,size=64k")
    for folder in (TREE, WORKSPACE, DEV):
        os.mkdir(folder, 0o755)
    _make_devices()


def _make_devices() -> None:
    """The same few devices for every step of a build, made once: bwrap's --dev costs a step one millisecond.

    Read-only, so that no step leaves anything there for the next; writing to a device needs no writable directory.
    """
    syscalls.mount("contractor", DEV, "tmpfs", syscalls.MS_NOSUID, b"mode=755,size=64k")
    for name in _DEVICES:
        os.close(os.open(f"{DEV}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        syscalls.bind(f"/dev/{name}", f"{DEV}/{name}", syscalls.MS_NOSUID)
    for name, target in _LINKS.items():
        os.symlink(target, f"{DEV}/{name}")
    os.mkdir(f"{DEV}/shm", 0o755)
    os.mkdir(f"{DEV}/pts", 0o755)
    options = b"newinstance,ptmxmode=0666,mode=620"
    syscalls.mount("devpts", f"{DEV}/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options)
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID
    syscalls.mount("contractor", DEV, "", flags)
