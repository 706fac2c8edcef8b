"""Bubblewrap: a step's command line (pure), and running it inside the supervisor.

The command line goes by --args FD and the environment is empty, because /proc/1/cmdline and /proc/1/environ of the
sandbox show both to the step. https://github.com/containers/bubblewrap (0.8 and later)
"""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
from collections.abc import Sequence

from contractor.core.errors import Broken
from contractor.sandbox import process, seccomp, strays, syscalls
from contractor.sandbox.ahead import gate
from contractor.sandbox.channel import close_all
from contractor.sandbox.limits import cpus_for, limit, offer_to_oom_killer
from contractor.sandbox.namespace import Inside
from contractor.sandbox.spec import PROXY_ADDRESS, ROOT_ID, Mount, SandboxSpec
from contractor.sandbox.started import Started
from contractor.sandbox.terminal import take_terminal
from contractor.sandbox.userns import enter_empty_network

# What a package manager needs to install; and what a tool that makes a tree needs on top of it.
_ROOT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETFCAP", "SYS_CHROOT", "AUDIT_WRITE",
    "NET_BIND_SERVICE", "MKNOD",
)  # fmt: skip
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


def start(inside: Inside, spec: SandboxSpec, output: int, *, place: int = 0, waits: bool = False) -> Started:
    """Start a step; waits: up to its command. The listening socket of a networked step is sent to the caller, and its
    network holds nothing else. place: which of its user's namespaces it has.
    """
    fds: list[int] = []
    status_read, status_write = os.pipe()
    args_read, args_write = os.pipe()
    turn = gate() if waits else -1
    counters: list[int] = []
    try:
        cpus = cpus_for(inside, spec)
        filter_fd = _memory_file(_filter(inside, spec), fds)
        data = [_memory_file(mount.data, fds) for mount in spec.mounts if mount.kind == "file"]
        namespace = inside.step_namespace(spec.user, place)
        options = bwrap_options(spec, namespace, status_write, filter_fd, data)
        if waits:
            options += ["--block-fd", str(turn)]  # which it closes before the command
        argv = [process.require_tool("bwrap", "bubblewrap"), "--args", str(args_read), "--", *spec.argv]
        keep = [*fds, args_read, status_write, namespace, *([turn] if waits else [])]
        if spec.terminal or spec.network:
            pid, counters = _start_prepared(inside, spec, argv, output, keep)
        else:
            with inside.lending(spec.user, spec.gid):
                pid = process.spawn(argv, output=output, keep=keep, real_ids=True)
            offer_to_oom_killer(str(pid))
    except BaseException:
        close_all([status_read, args_write, *([turn] if waits else [])])
        raise
    finally:
        close_all([*fds, args_read, status_write])
    started = Started(pid, status_read, turn, place, counters)
    try:
        with contextlib.suppress(ProcessLookupError, BrokenPipeError):  # it has ended already, and said why
            limit(pid, spec, cpus)  # bwrap does nothing before it has read its options
            _write_all(args_write, b"".join(os.fsencode(option) + b"\0" for option in options))
    except BaseException:
        os.kill(pid, signal.SIGKILL)  # with half of its options it would be another sandbox
        started.give_up()
        raise
    finally:
        os.close(args_write)
    return started


def _start_prepared(
    inside: Inside, spec: SandboxSpec, argv: list[str], output: int, keep: list[int]
) -> tuple[int, list[int]]:
    """Start a bwrap that needs a terminal's session or a network of its own; returns its pid and its counters."""
    listener = socket.socketpair() if spec.network else None

    def prepare() -> None:
        if spec.terminal:
            take_terminal(0)
        if listener is not None:
            _listen_in_own_network(listener[1])
        inside.dress(spec.user)
        inside.become(spec.user, spec.gid)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # changing ids made /proc/self the real root's
        offer_to_oom_killer("self")

    if spec.terminal and inside.owners:
        os.fchown(output, spec.user, spec.user)
    pid = process.start(argv, output=output, keep=keep, prepare=prepare, interactive=spec.terminal)
    if listener is None:
        return pid, []
    listener[1].close()
    with listener[0] as receiver:
        return pid, _pass_listener(receiver, inside)


def _filter(inside: Inside, spec: SandboxSpec) -> bytes:
    """The system-call filter for steps of this kind; made once."""
    made: dict[tuple[bool, bool], bytes] = inside.state.setdefault("filters", {})
    kind = (spec.trusted, spec.user == ROOT_ID)
    if kind not in made:
        machine = os.uname().machine
        made[kind] = seccomp.filter_program(machine, mounts=kind[0], chroot=kind[1], fake_owners=not inside.owners)
    return made[kind]


def _memory_file(data: bytes, fds: list[int]) -> int:
    fd = os.memfd_create("contractor", os.MFD_CLOEXEC)
    fds.append(fd)
    _write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _listen_in_own_network(sender: socket.socket) -> None:
    """In the child: a network namespace with a loopback and one listener, whose descriptor alone leaves it."""
    enter_empty_network()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(PROXY_ADDRESS)
        listener.listen(128)
        fds = array.array("i", [listener.fileno(), *strays.opened()])
        sender.sendmsg([b"l"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


def _pass_listener(receiver: socket.socket, inside: Inside) -> list[int]:
    """Send the listener to the caller; returns the descriptors of its namespace's counters."""
    receiver.settimeout(10)
    try:
        _data, fds, _flags, _address = socket.recv_fds(receiver, 1, 1 + len(strays.PATHS))
    except TimeoutError:
        fds = []
    if not fds:
        return []  # the child failed before it; its own message is in the step's output
    inside.channel.send({"listener": True}, fds[:1])
    os.close(fds[0])
    return fds[1:]
