"""Runs the attack table in this machine's real sandbox: `contractor doctor --attack`.

The tree is a skeleton of a layer under this host's own /usr, so that it works offline and before the first build;
everything else (operations, mounts, filter, limits) is what a build has. Baits are set on the host: a secret in the
environment's stead, a file in the store, servers on the loopback. After each attack the host is looked at as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

from contractor.build.context import StepContext
from contractor.build.operations import OPERATIONS
from contractor.build.options import Options
from contractor.build.place import Place
from contractor.cli.attack.baits import Baits
from contractor.cli.attack.looking import Output, Owners
from contractor.core.errors import Broken, OutOfLimits, Unavailable
from contractor.plan.environment import FIXED, PROXY
from contractor.sandbox import attacks, hosttree
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.spec import ROOT_ID, Caller, Mount, SandboxSpec
from contractor.sandbox.stage import TREE, WORKSPACE
from contractor.store.layout import Store, take_lock

if TYPE_CHECKING:
    from contractor.sandbox.memory import MemoryGroup
    from contractor.sandbox.namespace import Inside, Operation, Supervisor

_PROGRAM = "/run/attacks"
_PYTHON = "/usr/bin/python3"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ALLOWED = ("allowed.invalid",)


def attack(store: Store, sandbox: LocalSandbox, seen: Callable[[attacks.Result], None]) -> list[attacks.Result]:
    """Run every attack that this tier can hold, in each kind of step; `seen` gets each result as it comes."""
    if not os.access(_PYTHON, os.X_OK):
        raise Unavailable(f"the attacks need {_PYTHON}", hint="sudo apt-get install python3-minimal")
    results = []
    with _field(store, sandbox) as field:
        for step in (attacks.SHELL, attacks.ROOT, attacks.NETWORK):
            for one in attacks.ATTACKS:
                if step in one.steps and (one.degraded or not sandbox.tier.degraded):
                    results.append(field.run(one, step))
                    seen(results[-1])
    return results


@contextlib.contextmanager
def _field(store: Store, sandbox: LocalSandbox) -> Iterator[_Field]:
    """A build's place in the store, with its lock, and the baits; all of it goes afterwards."""
    folder = store.path("work", f"attack-{os.getpid()}")
    os.mkdir(folder, 0o700)
    lock = take_lock(f"{folder}/lock")
    with contextlib.ExitStack() as stack:

        def leave() -> None:
            if lock is not None:
                os.close(lock)
            for name in ("lock", "bait"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
            with contextlib.suppress(OSError):
                os.rmdir(folder)

        stack.callback(leave)
        baits = stack.enter_context(Baits(folder, store.root))
        more = _WithSkeleton(sandbox)
        place = Place(store, None, more, f"{folder}/place")  # type: ignore[arg-type]
        stack.callback(lambda: place.close(keep=False, on_trouble=_raise))
        yield _Field(place, baits, more)


def _raise(trouble: Broken) -> None:
    raise trouble


class _WithSkeleton:
    """The sandbox, whose supervisor also knows how to make the skeleton of a tree."""

    def __init__(self, sandbox: LocalSandbox) -> None:
        self._sandbox = sandbox
        self.tier = sandbox.tier
        self.pid = 0  # of the supervisor

    @contextlib.contextmanager
    def start(self, _operations: object) -> Iterator[tuple[Supervisor, MemoryGroup]]:
        more: dict[str, Operation] = {**OPERATIONS, "skeleton": _skeleton}
        with self._sandbox.start(more) as (supervisor, group):
            self.pid = supervisor.pid
            yield supervisor, group


def _skeleton(_inside: Inside, _args: dict[str, Any], _fds: list[int]) -> None:
    """A layer with what is not in /usr: made inside, so that root of the range owns it."""
    os.makedirs("skeleton/usr")
    for name in ("etc", "proc", "dev", "sys", "run", "tmp", "workspace", "build", "var/tmp", "mnt", "root"):
        os.makedirs(f"skeleton/{name}")
    for name in _MERGED:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"skeleton/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"skeleton/{name}")
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n")):
        with open(f"skeleton/etc/{name}", "w", encoding="ascii") as file:
            file.write(text)


class _Field:
    def __init__(self, place: Place, baits: Baits, sandbox: _WithSkeleton) -> None:
        self._place = place
        self._baits = baits
        self._sandbox = sandbox
        self._place.call("skeleton")
        self._files = _programs()
        self._scripts = tuple(
            Mount("file", f"{_PROGRAM}/{name}", data=data, mode=0o444) for name, data in self._files.items()
        )

    def run(self, one: attacks.Attack, step: str) -> attacks.Result:
        """One attack in one kind of step, and the look at the host afterwards."""
        self._place.call("restore", {"chain": []})
        layer = f"{self._place.folder}/skeleton"
        upper = self._place.call("mount-tree", {"layers": [layer], "writable": step == attacks.ROOT})
        output = Output(attacks.LIMITS.log)
        owners = Owners(self._sandbox.pid, self._sandbox.tier)
        began = time.monotonic()
        limit = ""
        with contextlib.ExitStack() as stack:

            def open_door(listener: socket.socket) -> None:
                from contractor.network.proxy import RecordingProxy

                stack.enter_context(RecordingProxy(listener, _ALLOWED, lambda _fetch: None))

            try:
                exit_ = self._place.run(self._spec(one, step), Caller(output, open_door, owners.look))
                limit = exit_.limit
                said = output.last() if exit_.started else f"the sandbox did not start: {output.text()[-200:]!r}"
            except OutOfLimits:
                limit, said = "log", ""
        seconds = time.monotonic() - began
        self._place.call("unmount-tree")
        names = [os.path.basename(upper), os.path.basename(upper) + ".work"] if upper else []
        self._place.call("remove", {"folder": self._place.folder, "names": names})
        said = self._trouble(owners, one) or said
        return attacks.judge(one, step, "" if said.startswith("ESCAPED") else limit, said, seconds)

    def _trouble(self, owners: Owners, one: attacks.Attack) -> str:
        if found := self._baits.reached():
            return f"ESCAPED: {found} was reached"
        if owners.wrong:
            return f"ESCAPED: {owners.wrong}"
        if one.module == "limits" and (left := owners.left()):
            return f"ESCAPED: {left}"
        return ""

    def _spec(self, one: attacks.Attack, step: str) -> SandboxSpec:
        user = ROOT_ID if step == attacks.ROOT else 1000
        baits = json.dumps({**self._baits.values, "user": str(user)}).encode().hex()
        argv = (_PYTHON, "-ISB", f"{_PROGRAM}/run.py", one.module, one.function, baits)
        networked = step != attacks.SHELL
        environment = {**FIXED, **(PROXY if networked else {})}
        limits = attacks.LIMITS
        usr = [Mount("ro-bind", "/usr", "/usr")]
        usr += [
            Mount("ro-bind", f"/{n}", f"/{n}")
            for n in _MERGED
            if os.path.isdir(f"/{n}") and not os.path.islink(f"/{n}")
        ]
        if step == attacks.ROOT:  # as in build/steps/apt.py
            mounts = (Mount("bind", "/", TREE), *usr, *hosttree.kernel_mounts(limits.memory))
        else:
            context = _context(self._place, limits)
            root, *rest = context.tree_spec((), {}, {}).mounts
            mounts = (root, *usr, *rest)
        if step == attacks.ROOT:
            mounts = (*mounts, Mount("bind", "/workspace", WORKSPACE))
        return SandboxSpec(
            argv=argv,
            mounts=(*mounts, *self._scripts),
            env=environment,
            limits=limits,
            user=user,
            cwd="/workspace",
            network=networked,
        )


def _context(place: Place, limits: Any) -> StepContext:
    """A step's context, for the mounts of its tree: they must be the same as in a build."""
    from types import SimpleNamespace

    context = StepContext(place, None, None, Options(), None)  # type: ignore[arg-type]
    context.action = SimpleNamespace(step=SimpleNamespace(limits=limits, network=()))  # type: ignore[assignment]
    return context


def _programs() -> dict[str, bytes]:
    folder = resources.files("contractor").joinpath("data/attacks")
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.name.endswith(".py")}
