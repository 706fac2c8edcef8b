# ruff: noqa: TID251, S606
# mypy: disable-error-code="import-not-found,no-any-return"
"""Files that belong to others: the kernel's, devices, setuid programs, the system tree."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable

from lib import Escaped, refused

Baits = dict[str, str]
_DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout",
            "stderr", "core", "console"}  # fmt: skip


def _writing(path: str) -> Callable[[], None]:
    """Open for writing, and write nothing that would do harm."""

    def attempt() -> None:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, b"\n")
        os.close(fd)

    return attempt


def _reading(path: str) -> Callable[[], bytes]:
    def attempt() -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = os.read(fd, 64)
        finally:
            os.close(fd)
        if not found:
            raise OSError(61, "nothing to read", path)
        return found

    return attempt


def sysctl(_baits: Baits) -> str:
    names = ("kernel/panic", "kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/file-max",
             "net/ipv4/ip_forward", "user/max_user_namespaces", "kernel/hostname")  # fmt: skip
    return refused(*((name, _writing(f"/proc/sys/{name}")) for name in names))


def kernel_files(_baits: Baits) -> str:
    written = ("sysrq-trigger", "irq/default_smp_affinity", "bus/pci/devices", "mtrr", "self/mountinfo")
    read = ("kcore", "kmsg", "kpagecount", "vmallocinfo", "timer_list", "1/stack", "self/pagemap_of_others")
    said = refused(
        *((f"write {name}", _writing(f"/proc/{name}")) for name in written),
        *((f"read {name}", _reading(f"/proc/{name}")) for name in read),
    )
    if os.path.isdir("/sys") and os.listdir("/sys"):
        raise Escaped(f"/sys holds {os.listdir('/sys')[:3]}")
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as file:
            line = file.readline()
    except OSError:
        return said
    if line and line.split()[0].strip("0"):
        raise Escaped("/proc/kallsyms shows addresses of the kernel")
    return said


def nodes(_baits: Baits) -> str:
    places = [place for place in ("/workspace", "/tmp", "/dev", "/dev/shm", "/run") if os.path.isdir(place)]
    kinds = {"null": (stat.S_IFCHR, 1, 3), "mem": (stat.S_IFCHR, 1, 1), "disk": (stat.S_IFBLK, 254, 0)}

    def make(place: str, name: str) -> Callable[[], None]:
        kind, major, minor = kinds[name]
        return lambda: os.mknod(f"{place}/{name}", kind | 0o666, os.makedev(major, minor))

    return refused(*((f"{name} in {place}", make(place, name)) for place in places for name in kinds))


def devices(_baits: Baits) -> str:
    extra = sorted(set(os.listdir("/dev")) - _DEVICES)
    if extra:
        raise Escaped(f"/dev has {', '.join(extra)}")
    names = ("kvm", "vda", "sda", "fuse", "mem", "net/tun", "userfaultfd", "loop-control", "vhost-vsock", "uinput")
    return refused(*((name, _reading(f"/dev/{name}")) for name in names))


def setuid_programs(baits: Baits) -> str:
    for place in ("/", "/usr", "/workspace", "/tmp", "/run", "/dev/shm"):
        if os.path.isdir(place) and not os.statvfs(place).f_flag & os.ST_NOSUID:
            raise Escaped(f"{place} is not mounted nosuid")
    if baits["user"] == "0":
        return "every mount is nosuid"
    for program in ("su", "sudo", "pkexec", "newuidmap", "mount", "passwd"):
        path = shutil.which(program)
        if path and os.stat(path).st_mode & stat.S_ISUID and _effective(path) == 0:
            raise Escaped(f"{path} runs as root")
    return "every mount is nosuid, and none gains an id"


def _effective(path: str) -> int:
    """The effective id that a setuid program gets: seen in /proc while its arguments keep it waiting or failing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(read, 0)
        os.execv(path, [path, "--help"])
    try:
        found = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        found = 65534
    os.close(write)
    os.waitpid(pid, 0)
    return found if found == 0 else 1000


def tree(baits: Baits) -> str:
    """The read-only tree: files that are there, and new ones."""
    paths = ("/usr/bin/env", "/etc/passwd", "/etc/hosts", "/bin/sh", "/run/attacks/run.py")
    there = [path for path in paths if os.path.exists(path)]

    def create(folder: str) -> Callable[[], None]:
        return lambda: os.close(os.open(f"{folder}/contractor-was-here", os.O_WRONLY | os.O_CREAT, 0o600))

    said = refused(
        *((path, _writing(path)) for path in there if baits["user"] != "0" or path.startswith("/usr")),
        *((f"new in {folder}", create(folder)) for folder in ("/usr", "/usr/bin", "/sys", "/proc", "/etc", "/")
          if os.path.isdir(folder) and (baits["user"] != "0" or folder in ("/usr", "/usr/bin", "/proc"))),
    )  # fmt: skip
    return said + ", " + refused(("rename", lambda: os.rename("/usr/bin", "/usr/bin-gone")))
