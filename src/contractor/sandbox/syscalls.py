"""The kernel calls that Python 3.11 lacks, by ctypes: namespaces, mounts, prctl, syncfs.

Each function raises OSError with the call's name. Numbers of the new mount API are the same on x86_64 and aarch64.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_RELATIME = 0x200000
MNT_DETACH = 2

ADDR_NO_RANDOMIZE = 0x0040000
UNAME26 = 0x0020000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

_SYS_MOVE_MOUNT, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT, _SYS_OPENAT2 = 429, 430, 431, 432, 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 2, 8, 16
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOVE_MOUNT_F_EMPTY_PATH = 4
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_AT_FDCWD = -100
_MOUNT_OPTIONS_MAX = 4095  # bytes that mount(2) reads of its options; more gives a misleading ELOOP

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def personality(flags: int) -> int:
    """Of this process and its children, returning what it was: https://man7.org/linux/man-pages/man2/personality.2.html"""
    return _check(_libc.personality(ctypes.c_ulong(flags)), "personality")


def set_domain_name(name: str) -> None:
    """NIS's, in a UTS namespace of one's own."""
    _check(_libc.setdomainname(name.encode(), ctypes.c_size_t(len(name.encode()))), "setdomainname")


def prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def syncfs(fd: int) -> None:
    _check(_libc.syncfs(fd), "syncfs")


def open_in_root(root: int, path: bytes, flags: int, mode: int = 0, *, beneath: bool = False) -> int:
    """openat2(2): a path as whoever has the directory `root` as its / would find it; no link and no ".." leads out.

    beneath: what would lead out is not taken as meant from `root`, but refused (EXDEV).
    """
    resolve = (_RESOLVE_BENEATH if beneath else _RESOLVE_IN_ROOT) | _RESOLVE_NO_MAGICLINKS
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _check(_libc.syscall(_SYS_OPENAT2, root, path, how, ctypes.c_size_t(len(how))), "openat2")


def make_mounts_private() -> None:
    """Nothing that is mounted here from now on is seen outside, nor the other way round."""
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount --make-rprivate /")


def mount(source: str, target: str, kind: str, flags: int = 0, options: bytes = b"") -> None:
    call = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options)
    _check(call, f"mount {target}")


def bind(source: str, target: str, flags: int = MS_NOSUID | MS_NODEV) -> None:
    """Show a folder or file elsewhere, with these flags where the kernel allows (a parent namespace may forbid it)."""
    mount(source, target, "", MS_BIND)
    with contextlib.suppress(OSError):
        mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RELATIME | flags)


def umount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def mount_overlay(lowers: list[str], upper: str, work: str, target: str) -> None:
    """Mount layers (topmost first) under a writable directory, by the new mount API or, on older kernels, mount(2).

    Without upper and work (empty) the mount is read-only, and needs two layers at least.

    userxattr: a user namespace can set no trusted.* attributes, and without opaque directories `rm -r` of a lower
    directory gives EIO. volatile: no syncs; what is kept is synced later, with the store.
    """
    try:
        _overlay_by_fsopen(lowers, upper, work, target)
    except OSError as error:
        if error.errno not in (22, 38):  # EINVAL: no lowerdir+ (before 6.8); ENOSYS: no fsopen (or a seccomp filter)
            raise
        _overlay_by_mount(lowers, upper, work, target)


def _fsconfig(fd: int, command: int, key: bytes | None, value: bytes | None) -> None:
    call = _libc.syscall(ctypes.c_long(_SYS_FSCONFIG), fd, command, key, value, 0)
    _check(call, f"fsconfig {(key or b'create').decode()}={os.fsdecode(value or b'')}")


def _overlay_by_fsopen(lowers: list[str], upper: str, work: str, target: str) -> None:
    fd = _check(_libc.syscall(ctypes.c_long(_SYS_FSOPEN), b"overlay", _FSOPEN_CLOEXEC), "fsopen overlay")
    try:
        for flag in (b"userxattr", b"volatile") if upper else (b"userxattr",):
            _fsconfig(fd, _FSCONFIG_SET_FLAG, flag, None)
        for lower in lowers:
            _fsconfig(fd, _FSCONFIG_SET_STRING, b"lowerdir+", os.fsencode(lower))
        if upper:
            _fsconfig(fd, _FSCONFIG_SET_STRING, b"upperdir", os.fsencode(upper))
            _fsconfig(fd, _FSCONFIG_SET_STRING, b"workdir", os.fsencode(work))
        _fsconfig(fd, _FSCONFIG_CMD_CREATE, None, None)
        attributes = MS_NOSUID | MS_NODEV | (0 if upper else MS_RDONLY)  # bwrap need not add them: a call less a step
        call = _libc.syscall(ctypes.c_long(_SYS_FSMOUNT), fd, _FSMOUNT_CLOEXEC, attributes)
        tree = _check(call, "fsmount overlay")
    finally:
        os.close(fd)
    try:
        moved = _libc.syscall(
            ctypes.c_long(_SYS_MOVE_MOUNT), tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH
        )
        _check(moved, f"move_mount {target}")
    finally:
        os.close(tree)


def overlay_takes_layers() -> bool:
    """Whether this kernel knows fsconfig's lowerdir+ (6.8 and later)."""
    fd = _libc.syscall(ctypes.c_long(_SYS_FSOPEN), b"overlay", _FSOPEN_CLOEXEC)
    if fd < 0:
        return False
    try:
        _fsconfig(fd, _FSCONFIG_SET_STRING, b"lowerdir+", b"/")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _overlay_by_mount(lowers: list[str], upper: str, work: str, target: str) -> None:
    """All names in one option string: short ones, relative to the layers' folder, so that hundreds fit."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    common = os.path.dirname(lowers[0])
    try:
        os.chdir(common)
        names = [os.path.relpath(lower, common) for lower in lowers]
        joined = ":".join(name.replace("\\", "\\\\").replace(":", "\\:") for name in names)
        tail = (f",upperdir={_escape(upper)},workdir={_escape(work)}" if upper else "") + ",userxattr"
        for extra in (",volatile", "") if upper else ("",):
            options = os.fsencode(f"lowerdir={joined}{tail}{extra}")
            if len(options) > _MOUNT_OPTIONS_MAX:
                raise OSError(7, f"mount {target}: {len(lowers)} layers do not fit into mount(2)'s options")
            try:
                mount("overlay", target, "overlay", 0, options)
                return
            except OSError as error:
                if error.errno != 22 or not extra:  # EINVAL with volatile: a kernel before 5.10
                    raise
    finally:
        os.fchdir(here)
        os.close(here)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,")
