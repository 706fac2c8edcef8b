"""The only module that starts programs.

`spawn` and `start` give a program exactly the descriptors that are asked for, and an empty environment; `start` can set
things up in the child first, which takes a fork. `run` is for short tools of the host, with bounded time and output.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from contractor.core.errors import Broken, Unavailable
from contractor.core.values import Value
from contractor.sandbox import syscalls

HOST_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_OUTPUT_MAX = 64 << 20  # bytes of a host tool's output


def which(name: str) -> str | None:
    """Where a tool of the host is, on a fixed path: what the user's PATH says must not choose what we trust."""
    for folder in HOST_PATH.split(":"):
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    return None


def require_tool(name: str, package: str) -> str:
    """The path of a host tool, or Unavailable with the package that has it."""
    path = which(name)
    if path is None:
        raise Unavailable(f"the program {name} is not installed", hint=f"sudo apt-get install {package}")
    return path


_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


def spawn(argv: Sequence[str], *, output: int, keep: Sequence[int], real_ids: bool) -> int:
    """Execute a program and return its pid. Its standard input and its environment are empty, its output and error go
    to the descriptor `output`. By vfork: nothing of this large process is copied, which saves a millisecond.

    keep: descriptors that it inherits under the same numbers; every other one must be marked to be closed. real_ids:
    its effective ids are this process's real ones.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in keep),  # to itself: takes the mark away
    ]
    return os.posix_spawn(
        argv[0], list(argv), {}, file_actions=actions, resetids=real_ids, setsigmask=(), setsigdef=_SIGNALS
    )


def start(  # noqa: PLR0913 - what a program may be given
    argv: Sequence[str],
    *,
    output: int,
    keep: Sequence[int],
    prepare: Callable[[], None],
    interactive: bool = False,
    environment: Mapping[str, str] | None = None,
    blocked: Sequence[signal.Signals] = (),
) -> int:
    """The same, after `prepare` in a forked child; when that raises, the child writes the error to its output and ends
    with 125. interactive: output is a terminal, which is its input too. blocked: signals that
    wait until the program takes them.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(output if interactive else os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        prepare()
        _close_all_but(sorted(keep))
        for number in _SIGNALS:  # whatever the caller ignores
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.execve(argv[0], list(argv), environment or {})
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"contractor: cannot start {argv[0]}: {error}\n".encode())
    finally:
        os._exit(125)


def launch(argv: Sequence[str], *, files: tuple[int, int], keep: Sequence[int], environment: Mapping[str, str]) -> int:
    """Execute a program that dies with this process, in a session of its own, and return its pid. It is not spared when
    memory is short, even if this process is. To be called by the main thread: it is whose end the kernel looks at.

    files: its standard input, and its output and error. keep: descriptors that it inherits under the same numbers.
    SIGTERM is blocked in it: one that comes before the program knows what to do waits until it says so.
    """
    parent = os.getpid()

    def prepare() -> None:
        signal.set_wakeup_fd(-1)  # shared with this process, which would take a signal to the child for its own
        for number in _SIGNALS:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        os.dup2(files[0], 0)
        os.setsid()
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("0")
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise ProcessLookupError("its parent has gone")

    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child has given up what it inherits
    try:
        blocked = (signal.SIGTERM,)
        return start(argv, output=files[1], keep=keep, prepare=prepare, environment=environment, blocked=blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close_all_but(keep: Sequence[int]) -> None:
    low = 3
    for fd in keep:
        os.closerange(low, fd)
        os.set_inheritable(fd, True)
        low = fd + 1
    os.closerange(low, 65536)


class Completed(Value, frozen=True):
    code: int  # 128 + signal when one killed it
    output: bytes  # standard output and error, in the order in which they came


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 60.0) -> Completed:
    """Run a tool of the host to its end, in an environment made from nothing; Broken when it takes longer (seconds)."""
    read, write = os.pipe()
    try:
        full = {"PATH": HOST_PATH, "LC_ALL": "C.UTF-8", **(env or {})}
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_DUP2, write, 2),
        ]
        pid = os.posix_spawn(argv[0], list(argv), full, file_actions=actions)
    except OSError as error:
        os.close(read)
        raise Unavailable(f"cannot start {argv[0]}: {error.strerror}") from error
    finally:
        os.close(write)
    try:
        output = _drain(pid, read, time.monotonic() + timeout, argv[0])
    finally:
        os.close(read)
    return Completed(wait(pid), output)


def _drain(pid: int, read: int, deadline: float, name: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or size > _OUTPUT_MAX:
            os.kill(pid, signal.SIGKILL)
            wait(pid)
            why = "did not end in time" if left <= 0 else f"wrote more than {_OUTPUT_MAX} bytes"
            raise Broken(f"{name} {why}", hint="run it by hand to see what it waits for")
        if select.select([read], [], [], left)[0]:
            data = os.read(read, 1 << 16)
            if not data:
                return b"".join(parts)
            parts.append(data)
            size += len(data)


def wait(pid: int) -> int:
    """Wait for a child; its exit code, 128 + signal when one killed it."""
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
