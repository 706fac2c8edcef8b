"""The helper process that lives inside: root of a user namespace with a range of ids, with mounts and pids of its own.

    Contractor (the user)                        the terminal, the proxy, the records
      supervisor (root inside, no one outside)   overlay mounts, trees and workspaces with files of many owners
        bwrap -> a step                          in a user namespace nested once more, without the user's own id

It has no network: steps share its empty network namespace (one at a time; a namespace for each costs a millisecond),
or get one of their own with the proxy's listener in it. It does only what it is called for by name. It dies with
Contractor, and as it is pid 1 of its pid namespace, everything below it dies with it (userns.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contractor.core.errors import ERRORS_BY_OUTCOME, Broken, ContractorError, Outcome
from contractor.sandbox import idmap, process, syscalls, userns
from contractor.sandbox.ahead import MEANWHILE, Announced
from contractor.sandbox.channel import Channel, close_all
from contractor.sandbox.spec import ROOT_ID

if TYPE_CHECKING:
    from contractor.sandbox.spec import SandboxSpec
    from contractor.sandbox.started import Started


class Inside:
    """What an operation in the supervisor has: its channel to the caller, and the namespaces for steps by user."""

    def __init__(self, channel: Channel, maps: idmap.IdMaps) -> None:
        self.channel = channel
        self.maps = maps
        self.owners = maps.tier != "one-id"  # can files have owners here?
        cpus = sorted(os.sched_getaffinity(0))
        first = os.urandom(1)[0] % len(cpus)
        self.personality = 0  # of the build user's steps: what installs packages looks at the kernel's version
        self.cpus = cpus[first:] + cpus[:first]  # in another order in each build, for steps that see only some
        self._step_namespaces: dict[tuple[int, int], int] = {}
        self.state: dict[str, Any] = {}  # what one operation leaves for the next (scans, mounts)
        self.waiting: tuple[SandboxSpec, Started] | None = None  # see ahead.py

    def step_namespace(self, user: int, place: int) -> int:
        """The descriptor of the user namespace that steps of this user run in; made once a build (1.4 ms). place: 0 or
        1, for a sandbox that waits while another one runs.
        """
        if (user, place) not in self._step_namespaces:
            self._step_namespaces[user, place] = userns.nested_namespace(self.maps, user)
        return self._step_namespaces[user, place]

    def forget_waiting(self) -> None:
        """Give up the sandbox that waits, if one does."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting[1].give_up()

    def become(self, user: int, group: int) -> None:
        """In a forked child: take a step's ids, for good."""
        if self.owners:
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)

    @contextlib.contextmanager
    def lending(self, user: int, group: int) -> Iterator[None]:
        """While the block lasts, this process has what a step's is to inherit: its ids as real ids, its personality."""
        if self.owners:
            os.setresgid(group, -1, -1)
            os.setresuid(user, -1, -1)
        usual = self.dress(user)
        try:
            yield
        finally:
            if usual is not None:
                syscalls.personality(usual)
            if self.owners:
                os.setresuid(0, -1, -1)
                os.setresgid(0, -1, -1)

    def dress(self, user: int) -> int | None:
        """Take the personality of a step's process, if it is another one; returns the one before."""
        return syscalls.personality(self.personality) if self.personality and user != ROOT_ID else None


Operation = Callable[[Inside, dict[str, Any], list[int]], Any]  # it may take descriptors out of the list


class Supervisor:
    """The caller's side: start it, call its operations, close it. One call at a time."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self.announced = Announced()

    @staticmethod
    def start(maps: idmap.IdMaps, operations: Mapping[str, Operation]) -> Supervisor:
        """Start the helper process; Unavailable when this machine does not allow it."""
        ours, theirs = Channel.pair()

        def serve() -> None:
            ours.close()
            _serve(Inside(theirs, maps), operations)

        try:
            pid = userns.spawn(maps, serve)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
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
        self.announced.close()
        self.channel.close()
        with contextlib.suppress(ChildProcessError):
            process.wait(self.pid)

    def _gone(self) -> ContractorError:
        return Broken(
            "the helper process inside the namespaces ended unexpectedly",
            hint="it may have been killed for want of memory: see `dmesg`; finished steps are kept, build again",
        )


def _serve(inside: Inside, operations: Mapping[str, Operation]) -> None:
    while True:
        try:
            request, fds = inside.channel.receive()
        except EOFError:
            return
        if "operation" not in request:
            close_all(fds)
            continue  # it came after its step had ended: a kill, or what was to be set up meanwhile
        try:
            if request["operation"] not in MEANWHILE:
                inside.forget_waiting()
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
        with contextlib.suppress(BrokenPipeError):  # nobody is there any more: the next receive says so
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
