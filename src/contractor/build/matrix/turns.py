"""Builds that wait for each other: for a step that another one runs already, and for what only one step may use.

    locks/steps            a byte a key, held by the build that runs that step (nothing is left behind but the file)
    locks/exclusive-NAME   held by the step that says `exclusive: NAME`; the file says whose it is

Locks belong to open descriptors, so that they end with the process that holds them, however it ends. The supervisor is
forked in between and has them too: so they are given back, and not just closed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator

from contractor.build.context import StepContext
from contractor.core.errors import Broken

_PERIOD = 0.05  # seconds between two tries
_PATIENCE = 3600.0  # seconds to wait for one holder, at least; a step may take longer if its limit says so
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid (0 for locks of descriptors)


@contextlib.contextmanager
def same_step(context: StepContext) -> Iterator[bool]:
    """Hold the step, so that other builds wait for its result; False when it was not to be had in all the time.

    Two builds that run the same step harm nothing: it only costs twice.
    """
    key = context.action.key
    fd = os.open(context.store.path("locks", "steps"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(
            lambda: _try_byte(fd, int(key[:15], 16)),
            context,
            lambda _holder: "another build runs this step already: waiting for it",
        )
    finally:
        _lock_byte(fd, int(key[:15], 16), fcntl.F_UNLCK)
        os.close(fd)


@contextlib.contextmanager
def exclusive(context: StepContext) -> Iterator[None]:
    """Hold the name that the step is exclusive about; Broken when somebody keeps it for too long."""
    name = context.action.step.exclusive
    if not name:
        yield
        return
    path = context.store.path("locks", f"exclusive-{name}")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        began = time.monotonic()
        if not _taken(
            lambda: _try_file(fd),
            context,
            lambda holder: f"waiting for {name}" + (f", which {holder} has" if holder else ""),
            lambda: os.pread(fd, 200, 0).decode("utf-8", "replace"),
        ):
            raise Broken(
                f"waited too long for {name}, which one step at a time may have",
                hint=f"see who holds {path}: `fuser -v {path}`",
            )
        waited = time.monotonic() - began
        context.paused += waited
        if waited > _PERIOD:
            context.notice(f"has {name}, after {waited:.1f} s")
        os.pwrite(fd, f"{context.build}\n".encode().ljust(os.fstat(fd).st_size), 0)
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _taken(
    attempt: Callable[[], bool],
    context: StepContext,
    words: Callable[[str], str],
    holder: Callable[[], str] = str,
) -> bool:
    """Try until it works; say once what is waited for, and begin to count anew when somebody else has it."""
    if attempt():
        return True
    patience = max(_PATIENCE, 2 * context.limits.time)
    known = holder().strip()
    context.notice(words(known), "wait")
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if context.options.tick is not None:
            context.options.tick()
        time.sleep(_PERIOD)
        if attempt():
            return True
        if (now := holder().strip()) != known:
            known, until = now, time.monotonic() + patience
    return False


def _try_byte(fd: int, number: int) -> bool:
    """A write lock on one byte, which need not be there, of this open file description."""
    try:
        _lock_byte(fd, number, fcntl.F_WRLCK)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def _lock_byte(fd: int, number: int, kind: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, number, 1, 0))


def _try_file(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True
