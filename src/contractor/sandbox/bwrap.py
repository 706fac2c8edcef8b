"""Bubblewrap: a step's command line (pure), and running it inside the supervisor.

The command line goes by --args FD and the environment is empty, because /proc/1/cmdline and /proc/1/environ of the
sandbox show both to the step. https://github.com/containers/bubblewrap (0.8 and later)
"""

from __future__ import annotations

import array
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence

from contractor.core.errors import Broken, Unavailable
from contractor.sandbox import process, seccomp, strays, syscalls
from contractor.sandbox.channel import close_all
from contractor.sandbox.namespace import Inside, enter_empty_network
from contractor.sandbox.spec import PROXY_ADDRESS, ROOT_ID, Mount, SandboxSpec
from contractor.sandbox.terminal import take_terminal

# What a package manager needs to install; and what a tool that makes a tree needs on top of it.
_ROOT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETFCAP", "SYS_CHROOT", "AUDIT_WRITE",
    "NET_BIND_SERVICE", "MKNOD",
)  # fmt: skip
_STACK = 8 << 20  # bytes; configure scripts and make look at it
_TRUSTED_CAPABILITIES = (*_ROOT_CAPABILITIES, "SYS_ADMIN", "DAC_READ_SEARCH", "SETPCAP")


def bwrap_options(spec: SandboxSpec, userns: int, status: int, filter_fd: int, data: Sequence[int]) -> list[str]:
    """All options but the command. Descriptors: the user namespace to join, the status pipe, the filter, and one for
    each mount of kind `file`, in order.

    There is no --unshare-net: bwrap starts in a network namespace that is empty already (namespace.py).
    """
    options = [
        "--userns", str(userns),
        "--sync-fd", str(userns),  # for its side effect: bwrap closes this one before it runs the command
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
        "--hostname", spec.hostname,
        "--die-with-parent",
        *([] if spec.terminal else ["--new-session"]),  # a terminal's session is made before bwrap
        "--json-status-fd", str(status),
        "--seccomp", str(filter_fd),
        "--cap-drop", "ALL",
    ]  # fmt: skip
    if spec.user == ROOT_ID:
        for name in _TRUSTED_CAPABILITIES if spec.trusted else _ROOT_CAPABILITIES:
            options += ["--cap-add", f"CAP_{name}"]
    remaining = list(data)
    for mount in spec.mounts:
        options += _mount_options(mount, remaining)
    options += ["--chdir", spec.cwd]
    for name, value in spec.env.items():
        options += ["--setenv", name, value]
    return options


def _mount_options(mount: Mount, data: list[int]) -> list[str]:
    if mount.kind in ("bind", "ro-bind", "dev-bind"):
        return [f"--{mount.kind}", mount.source, mount.target]
    if mount.kind == "tmpfs":
        size = ["--size", str(mount.size)] if mount.size else []
        return ["--perms", f"{mount.mode:04o}", *size, "--tmpfs", mount.target]
    if mount.kind == "file":
        return ["--perms", f"{mount.mode:04o}", "--ro-bind-data", str(data.pop(0)), mount.target]
    if mount.kind in ("proc", "dir"):
        return [f"--{mount.kind}", mount.target]
    if mount.kind == "symlink":
        return ["--symlink", mount.source, mount.target]
    raise Broken(f"no such kind of mount: {mount.kind}")


class Started:
    """A running bwrap: its pid, a descriptor that is readable when it ends, and its status pipe."""

    def __init__(self, pid: int, status: int, counters: list[int]) -> None:
        self.pid = pid
        self.counters = counters  # of its own network namespace (strays.py); none where it shares the supervisor's
        self.pidfd = os.pidfd_open(pid)
        self._status = status
        os.set_blocking(status, False)
        self._text = b""

    def child_pid(self) -> int | None:
        """The pid of the sandbox's own pid 1, as bwrap tells it; the JSON may come in pieces."""
        return self._number(b'"child-pid":')

    def exit_code(self) -> int | None:
        """What the command returned; None when it was never started."""
        return self._number(b'"exit-code":')

    def _number(self, name: bytes) -> int | None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._status, 4096):
                self._text += data
        _before, found, after = self._text.partition(name)
        digits = after.strip().split(b",")[0].split(b"}")[0].strip()
        return int(digits) if found and digits.isdigit() else None

    def kill(self) -> None:
        """Kill the sandbox's pid 1: the kernel then kills everything in it, whatever it traps."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child_pid() or self.pid, signal.SIGKILL)

    def close(self) -> None:
        close_all([self.pidfd, self._status, *self.counters])


def start(inside: Inside, spec: SandboxSpec, output: int, on_listener: Callable[[int], None]) -> Started:
    """Start a step. on_listener gets the listening socket of a networked step; its namespace holds nothing else."""
    fds: list[int] = []
    status_read, status_write = os.pipe()
    listener = socket.socketpair() if spec.network else None
    counters: list[int] = []
    try:
        cpus = _cpus(inside, spec.limits.cpus)
        program = _filter(inside, spec)
        filter_fd = _memory_file(program, fds)
        data = [_memory_file(mount.data, fds) for mount in spec.mounts if mount.kind == "file"]
        userns = inside.step_namespace(spec.user)
        options = bwrap_options(spec, userns, status_write, filter_fd, data)
        args_fd = _memory_file(b"".join(os.fsencode(option) + b"\0" for option in options), fds)

        def prepare() -> None:
            if spec.terminal:
                take_terminal(0)
            if listener is not None:
                _listen_in_own_network(listener[1])
            _limit(spec)
            if cpus:
                os.sched_setaffinity(0, cpus)
            inside.become(spec.user)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # changing ids made /proc/self the real root's
            with contextlib.suppress(OSError):
                _write_file("/proc/self/oom_score_adj", b"800")

        argv = [process.require_tool("bwrap", "bubblewrap"), "--args", str(args_fd), "--", *spec.argv]
        keep = [*fds, status_write, userns]
        if spec.terminal and inside.owners:
            os.fchown(output, spec.user, spec.user)
        pid = process.start(argv, {}, output=output, keep=keep, prepare=prepare, interactive=spec.terminal)
        if listener is not None:
            listener[1].close()
            counters = _pass_listener(listener[0], on_listener)
        return Started(pid, status_read, counters)
    except BaseException:
        os.close(status_read)
        raise
    finally:
        close_all([*fds, status_write])
        if listener is not None:
            listener[0].close()


def _filter(inside: Inside, spec: SandboxSpec) -> bytes:
    """The system-call filter for steps of this kind; made once."""
    made: dict[tuple[bool, bool], bytes] = inside.state.setdefault("filters", {})
    kind = (spec.trusted, spec.user == ROOT_ID)
    if kind not in made:
        machine = os.uname().machine
        made[kind] = seccomp.filter_program(machine, mounts=kind[0], chroot=kind[1], fake_owners=not inside.owners)
    return made[kind]


def _cpus(inside: Inside, count: int) -> list[int]:
    """So many of the CPUs, beginning with another one in each build; none for all. Unavailable: there are fewer."""
    there = len(inside.cpus)
    if count > there:
        raise Unavailable(
            f"the step is to see {count} CPUs, and there are {there} here",
            hint="build on a machine with as many, or say fewer in `limits: {cpus: ...}`",
        )
    return [inside.cpus[(os.getpid() + number) % there] for number in range(count)]


def _memory_file(data: bytes, fds: list[int]) -> int:
    fd = os.memfd_create("contractor", os.MFD_CLOEXEC)
    fds.append(fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _limit(spec: SandboxSpec) -> None:
    limits = spec.limits
    for kind, value in (
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    # The same on every machine, as far as it allows.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, files), files))
    _soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK if hard == resource.RLIM_INFINITY else min(_STACK, hard), hard))


def _listen_in_own_network(sender: socket.socket) -> None:
    """In the child: a network namespace with a loopback and one listener, whose descriptor alone leaves it."""
    enter_empty_network()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(PROXY_ADDRESS)
        listener.listen(128)
        fds = array.array("i", [listener.fileno(), *strays.opened()])
        sender.sendmsg([b"l"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


def _pass_listener(receiver: socket.socket, on_listener: Callable[[int], None]) -> list[int]:
    """Returns the descriptors of the namespace's counters."""
    receiver.settimeout(10)
    try:
        _data, fds, _flags, _address = socket.recv_fds(receiver, 1, 1 + len(strays.PATHS))
    except TimeoutError:
        fds = []
    if not fds:
        return []  # the child failed before it; its own message is in the step's output
    on_listener(fds[0])
    os.close(fds[0])
    return fds[1:]


def _write_file(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
