"""One build's place on this machine: the supervisor (started when first needed), the workspace, the tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.core.errors import Broken
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.memory import MemoryGroup
from contractor.sandbox.spec import Caller, Exit, SandboxSpec
from contractor.store.layout import Store
from contractor.store.results import Results

if TYPE_CHECKING:
    from contractor.build.inside.vary import Variation
    from contractor.sandbox.namespace import Operation, Supervisor


class Place:
    """Use as a context manager. `workspace` is the key of the state that the workspace is in, None when unknown.

    aside: the layers that are made here go with the place, and never get a name in the store. more: operations of the
    supervisor besides those of operations.py.
    """

    def __init__(
        self,
        store: Store,
        results: Results,
        sandbox: LocalSandbox,
        folder: str,
        *,
        aside: bool = False,
        more: Mapping[str, Operation] | None = None,
    ) -> None:
        self.folder = folder
        self.workspace: str | None = None
        self.variation: Variation | None = None
        self.secrets: Mapping[str, bytes] = {}  # of the steps so far: nothing that has one of them is kept
        self._store = store
        self._results = results
        self.sandbox = sandbox
        self._aside = aside
        self._more = more or {}
        self._stack = ExitStack()
        self._running: tuple[Supervisor, MemoryGroup] | None = None
        self._mounted: tuple[str, ...] | None = None
        self._programs: dict[tuple[str, ...], dict[str, bool]] = {}

    def call(self, operation: str, args: Mapping[str, Any] | None = None, fds: Sequence[int] = ()) -> Any:
        """An operation of the supervisor (operations.py), which is started by the first."""
        return self._started()[0].call(operation, args or {}, fds)

    def _started(self) -> tuple[Supervisor, MemoryGroup]:
        if self._running is None:
            from contractor.build.operations import OPERATIONS  # much code, and none of it if nothing has to run
            from contractor.build.tools import tool_versions
            from contractor.sandbox.probe_bwrap import require_bwrap
            from contractor.sandbox.trial import require_overlay

            require_bwrap(tool_versions(self._store).get("bwrap", "none"))
            self._running = self._stack.enter_context(self.sandbox.start({**OPERATIONS, **self._more}))
            require_overlay(self._store.root, self._running[0])
            variation = msgspec.to_builtins(self.variation) if self.variation is not None else None
            self._running[0].call("begin", {"work": self.folder, "variation": variation})
            self.workspace = ""
        return self._running

    @property
    def started(self) -> bool:
        return self._running is not None

    @property
    def supervisor_pid(self) -> int:
        """0 when there is none."""
        return self._running[0].pid if self._running is not None else 0

    @property
    def memory(self) -> str:
        """How the memory limit is held."""
        return self._running[1].kind if self._running else self.sandbox.tier.memory

    def at(self, key: str) -> None:
        """Bring the workspace to the state of an action, "" for empty."""
        self._started()
        if self.workspace != key:
            self.workspace = None
            self.call("restore", {"chain": self._results.chain(key)})
            self.workspace = key

    def at_left(self, state: str, before: str) -> None:
        """Bring the workspace to what a step left that did not succeed: a state on top of the one before it."""
        self._started()
        self.workspace = None
        self.call("restore", {"chain": [*self._results.chain(before), self._store.state(state)]})

    def touched(self) -> None:
        """The workspace is being changed: whatever fails from here on, it is in no state that has a name."""
        self.workspace = None

    def save(self, key: str, parent: str) -> None:
        """Keep the workspace as the state of an action; Leaked when a secret of the steps so far is in it."""
        if self.secrets:
            from contractor.build.secrets.leaks import require_none_left

            require_none_left(self, self.secrets)
        self.call("save", {"states": self._store.path("states"), "name": key, "parent": parent})
        self.workspace = key

    def mount(self, layers: Sequence[str], *, writable: bool = False) -> str:
        """Show a tree at TREE; when writable, returns the directory that gets what is written."""
        wanted = None if writable else tuple(layers)
        if wanted is not None and wanted == self._mounted:
            return ""
        self._mounted = None
        paths = [self._store.layer(self.sandbox.ids, key) for key in layers]
        upper: str = self.call("mount-tree", {"layers": paths, "writable": writable})
        self._mounted = wanted
        return upper

    def has_program(self, layers: tuple[str, ...], path: str) -> bool:
        """Whether the mounted tree (of these layers) has a program."""
        known = self._programs.setdefault(layers, {})
        if path not in known:
            known[path] = bool(self.call("exist-in-tree", {"paths": [path]}))
        return known[path]

    def show(self, path: str) -> str:
        """Where a step may find a folder or a file of the invoking user (to be mounted read-only)."""
        shown: str = self.call("show", {"path": path})
        return shown

    def commit_layer(self, upper: str, key: str) -> None:
        self._mounted = None
        self.call("commit-layer", {"upper": upper, "layer": self._layer_path(key)})

    def unpack_layer(self, archive: str, key: str, max_bytes: int) -> None:
        """Make a layer of an artifact's archive."""
        fd = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.call("unpack-tree", {"layer": self._layer_path(key), "max_bytes": max_bytes}, [fd])
        finally:
            os.close(fd)

    def adopt_workspace(self, key: str, epoch: int) -> None:
        """Make a layer of the workspace, of which an artifact has just been made: it need not be unpacked."""
        self.call("adopt-workspace", {"layer": self._layer_path(key), "epoch": epoch})
        self.workspace = ""

    def _layer_path(self, key: str) -> str:
        """Where the layer that is being made gets its name."""
        if self._aside:
            return f"{self.folder}/layer-{key}"
        path = self._store.layer(self.sandbox.ids, key)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return path

    def run(self, spec: SandboxSpec, caller: Caller) -> Exit:
        from contractor.sandbox.run import run

        supervisor, group = self._started()
        return run(supervisor, spec, caller, group, self.folder)

    def close(self, *, keep: bool, on_trouble: Callable[[Broken], None]) -> None:
        """End the supervisor; the build's place goes with everything in it, unless it is to be kept."""
        try:
            if self._running is not None:
                self.call("end", {"keep": keep})
        except Broken as error:
            on_trouble(error)
        finally:
            self._stack.close()
            self._running = None
