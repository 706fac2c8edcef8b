"""The helper process that lives inside: root of a user namespace with a range of ids, in a mount namespace of its own.

    Contractor (the user)                        the terminal, the proxy, the records
      supervisor (root inside, no one outside)   overlay mounts, trees and workspaces with files of many owners
        bwrap -> a step                          in a user namespace nested once more, without the user's own id

It has no network: steps share its empty network namespace (one at a time; a namespace for each costs a millisecond),
or get one of their own with the proxy's listener in it. It does only what it is called for by name, and dies with
Contractor, and every step with it: the dead-man's chain.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contractor.core.errors import ERRORS_BY_OUTCOME, Broken, ContractorError, Outcome, Unavailable
from contractor.sandbox import idmap, process, syscalls
from contractor.sandbox.channel import Channel, close_all

_USERNS_HINT = "run `contractor doctor`: it names what forbids user namespaces here and the command that allows them"


class Inside:
    """What an operation in the supervisor has: its channel to the caller, and the namespaces for steps by user."""

    def __init__(self, channel: Channel, maps: idmap.IdMaps) -> None:
        self.channel = channel
        self.maps = maps
        self.owners = maps.tier != "one-id"  # can files have owners here?
        self.cpus = sorted(os.sched_getaffinity(0))  # of the machine, or what this build was given of it
        self._step_namespaces: dict[int, int] = {}
        self.state: dict[str, Any] = {}  # what one operation leaves for the next (scans, mounts)

    def step_namespace(self, user: int) -> int:
        """The descriptor of the user namespace that steps of this user run in; made once a build (1.4 ms)."""
        if user not in self._step_namespaces:
            self._step_namespaces[user] = _nested_namespace(self.maps, user)
        return self._step_namespaces[user]

    def become(self, user: int) -> None:
        """In a forked child: take a step's ids, for good."""
        if self.owners:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)


Operation = Callable[[Inside, dict[str, Any], list[int]], Any]  # it may take descriptors out of the list


class Supervisor:
    """The caller's side: start it, call its operations, close it. One call at a time."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel

    @staticmethod
    def start(maps: idmap.IdMaps, operations: Mapping[str, Operation]) -> Supervisor:
        """Fork the helper and write its id maps; Unavailable when this machine does not allow it."""
        ours, theirs = Channel.pair()
        ready_read, ready_write = os.pipe()
        go_read, go_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            close_all([ready_read, go_write])
            ours.close()
            _child(maps, operations, theirs, (ready_write, go_read))
        theirs.close()
        close_all([ready_write, go_read])
        try:
            if os.read(ready_read, 1) != b"u":
                raise Unavailable("this machine does not let you make a user namespace", hint=_USERNS_HINT)
            _write_maps(pid, maps)
            os.write(go_write, b"g")
            if os.read(ready_read, 1) != b"r":
                raise Unavailable("the user namespace could not be set up", hint=_USERNS_HINT)
        except BaseException:
            ours.close()
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            process.wait(pid)
            raise
        finally:
            close_all([ready_read, go_write])
        return Supervisor(pid, ours)

    def call(self, operation: str, args: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        """Run an operation inside and return its value; its error is raised here as it was raised there."""
        self.send(operation, args, fds)
        while True:
            message, received = self.receive()
            close_all(received)
            if "value" in message:
                return message["value"]

    def send(self, operation: str, args: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        try:
            self.channel.send({"operation": operation, "args": args}, fds)
        except OSError as error:
            raise self._gone() from error

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message: {"value": ...}, or what an operation says in between; raises the operation's error."""
        try:
            message, fds = self.channel.receive()
        except EOFError as error:
            raise self._gone() from error
        if "error" in message:
            close_all(fds)
            outcome, text, details, hint = message["error"]
            raise ERRORS_BY_OUTCOME[Outcome(outcome)](text, details=tuple(details), hint=hint)
        return message, fds

    def close(self) -> None:
        self.channel.close()
        with contextlib.suppress(ChildProcessError):
            process.wait(self.pid)

    def _gone(self) -> ContractorError:
        return Broken(
            "the helper process inside the namespaces ended unexpectedly",
            hint="it may have been killed for want of memory: see `dmesg`; finished steps are kept, build again",
        )


def _child(maps: idmap.IdMaps, operations: Mapping[str, Operation], channel: Channel, pipes: tuple[int, int]) -> None:
    ready, go = pipes
    code = 1
    try:
        parent = os.getppid()
        os.setsid()  # no terminal: nothing inside can reach it, and its Ctrl-C is the caller's to handle
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
        os.write(ready, b"u")
        if os.read(go, 1) != b"g":
            return
        if maps.tier != "one-id":
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the ids: changing them clears it
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        if os.getppid() != parent:
            return
        syscalls.make_mounts_private()
        enter_empty_network()
        syscalls.set_domain_name("(none)")  # as the kernel has it where nobody set one
        syscalls.personality(0)
        os.umask(0o022)
        os.write(ready, b"r")
        close_all(pipes)
        _serve(Inside(channel, maps), operations)
        code = 0
    except BaseException:
        with contextlib.suppress(OSError):
            os.write(2, _trace())
    finally:
        os._exit(code)


def _serve(inside: Inside, operations: Mapping[str, Operation]) -> None:
    while True:
        try:
            request, fds = inside.channel.receive()
        except EOFError:
            return
        if "operation" not in request:
            continue  # a kill that came after its step had ended
        try:
            value = operations[request["operation"]](inside, request["args"], fds)
            answer: dict[str, Any] = {"value": value}
        except ContractorError as error:
            answer = {"error": (error.outcome.value, error.message, error.details, error.hint)}
        except OSError as error:
            answer = {"error": _from_os_error(request["operation"], error)}
        except Exception as error:
            details = tuple(_trace().decode().splitlines()[-6:])
            answer = {"error": ("broken", f"{request['operation']} failed: {error!r}", details, "please report this")}
        finally:
            close_all(fds)
        inside.channel.send(answer)


def _trace() -> bytes:
    import traceback  # 2 ms, and only for what should not happen

    return traceback.format_exc().encode()


def _from_os_error(operation: str, error: OSError) -> tuple[str, str, tuple[str, ...], str]:
    where = f" at {error.filename!r}" if error.filename is not None else ""
    hint = ""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        hint = "the disk is full: free some space (`contractor gc` frees the store's) and build again"
    details = tuple(_trace().decode().splitlines()[-6:])
    return ("broken", f"{operation}: {error.strerror or error}{where}", () if hint else details, hint)


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


def _nested_namespace(maps: idmap.IdMaps, user: int) -> int:
    """A user namespace for steps, owned by the step's user so that bwrap, run as that user, may join it."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if maps.tier != "one-id":
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else its maps belong to the real root
            os.write(ready_write, b"u")
            os.close(go_write)
            os.read(go_read, 1)
        finally:
            os._exit(0)
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
