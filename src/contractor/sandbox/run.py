"""Running a step, on the caller's side: who reads its output (step.py is the supervisor's side, who watches and kills).

The output goes by a pipe straight from the step to the caller, never through the supervisor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator

import msgspec

from contractor.core.errors import ContractorError
from contractor.sandbox.ahead import GONE
from contractor.sandbox.channel import close_all
from contractor.sandbox.memory import MemoryGroup
from contractor.sandbox.namespace import Supervisor
from contractor.sandbox.spec import Caller, Exit, SandboxSpec

_PIPE_SIZE = 1 << 20  # bytes; the largest that an ordinary user may ask for
_READ = 1 << 18


def run(supervisor: Supervisor, spec: SandboxSpec, caller: Caller, group: MemoryGroup, folder: str) -> Exit:
    """Run a step to its end and return how it ended. folder: what the disk limit counts.

    An exception out of the caller's functions (Ctrl-C among them) kills the step first, and is raised when it is gone.
    """
    group.limit(spec.limits.memory)
    kills = group.kills()
    args = {"spec": None, "folder": folder, "watch_memory": group.kind == "watched", "file_size": spec.limits.file_size}
    with contextlib.ExitStack() as stack:
        read = supervisor.announced.take(spec)
        outputs = []
        if read is not None:  # it has been set up meanwhile
            stack.callback(os.close, read)
        else:
            lent = caller.terminal.lent(supervisor) if caller.terminal is not None else _lent_pipe()
            read, write = stack.enter_context(lent)
            outputs.append(write)
            args["spec"] = msgspec.to_builtins(spec)
        try:
            supervisor.send("run", args, outputs)
        finally:
            close_all(outputs)
        exit_ = _Pump(supervisor, caller, read).until_end()
    if exit_.trouble == GONE:
        return run(supervisor, spec, caller, group, folder)  # none waits now, so this starts one
    if exit_.code and not exit_.limit and group.kills() > kills:
        return msgspec.structs.replace(exit_, limit="memory")
    return exit_


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return read, write


@contextlib.contextmanager
def _lent_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; the block closes the second."""
    read, write = _pipe()
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
        if self.caller.following is not None:
            self._guarded(self._announce)
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

    def _announce(self) -> None:
        """Have the sandbox of what runs next set up (ahead.py)."""
        spec = self.caller.following() if self.caller.following is not None else None
        if spec is None:
            return
        read, write = _pipe()
        self.supervisor.announced.announce(spec, read)
        try:
            self.supervisor.channel.send({"next": msgspec.to_builtins(spec)}, [write])
        finally:
            os.close(write)

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
