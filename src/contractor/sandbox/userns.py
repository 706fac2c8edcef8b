"""Making the namespaces: the supervisor's (user, mount, pid, network), and the user namespaces that steps run in.

    Contractor            forks a first child, which makes the namespaces, forks the supervisor and is ended
      supervisor          pid 1 of the new pid namespace; Contractor's child once the first has gone

When pid 1 of a pid namespace ends, the kernel ends everything else in it, nested namespaces included. So it does not
matter what a step makes of its own sandbox (it may write the memory of its pid 1): nothing of a build outlives the
supervisor, and the supervisor does not outlive Contractor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable

from contractor.core.errors import Unavailable
from contractor.sandbox import idmap, process, syscalls
from contractor.sandbox.channel import close_all
from contractor.sandbox.limits import limit_stack

_USERNS_HINT = "run `contractor doctor`: it names what forbids user namespaces here and the command that allows them"
_PROC_HINT = "if this is a container, it must allow mounting /proc: see `container` in `contractor doctor`"
_PID = struct.Struct("i")


def spawn(maps: idmap.IdMaps, serve: Callable[[], None]) -> int:
    """Fork a process that is root of namespaces of its own and calls `serve`; its pid, as a child of this one.

    Unavailable when this machine does not allow it.
    """
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    ours: list[int] = []  # children that are to go if this fails
    try:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)  # for the moment in which the first child goes
        parent = os.getpid()
        ours.append(os.fork())
        if ours[0] == 0:
            close_all([ready_read, go_write])
            _end_after(lambda: _make_namespaces(maps, serve, parent, (ready_write, go_read)))
        close_all([ready_write, go_read])
        if os.read(ready_read, 1) != b"u":
            raise Unavailable("this machine does not let you make a user namespace", hint=_USERNS_HINT)
        _write_maps(ours[0], maps)
        told = os.read(ready_read, _PID.size)
        if len(told) != _PID.size:
            raise Unavailable("the helper process could not be started", hint=_USERNS_HINT)
        _end(ours.pop())
        ours.append(_PID.unpack(told)[0])
        os.write(go_write, b"g")
        answer = os.read(ready_read, 1)
        if answer == b"p":
            raise Unavailable("this machine does not let a new /proc be mounted", hint=_PROC_HINT)
        if answer != b"r":
            raise Unavailable("the user namespace could not be set up", hint=_USERNS_HINT)
        return ours.pop()
    finally:
        close_all([ready_read, go_write])
        for pid in ours:
            _end(pid)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        process.wait(pid)


def _end_after(body: Callable[[], None]) -> None:
    """In a forked child: run to the end, and never return."""
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        import traceback  # 2 ms, and only for what should not happen

        with contextlib.suppress(OSError):
            os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _make_namespaces(maps: idmap.IdMaps, serve: Callable[[], None], parent: int, pipes: tuple[int, int]) -> None:
    """The first child. A pid namespace is for the children of who makes it; so there is a second."""
    ready, _go = pipes
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    kinds = (syscalls.CLONE_NEWUSER, syscalls.CLONE_NEWNS, syscalls.CLONE_NEWUTS, syscalls.CLONE_NEWPID)
    syscalls.unshare(sum(kinds))
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # a new user namespace clears it
    if os.getppid() != parent:
        return
    os.write(ready, b"u")
    pid = os.fork()  # while the parent writes the maps
    if pid == 0:
        _end_after(lambda: _settle_in(maps, serve, pipes))
    os.write(ready, _PID.pack(pid))  # as it is known outside, where this process still is
    signal.pause()


def _settle_in(maps: idmap.IdMaps, serve: Callable[[], None], pipes: tuple[int, int]) -> None:
    """The second child: the supervisor."""
    ready, go = pipes
    os.setsid()  # no terminal: nothing inside can reach it, and its Ctrl-C is the caller's to handle
    if os.read(go, 1) != b"g":
        return
    if maps.tier != "one-id":
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    # After the ids (changing them clears it). A parent that has gone before this is noticed by its end of the channel.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.make_mounts_private()
    try:
        syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    except OSError:
        os.write(ready, b"p")
        return
    enter_empty_network()
    _mark_descriptors()
    syscalls.set_domain_name("(none)")  # as the kernel has it where nobody set one
    syscalls.personality(0)
    limit_stack()
    os.umask(0o022)
    os.write(ready, b"r")
    close_all(pipes)
    serve()


def _mark_descriptors() -> None:
    """No program that is started here inherits a descriptor that it is not given: not even one that Contractor got from
    whoever started it.
    """
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them
            os.set_inheritable(int(name), int(name) <= 2)


def enter_empty_network() -> None:
    """A network namespace of this process's own, with nothing in it but a loopback that is up."""
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with socket.socket() as any_socket:
        up = struct.pack("16sH14s", b"lo", 0x1 | 0x8 | 0x40, b"")  # IFF_UP, IFF_LOOPBACK, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def _write_maps(pid: int, maps: idmap.IdMaps) -> None:
    if maps.tier == "id-range":
        for tool, extents in (("newuidmap", maps.uids), ("newgidmap", maps.gids)):
            argv = [process.require_tool(tool, "uidmap"), str(pid), *(str(n) for extent in extents for n in extent)]
            done = process.run(argv, timeout=10)
            if done.code:
                reason = done.output.decode(errors="replace").strip()
                raise Unavailable(f"{tool} refused the map of subordinate ids: {reason}", hint=_USERNS_HINT)
        return
    try:
        if maps.tier == "one-id":
            _write(f"/proc/{pid}/setgroups", b"deny")
        _write(f"/proc/{pid}/uid_map", idmap.text(maps.uids))
        _write(f"/proc/{pid}/gid_map", idmap.text(maps.gids))
    except OSError as error:
        raise Unavailable(f"the id map was refused: {error.strerror}", hint=_USERNS_HINT) from error


def _write(path: str, data: bytes) -> None:
    """One write(2): the kernel takes a map only whole, and Python's files hide the error until they are closed."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def nested_namespace(maps: idmap.IdMaps, user: int) -> int:
    """In the supervisor: a user namespace for steps, as a descriptor. The step's user owns it, so that bwrap, run as
    that user, may join it.
    """
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:

        def wait_inside() -> None:
            if maps.tier != "one-id":
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else its maps belong to the real root
            os.write(ready_write, b"u")
            os.close(go_write)
            os.read(go_read, 1)

        _end_after(wait_inside)
    try:
        close_all([ready_write])
        if os.read(ready_read, 1) != b"u":
            raise Unavailable("a nested user namespace could not be made", hint=_USERNS_HINT)
        for kind in ("uid", "gid"):
            _write(f"/proc/{pid}/{kind}_map", idmap.nested(maps, user))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        close_all([ready_read, go_read, go_write])
        process.wait(pid)
