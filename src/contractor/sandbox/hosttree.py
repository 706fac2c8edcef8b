"""The host's programs as a read-only tree, for the trusted actions (debootstrap, git): /usr and nothing private.

No /home, no /root, no /var; an /etc made for it, so that the host's own settings of apt, git or ssh change nothing.
"""

from __future__ import annotations

import os

from contractor.sandbox.spec import Mount
from contractor.sandbox.stage import DEV

_PASSWD = b"""root:x:0:0:root:/root:/bin/sh
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
build:x:1000:1000:build:/build:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = b"""root:x:0:
tty:x:5:
shadow:x:42:
mail:x:8:
staff:x:50:
build:x:1000:
nogroup:x:65534:
"""


def mounts() -> tuple[Mount, ...]:
    """The root and what is in it; the caller adds /workspace."""
    found = [Mount("tmpfs", "/", size=16 << 20), Mount("ro-bind", "/usr", "/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            found.append(Mount("symlink", f"/{name}", os.readlink(f"/{name}")))
        elif os.path.isdir(f"/{name}"):
            found.append(Mount("ro-bind", f"/{name}", f"/{name}"))
    found += [
        Mount("file", "/etc/passwd", data=_PASSWD, mode=0o644),
        Mount("file", "/etc/group", data=_GROUP, mode=0o644),
        Mount("file", "/etc/hosts", data=b"127.0.0.1 localhost contractor\n", mode=0o644),
        Mount("file", "/etc/nsswitch.conf", data=b"passwd: files\ngroup: files\nhosts: files\n", mode=0o644),
    ]
    # Alternatives (awk, perl's friends) and what the loader and TLS need; all of it world-readable.
    for path in ("/etc/alternatives", "/etc/ssl/certs", "/etc/ca-certificates.conf", "/etc/ld.so.cache"):
        if os.path.exists(path):
            found.append(Mount("ro-bind", path, path))
    return (*found, *kernel_mounts(), Mount("tmpfs", "/var/tmp", size=1 << 30, mode=0o1777))


def kernel_mounts(memory: int = 0, cpus: int = 0) -> tuple[Mount, ...]:
    """/proc, /dev and the empty memory directories that every step has.

    memory: the step's limit in bytes, or 0. cpus: how many it is to see, or 0; libc reads their number below /sys.
    """
    most = memory // 2 if memory else 2 << 30
    return (
        Mount("proc", "/proc"),
        Mount("dev-bind", "/dev", DEV),
        Mount("tmpfs", "/dev/shm", size=most // 2, mode=0o1777),
        Mount("tmpfs", "/run", size=64 << 20),
        Mount("tmpfs", "/tmp", size=most, mode=0o1777),
        *(_cpus(cpus) if cpus else ()),
    )


def _cpus(count: int) -> tuple[Mount, ...]:
    numbers = b"0\n" if count == 1 else b"0-%d\n" % (count - 1)
    files = [Mount("file", f"/sys/devices/system/cpu/{name}", data=numbers) for name in ("online", "possible")]
    return (Mount("tmpfs", "/sys", size=1 << 16), *files)
