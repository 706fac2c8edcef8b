"""The system-call filter of a step: classic BPF, made by hand so that it can be read, for x86_64 and aarch64.

What namespaces and missing capabilities do not stop is refused here: nested user namespaces, the new mount API,
keyrings, io_uring, bpf, AF_VSOCK (which a network namespace does not cover), injecting into a terminal, freezing
the sandbox's own pid 1 by ptrace. A foreign architecture's calls end the process: their numbers mean other things.
Numbers: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import struct

from contractor.core.errors import Unavailable

_ARCHES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # AUDIT_ARCH_*, column in the tables below

# name: (x86_64, aarch64)
_DENIED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "vhangup": (153, 58),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
}
_DENIED_X86_ONLY = {"iopl": 172, "ioperm": 173, "modify_ldt": 154, "uselib": 134, "ustat": 136, "sysfs": 139}
_MOUNT = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
}
_SYNC = {
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "sync_file_range": (277, 84),
    "msync": (26, 227),
}
# Calls that change owners or ids: with one id they cannot work, and dpkg only needs them to look as if they did.
_OWNERS = {
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "capset": (126, 91),
}
_OWNERS_X86_ONLY = {"chown": 92, "lchown": 94}
_SOCKET, _CLONE, _IOCTL, _PTRACE, _PRCTL = (41, 198), (56, 220), (16, 29), (101, 117), (157, 167)
_CLONE3 = 435
_FIRST_UNKNOWN = 470  # calls that are newer than this table (Linux 6.18) are not there; the same on both machines

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGS = 0, 4, 16
_X32_BIT = 0x40000000
_FAMILIES = (1, 2, 10, 16)  # UNIX, INET, INET6, NETLINK
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_SET_PDEATHSIG = 1
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag of clone(2); CLONE_NEWTIME exists only in clone3 and unshare

Instruction = tuple[int, int, int, int]


def filter_program(machine: str, *, mounts: bool = False, chroot: bool = False, fake_owners: bool = False) -> bytes:
    """The filter as bwrap's --seccomp wants it: an array of struct sock_filter.

    machine: `uname -m`. mounts: leave the mount calls (trusted actions only). chroot: leave chroot (dpkg as root uses
    it). fake_owners: calls that change owners and ids succeed and do nothing (the tier with one id).
    """
    if machine not in _ARCHES:
        raise Unavailable(
            f"no system-call filter for the architecture {machine}",
            hint="Contractor runs steps on x86_64 and aarch64; build there, or in a VM",
        )
    arch, column = _ARCHES[machine]
    body = [(_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _OFFSET_NUMBER)]
    if column == 0:
        body += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    body += [(_AT_LEAST, 0, 1, _FIRST_UNKNOWN), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    answers: dict[int, int] = {_CLONE3: errno.ENOSYS}  # its flags are in memory; libc falls back to clone
    answers.update({numbers[column]: 0 for numbers in _SYNC.values()})  # the store syncs once, at the end
    answers.update({numbers[column]: errno.EPERM for numbers in _DENIED.values()})
    if not mounts:
        left = {"chroot"} if chroot else set()
        answers.update({n[column]: errno.EPERM for name, n in _MOUNT.items() if name not in left})
    if fake_owners:
        answers.update({numbers[column]: 0 for numbers in _OWNERS.values()})
    if column == 0:
        answers.update(dict.fromkeys(_DENIED_X86_ONLY.values(), errno.EPERM))
        if fake_owners:
            answers.update(dict.fromkeys(_OWNERS_X86_ONLY.values(), 0))
    for number, code in answers.items():
        body += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | code)]
    body += _argument_rules(column)
    body.append((_RETURN, 0, 0, _ALLOW))
    program = [(_LOAD, 0, 0, _OFFSET_ARCH), *body]
    return b"".join(struct.pack("<HBBI", code, yes, no, value) for code, yes, no, value in program)


def _argument_rules(column: int) -> list[Instruction]:
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    last = len(_FAMILIES) - 1
    families = [(_EQUAL, last - i + 1, 0, family) for i, family in enumerate(_FAMILIES)]
    return [
        *_on_argument(_CLONE[column], 0, [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), refuse]),
        *_on_argument(_IOCTL[column], 1, [(_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), refuse]),
        *_on_argument(_PTRACE[column], 1, [(_EQUAL, 0, 1, 1), refuse]),
        # A step can write its pid 1's memory (/proc/1/mem); it must not make it outlive Contractor.
        *_on_argument(_PRCTL[column], 0, [(_EQUAL, 0, 1, _PR_SET_PDEATHSIG), (_RETURN, 0, 0, _ERRNO)]),
        *_on_argument(_SOCKET[column], 0, [*families, (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT)]),
    ]


def _on_argument(number: int, argument: int, tests: list[Instruction]) -> list[Instruction]:
    """Run tests on the low 32 bits of an argument of one call; what they leave falls through to the next rule."""
    load = (_LOAD, 0, 0, _OFFSET_ARGS + 8 * argument)
    body = [load, *tests, (_LOAD, 0, 0, _OFFSET_NUMBER)]
    return [(_EQUAL, 0, len(body), number), *body]
