"""Removing and measuring what has files of many owners: by the supervisor, where one can be had.

It is started when something first asks for it. Without one (no user namespaces here, say) the caller's own rights
must do; root's are enough, another user's are for what he owns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack

from contractor.build.operations import OPERATIONS
from contractor.core.errors import Broken, ContractorError, Unavailable
from contractor.sandbox.local import choose
from contractor.sandbox.namespace import Supervisor
from contractor.store.remove import remove_tree, usage


class Removal:
    """Use `removal()` to get one."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._supervisor: Supervisor | None = None
        self._tried = False
        self.without = ""  # why there is no supervisor, once one was asked for

    def remove(self, folder: str, names: list[str]) -> list[str]:
        """Remove names of a folder with all that is below; returns a line for each that is still there."""
        troubles = []
        for name in names:
            supervisor = self._helper()
            if supervisor is not None:
                with contextlib.suppress(ContractorError):
                    supervisor.call("remove", {"folder": folder, "names": [name]})
            trouble = _remove_as_caller(folder, name)
            if trouble:
                troubles.append(f"{folder}/{name}: {trouble}")
        return troubles

    def measure(self, folder: str, name: str) -> int:
        """Bytes on the disk; what cannot be read is not counted."""
        supervisor = self._helper()
        with _directory(folder) as fd:
            if fd < 0:
                return 0
            if supervisor is not None:
                with contextlib.suppress(ContractorError):
                    return int(supervisor.call("usage", {"folder": folder, "name": name})[0])
            return usage(fd, name)[0]

    def _helper(self) -> Supervisor | None:
        if not self._tried:
            self._tried = True
            try:
                self._supervisor = self._stack.enter_context(choose().start(OPERATIONS))[0]
            except (Unavailable, Broken) as error:
                self.without = error.message
            except OSError as error:
                self.without = error.strerror or str(error)
        return self._supervisor


@contextlib.contextmanager
def removal() -> Iterator[Removal]:
    """A Removal; its supervisor, if it started one, ends with the block."""
    with ExitStack() as stack:
        yield Removal(stack)


def _remove_as_caller(folder: str, name: str) -> str:
    """What of it is still there goes with the caller's own rights; returns what is wrong, or nothing."""
    with _directory(folder) as fd:
        if fd < 0:
            return ""
        try:
            remove_tree(fd, name)
        except Broken as error:
            return error.message
    return ""


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    """A directory's descriptor; -1 when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)
