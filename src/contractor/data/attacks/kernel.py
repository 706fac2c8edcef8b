# mypy: disable-error-code="import-not-found,no-any-return"
"""Calls into the kernel that no step needs: namespaces, mounts, keyrings, rings, programs, other numbers."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct

from lib import Escaped, refused, syscall

Baits = dict[str, str]
_EPERM, _ENOSYS = 1, 38
_HERE = -100


def user_namespace(_baits: Baits) -> str:
    def clone3() -> int:
        arguments = struct.pack("<8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
        pid = syscall("clone3", arguments, len(arguments))
        if pid == 0:
            os._exit(0)
        return pid

    def clone() -> int:
        pid = syscall("clone", 0x10000000 | 17, None, None, None, 0)
        if pid == 0:
            os._exit(0)
        return pid

    return refused(
        ("unshare", lambda: syscall("unshare", 0x10000000)),
        ("clone", clone),
        ("clone3", clone3),
        expect=(_EPERM, _ENOSYS),
    )


def namespaces(_baits: Baits) -> str:
    kinds = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "pid": 0x20000000,
             "net": 0x40000000, "time": 0x80}  # fmt: skip

    def enter(kind: str) -> int:
        fd = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)
        return syscall("setns", fd, 0)

    return refused(
        *((f"unshare {name}", lambda flag=flag: syscall("unshare", flag)) for name, flag in kinds.items()),
        *((f"setns {name}", lambda name=name: enter(name)) for name in ("mnt", "user", "pid", "net")),
    )


def mounts(_baits: Baits) -> str:
    return refused(
        ("mount tmpfs", lambda: syscall("mount", b"x", b"/tmp", b"tmpfs", 0, None)),
        ("mount proc", lambda: syscall("mount", b"proc", b"/tmp", b"proc", 0, None)),
        ("bind", lambda: syscall("mount", b"/", b"/tmp", None, 4096, None)),
        ("remount", lambda: syscall("mount", None, b"/", None, 0x1020, None)),
        ("umount", lambda: syscall("umount2", b"/proc", 2)),
        ("pivot_root", lambda: syscall("pivot_root", b"/tmp", b"/tmp")),
    )


def new_mounts(_baits: Baits) -> str:
    return refused(
        ("fsopen", lambda: syscall("fsopen", b"tmpfs", 0)),
        ("fspick", lambda: syscall("fspick", _HERE, b"/", 0)),
        ("open_tree", lambda: syscall("open_tree", _HERE, b"/", 1)),
        ("open_tree_attr", lambda: syscall("open_tree_attr", _HERE, b"/", 1, None, 0)),
        ("move_mount", lambda: syscall("move_mount", _HERE, b"/tmp", _HERE, b"/mnt", 0)),
        ("mount_setattr", lambda: syscall("mount_setattr", _HERE, b"/", 0, b"\0" * 32, 32)),
        expect=(_EPERM, _ENOSYS),
    )


def keyring(_baits: Baits) -> str:
    return refused(
        ("keyctl", lambda: syscall("keyctl", 0, -3, 1)),
        ("add_key", lambda: syscall("add_key", b"user", b"contractor", b"x", 1, -3)),
        ("request_key", lambda: syscall("request_key", b"user", b"contractor", None, -3)),
        expect=(_EPERM,),
    )


def io_uring(_baits: Baits) -> str:
    return refused(("io_uring_setup", lambda: syscall("io_uring_setup", 8, bytes(120))), expect=(_EPERM, _ENOSYS))


def bpf(_baits: Baits) -> str:
    attributes = struct.pack("<IIII", 2, 4, 4, 1) + bytes(112)
    return refused(("bpf map", lambda: syscall("bpf", 0, attributes, 128)), expect=(_EPERM, _ENOSYS))


def perf(_baits: Baits) -> str:
    attributes = struct.pack("<II", 1, 112) + bytes(104)
    return refused(
        ("perf_event_open", lambda: syscall("perf_event_open", attributes, 0, -1, -1, 0)), expect=(_EPERM, _ENOSYS)
    )


def userfaultfd(_baits: Baits) -> str:
    return refused(("userfaultfd", lambda: syscall("userfaultfd", 1)), expect=(_EPERM, _ENOSYS))


def modules(_baits: Baits) -> str:
    return refused(
        ("init_module", lambda: syscall("init_module", b"x", 1, b"")),
        ("finit_module", lambda: syscall("finit_module", 0, b"", 0)),
        ("delete_module", lambda: syscall("delete_module", b"loop", 0)),
        ("kexec_load", lambda: syscall("kexec_load", 0, 0, None, 0)),
        expect=(_EPERM, _ENOSYS),
    )


def machine(_baits: Baits) -> str:
    """What changes the whole machine; none of the calls would do harm if it came through."""
    return refused(
        ("reboot", lambda: syscall("reboot", 0xFEE1DEAD, 672274793, 0, None)),
        ("clock", lambda: syscall("clock_settime", 0, struct.pack("<qq", -1, -1))),
        ("acct", lambda: syscall("acct", b"/nonexistent")),
        ("swapon", lambda: syscall("swapon", b"/nonexistent", 0)),
        ("syslog", lambda: syscall("syslog", 3, bytes(64), 64)),
        ("fanotify", lambda: syscall("fanotify_init", 0, 0)),
        expect=(_EPERM, _ENOSYS),
    )


def handles(_baits: Baits) -> str:
    handle = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + bytes(128))
    mount = ctypes.create_string_buffer(4)
    return refused(
        ("name_to_handle_at", lambda: syscall("name_to_handle_at", _HERE, b"/workspace",
                                              ctypes.addressof(handle), ctypes.addressof(mount), 0)),
        ("open_by_handle_at", lambda: syscall("open_by_handle_at", _HERE, struct.pack("<IiQ", 8, 1, 2), 0)),
        expect=(_EPERM,),
    )  # fmt: skip


def ptrace_pid1(_baits: Baits) -> str:
    return refused(
        ("attach", lambda: syscall("ptrace", 16, 1, None, None)),
        ("seize", lambda: syscall("ptrace", 0x4206, 1, None, None)),
        ("process_vm_readv", lambda: syscall("process_vm_readv", 1, None, 0, None, 0, 0)),
        ("process_vm_writev", lambda: syscall("process_vm_writev", 1, None, 0, None, 0, 0)),
        ("pidfd_getfd", lambda: syscall("pidfd_getfd", os.pidfd_open(1), 1, 0)),
        expect=(_EPERM,),
    )


def terminal(_baits: Baits) -> str:
    """Typing into a terminal: one of our own, and the caller's."""
    _main, side = os.openpty()
    said = refused(
        ("TIOCSTI", lambda: fcntl.ioctl(side, 0x5412, b"x")),
        ("TIOCSTI with high bits", lambda: _long_ioctl(side, 0x1_0000_5412, b"x")),
        ("TIOCLINUX", lambda: fcntl.ioctl(side, 0x541C, b"\x03")),
    )
    return said + ", " + refused(("/dev/tty", lambda: os.open("/dev/tty", os.O_RDWR)), expect=(6, 2))


def _long_ioctl(fd: int, request: int, data: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    number = 29 if os.uname().machine == "aarch64" else 16
    if libc.syscall(ctypes.c_long(number), ctypes.c_long(fd), ctypes.c_ulong(request), data) < 0:
        raise OSError(ctypes.get_errno(), "ioctl")


def i386(_baits: Baits) -> str:
    """getpid by int 0x80: a 32-bit call's number means another call to the filter."""
    if os.uname().machine != "x86_64":
        return "this machine has none"
    return _machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", "int 0x80")


def x32(_baits: Baits) -> str:
    """getpid as x32: the same architecture to a careless filter, with other numbers."""
    if os.uname().machine != "x86_64":
        return "this machine has none"
    return _machine_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3", "an x32 call")


def _machine_code(code: bytes, what: str) -> str:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    result = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if result == os.getpid():
        raise Escaped(f"{what} ran")
    return f"{what} gave {result}"
