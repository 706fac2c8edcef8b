"""Waiting until something may have changed in some directories: told by inotify, or, where that cannot be, by a clock.

inotify tells of what this machine does. What another one does to a shared folder it does not know, and each user may
watch only so many directories: then the clock must do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

QUIET = 0.15  # seconds without an event after which a change counts as done
_LONGEST = 2.0  # seconds that a change may go on before it is looked at all the same
_SLICE = 0.2  # seconds after which the caller is asked whether to go on
PERIOD = 1.0  # seconds between two looks by the clock
_SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "lustre", "fuse.sshfs")


class Waker:
    """Use as a context manager. why: why the clock must do; empty while inotify tells.

    stale: directories came or went, so `watch` is to be told which ones there are now.
    """

    def __init__(self) -> None:
        self.why = ""
        self.stale = False
        self._inotify: Any = None
        self._flags: Any = None
        self._watched: dict[int, str] = {}

    def __enter__(self) -> Waker:
        from inotify_simple import INotify, flags  # for this only

        self._flags = flags
        try:
            self._inotify = INotify()
        except OSError as error:
            self._give_up(_reason(error))
        return self

    def __exit__(self, *_error: object) -> None:
        if self._inotify is not None:
            self._inotify.close()

    def watch(self, directories: Iterable[str]) -> None:
        """Watch these and no others; one that has gone is passed over."""
        self.stale = False
        wanted = set(directories)
        if self._inotify is None:
            return
        if shared := _shared(wanted):
            self._give_up(shared)
            return
        for number in [number for number, path in self._watched.items() if path not in wanted]:
            del self._watched[number]
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(number)
        try:
            for path in wanted - set(self._watched.values()):
                self._add(path)
        except OSError as error:
            self._give_up(_reason(error))

    def _add(self, path: str) -> None:
        flags = self._flags
        mask = flags.CLOSE_WRITE | flags.ATTRIB | flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO
        mask |= flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR | flags.EXCL_UNLINK
        try:
            self._watched[self._inotify.add_watch(path, mask)] = path
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                raise

    def wait(self, check: Callable[[], None], *, pause: float = PERIOD) -> None:
        """Until something may have changed, and nothing has for a moment. check: called often; it may raise.

        pause: seconds between two looks by the clock.
        """
        if self._inotify is None:
            until = time.monotonic() + pause
            while (left := until - time.monotonic()) > 0:
                check()
                time.sleep(min(left, _SLICE))
            self.stale = True
            return
        while not self._events(_SLICE):
            check()
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until and self._events(QUIET):
            check()

    def _events(self, seconds: float) -> bool:
        """Whether there were any, within so many seconds."""
        flags = self._flags
        events = self._inotify.read(timeout=int(seconds * 1000))
        for event in events:
            if event.mask & (flags.ISDIR | flags.Q_OVERFLOW | flags.DELETE_SELF | flags.MOVE_SELF):
                self.stale = True
            if event.mask & flags.IGNORED:  # the directory has gone
                self._watched.pop(event.wd, None)
        return bool(events)

    def _give_up(self, why: str) -> None:
        self.why = why
        self._watched.clear()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "there are more directories than inotify may watch (see fs.inotify.max_user_watches)"
    if error.errno == errno.EMFILE:
        return "too many programs of yours use inotify (see fs.inotify.max_user_instances)"
    return f"inotify cannot be used: {error.strerror or error}"


def _shared(paths: Iterable[str]) -> str:
    """Words for a file system that another machine may change; nothing when there is none."""
    kinds = _mounts()
    for path in paths:
        here = os.path.realpath(path)
        while here not in kinds and here != "/":
            here = os.path.dirname(here)
        if kinds.get(here) in _SHARED:
            return f"{here} is shared with other machines ({kinds[here]})"
    return ""


def _mounts() -> dict[str, str]:
    """Mount point -> kind of file system (proc_pid_mountinfo(5))."""
    found = {}
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                fields, _, rest = line.partition(" - ")
                point = fields.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
                found[point] = rest.split(" ")[0]
    except (OSError, IndexError, UnicodeError):
        return found
    return found
