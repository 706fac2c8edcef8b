"""Running a step, seen from both sides: the caller, who reads its output, and the supervisor, who watches and kills.

The output goes by a pipe straight from the step to the caller, never through the supervisor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from contractor.core.errors import Broken, ContractorError
from contractor.sandbox import bwrap, strays
from contractor.sandbox.channel import close_all
from contractor.sandbox.memory import MemoryGroup
from contractor.sandbox.namespace import Inside, Supervisor
from contractor.sandbox.spec import ROOT_ID, Caller, Exit, SandboxSpec
from contractor.sandbox.watch import INTERVAL, Usage, Watch

_PIPE_SIZE = 1 << 20  # bytes; the largest that an ordinary user may ask for
_READ = 1 << 18
_END_WAIT = 10.0  # seconds that a killed sandbox may take to end
_LIMIT_CODE = 128 + 25  # SIGXFSZ
_TICKS = os.sysconf("SC_CLK_TCK")  # a second


def run(supervisor: Supervisor, spec: SandboxSpec, caller: Caller, group: MemoryGroup, folder: str) -> Exit:
    """Run a step to its end and return how it ended. folder: what the disk limit counts.

    An exception out of the caller's functions (Ctrl-C among them) kills the step first, and is raised when it is gone.
    """
    group.limit(spec.limits.memory)
    kills = group.kills()
    with caller.terminal.lent(supervisor) if caller.terminal is not None else _pipe() as (read, write):
        args = {"spec": msgspec.to_builtins(spec), "folder": folder, "watch_memory": group.kind == "watched"}
        try:
            supervisor.send("run", args, [write])
        finally:
            os.close(write)
        pump = _Pump(supervisor, caller, read)
        exit_ = pump.until_end()
    if exit_.code and not exit_.limit and group.kills() > kills:
        return msgspec.structs.replace(exit_, limit="memory")
    return exit_


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; the block closes the second."""
    read, write = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    try:
        yield read, write
    finally:
        os.close(read)


class _Pump:
    def __init__(self, supervisor: Supervisor, caller: Caller, read: int) -> None:
        self.supervisor = supervisor
        self.caller = caller
        self.read = read
        self.stopped: BaseException | None = None

    def until_end(self) -> Exit:
        poll = select.poll()
        poll.register(self.read, select.POLLIN)
        poll.register(self.supervisor.channel, select.POLLIN)
        terminal = self.caller.terminal
        if terminal is not None:
            poll.register(terminal.turn, select.POLLIN)
        open_ = True
        result: Exit | None = None
        while result is None or open_:
            ready = self._poll(poll, 100 if result is None else 0)
            if self.read in ready and not self._output():
                poll.unregister(self.read)
                open_ = False
            if self.supervisor.channel.fileno() in ready:
                result = self._message()
                if result is not None:
                    poll.unregister(self.supervisor.channel)
            elif result is not None and not ready:
                break  # the step is over, its pipe is empty: whoever still holds it cannot write
            if terminal is not None and terminal.turn in ready and self.stopped is None:
                self._guarded(terminal.keys)
            if self.caller.tick is not None and self.stopped is None:
                self._guarded(self.caller.tick)
            if terminal is not None and self.stopped is not None and terminal.turn in ready:
                poll.unregister(terminal.turn)  # gone: it would be ready for ever
                terminal = None
        if self.stopped is not None:
            raise self.stopped
        return result

    def _poll(self, poll: select.poll, milliseconds: int) -> dict[int, int]:
        try:
            return dict(poll.poll(milliseconds))
        except KeyboardInterrupt as error:  # the second Ctrl-C, or the first where nobody catches it
            self._kill(error)
            return {}

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call the caller's function; what it raises ends the step first, and is raised when the step is gone."""
        try:
            call()
        except (KeyboardInterrupt, ContractorError, OSError) as error:
            self._kill(error)

    def _kill(self, why: BaseException) -> None:
        if self.stopped is None:
            self.stopped = why
            with contextlib.suppress(OSError):
                self.supervisor.channel.send({"kill": True})

    def _output(self) -> bool:
        try:
            data = os.read(self.read, _READ)
        except OSError:
            data = b""  # a terminal says so when nobody has its other side any more
        if data and self.stopped is None:
            show = self.caller.terminal.show if self.caller.terminal is not None else self.caller.on_output
            self._guarded(lambda: show(data))
        return bool(data)

    def _message(self) -> Exit | None:
        message, fds = self.supervisor.receive()
        if "listener" in message and self.caller.on_listener is not None:
            listener = socket.socket(fileno=fds.pop())
            self.caller.on_listener(listener)
        close_all(fds)
        return msgspec.convert(message["value"], Exit) if "value" in message else None


def run_inside(inside: Inside, args: dict[str, Any], fds: list[int], usage: Usage) -> dict[str, Any]:
    """The supervisor's side: start the step, watch it, kill it at a limit, and say how it ended."""
    spec = msgspec.convert(args["spec"], SandboxSpec)
    started_at = time.monotonic()
    watch = Watch(spec.limits, args["folder"], usage, memory=args["watch_memory"])

    def pass_on(listener: int) -> None:
        inside.channel.send({"listener": True}, [listener])

    process = bwrap.start(inside, spec, fds[0], pass_on)
    os.close(fds.pop())  # else the pipe would not end with the step
    try:
        limit = _watch_until_end(inside, spec, process, watch)
        _pid, status, used = os.wait4(process.pid, 0)
        inner = _cpu_seconds(process.child_pid())
        _end_of_all(inside, process.child_pid(), root=spec.user == ROOT_ID)
        code = process.exit_code()
        returned = os.waitstatus_to_exitcode(status)
        strayed = _strayed(inside, process)
    finally:
        process.close()
    if limit == "time" and watch.most_processes >= spec.limits.processes - 1:
        limit = "processes"  # it could not go on for want of them
    if not limit and code is not None and code != 0:
        limit = _limit_of(code, spec, watch)
    exit_ = Exit(
        started=code is not None or bool(limit),
        code=code if code is not None else (128 - returned if returned < 0 else returned),
        seconds=time.monotonic() - started_at,
        cpu_seconds=used.ru_utime + used.ru_stime + inner,
        max_rss=max(used.ru_maxrss * 1024, watch.most_memory),
        limit=limit,
        strays=strayed,
    )
    value: dict[str, Any] = msgspec.to_builtins(exit_)
    return value


def _strayed(inside: Inside, process: bwrap.Started) -> tuple[int, int]:
    """What the step sent past the proxy. Steps without network share a namespace, so there it is the difference."""
    if process.counters:
        return strays.count(process.counters)
    if "counters" not in inside.state:
        inside.state["counters"] = strays.opened()
    before = inside.state.get("strays", (0, 0))
    now = inside.state["strays"] = strays.count(inside.state["counters"])
    return now[0] - before[0], now[1] - before[1]


def _end_of_all(inside: Inside, child: int | None, *, root: bool) -> None:
    """See to it that nothing of the step runs any more: bwrap ends before its pid 1, and what is left could write.

    A pid 1 without children is the last of its namespace; its own end (some milliseconds, for the kernel to take the
    mounts down) is not waited for, but collected when a later step has ended. Root's could be somebody else's by now.
    """
    ending: set[int] = inside.state.setdefault("ending", set())
    for pid in [*ending]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        ending.discard(pid)
    if child is None:
        return
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(child, os.WNOHANG) != (0, 0):  # ours, as bwrap's orphan (subreaper)
            return
        if not root and not _has_children(child):
            ending.add(child)
            return
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)  # ends when every process of its namespace has ended


def _cpu_seconds(child: int | None) -> float:
    """What the sandbox's pid 1 and all that it has waited for used; 0 when bwrap's own figure has it already."""
    try:
        with open(f"/proc/{child}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, cutime, cstime: proc(5)


def _has_children(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return bool(file.read(1))
    except OSError:
        return True  # not to be known: so wait


def _limit_of(code: int, spec: SandboxSpec, watch: Watch) -> str:
    """Which limit a failed command ran into, when its exit code or the last look tells."""
    if code == _LIMIT_CODE:
        return "file-size"
    if watch.full():
        return "disk-full"
    return "processes" if watch.most_processes >= spec.limits.processes - 1 else ""


def _watch_until_end(inside: Inside, spec: SandboxSpec, process: bwrap.Started, watch: Watch) -> str:
    poll = select.poll()
    poll.register(process.pidfd, select.POLLIN)
    poll.register(inside.channel, select.POLLIN)
    deadline = time.monotonic() + spec.limits.time if spec.limits.time else float("inf")
    killed_at = 0.0
    limit = ""
    while True:
        pause = min(INTERVAL, max(0.0, deadline - time.monotonic())) if not killed_at else INTERVAL
        ready = dict(poll.poll(pause * 1000))
        if process.pidfd in ready:
            return limit
        if inside.channel.fileno() in ready:
            inside.channel.receive()  # EOFError ends the supervisor, and with it the step
            limit = limit or "aborted"
        elif not killed_at and time.monotonic() >= deadline:
            limit = "time"
        elif not killed_at:
            limit = watch.check(process.child_pid())
        if limit:
            process.kill()
            killed_at = killed_at or time.monotonic()
            if time.monotonic() - killed_at > _END_WAIT:
                raise Broken(
                    f"the sandbox did not end {_END_WAIT:.0f} seconds after it was killed",
                    hint="a process in it hangs in the kernel: see `ps -eo pid,stat,wchan,args | grep ' D'`",
                )
