"""What the attacks share: raw system calls by name, and how one says that it got out."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

NUMBERS = {  # name: (x86_64, aarch64)
    "unshare": (272, 97), "clone": (56, 220), "clone3": (435, 435), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "fsopen": (430, 430), "fspick": (433, 433),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "move_mount": (429, 429), "mount_setattr": (442, 442),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "clock_settime": (227, 112), "acct": (163, 89),
    "swapon": (167, 224), "syslog": (103, 116), "quotactl": (179, 60), "fanotify_init": (300, 262),
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


class Escaped(Exception):
    """The attack worked; the text says how."""


def syscall(name: str, *args: int | bytes | None) -> int:
    """A system call by name; raises OSError."""
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    values = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result: int = _libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return result


def refused(*calls: tuple[str, Callable[[], object]], expect: tuple[int, ...] = ()) -> str:
    """Every one of these must raise OSError; returns with which errors. expect: the errors that count, if not all."""
    said = []
    for what, attempt in calls:
        try:
            result = attempt()
        except OSError as error:
            if expect and error.errno not in expect:
                raise Escaped(f"{what}: reached the kernel ({errno.errorcode.get(error.errno or 0)})") from error
            said.append(f"{what} {errno.errorcode.get(error.errno or 0, error)}")
        else:
            raise Escaped(f"{what} succeeded ({result!r:.60})")
    return ", ".join(dict.fromkeys(said))


def status(field: str, pid: str = "self") -> str:
    """A field of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.partition(":")[2].strip()
    return ""
