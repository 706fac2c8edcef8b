"""The target: a writable tree on an image's layer, in which one build's commands run, and what it hands out.

image file -> layer (read-only, shared)  --overlay-->  the tree of this build, gone at its end
commands: root or the build user, offline, or with the recording proxy as their only door
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from contractor.buildd.model import Job
from contractor.buildd.target import images
from contractor.buildd.target.errors import Failed, TargetFailed
from contractor.buildd.target.files import User
from contractor.buildd.target.network import HOME, PATH, Network, TargetNetwork
from contractor.core.errors import Aborted, Broken, ContractorError
from contractor.sandbox.spec import ROOT_ID, Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import DEV, TREE
from contractor.sandbox.watch import NO_LIMIT
from contractor.spec.model import Limits

if TYPE_CHECKING:
    from contractor.build.place import Place
    from contractor.buildd.log import Log
    from contractor.sandbox.namespace import Operation
    from contractor.store.layout import Store

BUILDD = 2001  # the build user's number, where the image does not say another
LIMITS = Limits(
    time=0.0, memory=0, disk=NO_LIMIT, processes=20_000, file_size=1 << 40, files=50_000_000
)  # the manager limits a build's time, and the machine the rest
_OURS = "buildd-"  # how the names of our places in the store begin
_NOT_FOUND = 127  # as a shell would say it
__all__ = ["HOME", "Failed", "Network", "Target", "TargetFailed", "User"]

_STDIN = "/run/contractor/stdin"
_OUTPUT = "/.contractor-output"
_OUTPUT_MAX = 64 << 20  # bytes that get_output gives
_FEED = 'exec "$@" <' + _STDIN
_COLLECT = 'exec "$@" >' + _OUTPUT
_BOTH = 'exec "$@" <' + _STDIN + " >" + _OUTPUT


class Target(TargetNetwork):
    """One build's target. The pipeline opens it, unpacks the image into it and closes it; build types use the rest.

    aborted: the signal that ends the build has come. unpacked: the image's layer had to be made. buildd: the build
    user's number.
    """

    def __init__(self, job: Job, log: Log, arguments: Any, on_extra: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(job, log, arguments)
        self.files: dict[str, str] = {}
        self.extras: dict[str, Any] = {}
        self.aborted = False
        self.running = False
        self.unpacked = False  # whether the image's layer had to be made
        self.buildd = BUILDD
        self._on_extra = on_extra
        self._stack = contextlib.ExitStack()
        self._place: Place | None = None
        self._store: Store | None = None
        self._listeners: list[Callable[[bytes], None]] = []

    # --- its life ---

    def open(self) -> None:
        """Make the build's place in the store. Unavailable: this machine cannot isolate; Broken: the disk says no."""
        from contractor.build.place import Place
        from contractor.sandbox.local import choose
        from contractor.store.layout import Store, in_use
        from contractor.store.results import Results

        store = Store(self.job.store)
        sandbox = choose()
        name = f"{_OURS}{os.getpid()}-{os.urandom(4).hex()}"
        self._stack.enter_context(in_use(store, name))
        folder = store.path("work", name, "place")
        self._store = store
        self._results = Results(store, sandbox.ids)
        self._place = Place(store, self._results, sandbox, folder, more=_operations(self.job.tag))
        self.call("unmount-tree")  # starts the supervisor, or says why there is none
        self._sweep(store)

    def _sweep(self, store: Store) -> None:
        """Remove what workers left that were killed: their locks are free."""
        from contractor.store.live import held

        work = store.path("work")
        dead = [
            name
            for name in os.listdir(work)
            if name.startswith(_OURS) and os.path.isdir(f"{work}/{name}/place") and not held(f"{work}/{name}/lock")
        ]
        if dead:
            self.call("remove", folder=work, names=dead)

    def unpack(self) -> None:
        """Make the image's layer, unless it is there. Rejected: the image is none that can be used."""
        place, store = self._opened()
        with images.Image(self.job.image, store) as image:
            self.layer, self.unpacked = images.layer_of(image, place, store, self._results, self.job.id)

    def mount(self) -> None:
        """Mount a new writable tree on the layer."""
        self._opened()[0].mount([self.layer], writable=True)

    def unmount(self) -> None:
        """Take the tree down."""
        if self._place is not None and self._place.started:
            self._place.call("unmount-tree")

    def close(self, *, keep: bool = False) -> str:
        """Remove the tree and all that is in it, unless it is to be kept. Returns what is in the way, or nothing."""
        if self._place is None:
            return ""
        place = self._place
        self._place = None
        troubles: list[str] = []
        try:
            place.close(keep=keep, on_trouble=lambda error: troubles.append(error.message))
            if not keep and os.path.exists(place.folder):  # the supervisor was killed
                from contractor.build.removal import removal

                with removal() as hands:
                    troubles = hands.remove(os.path.dirname(place.folder), [os.path.basename(place.folder)])
            if self.unpacked:
                from contractor.sandbox.syscalls import syncfs

                self._results.settle(syncfs)
        except OSError as error:
            troubles.append(f"{error.strerror or error}")
        finally:
            self._stack.close()
        return "; ".join(troubles)

    def abort(self) -> None:
        """From a signal's handler: end whatever runs. A running command is ended by its tick; anything else with its
        supervisor, whose death nothing in the target outlives."""
        import signal

        self.aborted = True
        supervisor = self._place.supervisor_pid if self._place is not None else 0
        if supervisor and not self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGKILL)

    def _opened(self) -> tuple[Place, Store]:
        if self._place is None or self._store is None:
            raise Broken("the target is not open")
        return self._place, self._store

    def call(self, operation: str, fds: Sequence[int] = (), **args: Any) -> Any:
        """An operation of the supervisor (buildd/inside/)."""
        if self.aborted:
            raise Aborted("the build was aborted")
        return self._opened()[0].call(operation, args, fds)

    # --- commands ---

    @overload
    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = ...,
        cwd: str = ...,
        user: User = ...,
        network: Network = ...,
        stdin: bytes = ...,
        echo: bool = ...,
        get_output: Literal[False] = ...,
        check: bool = ...,
    ) -> Exit: ...

    @overload
    def run(
        self,
        argv: Sequence[str],
        *,
        get_output: Literal[True],
        env: Mapping[str, str] = ...,
        cwd: str = ...,
        user: User = ...,
        network: Network = ...,
        stdin: bytes = ...,
        echo: bool = ...,
        check: bool = ...,
    ) -> bytes: ...

    def run(  # noqa: PLR0913 - what a command may be given
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        cwd: str = "/",
        user: User = "root",
        network: Network = False,
        stdin: bytes = b"",
        echo: bool = True,
        get_output: bool = False,
        check: bool = False,
    ) -> Exit | bytes:
        """Run a command in the tree; its output goes to the log, under a RUN: line (echo).

        env: on top of a fixed one. network: it may reach `allow` through the recording proxy, or what the build's own
        proxy lets through if it has one; "archives": the former whatever the build has.
        get_output: its standard output (64 MiB at most) is returned instead, and TargetFailed raised when it fails.
        check: TargetFailed when it fails. Aborted: the build was. Broken: the sandbox could not be set up.
        """
        if echo:
            self.log.run(argv)
        if get_output:
            self.write(_OUTPUT, b"", 0o666)
        wrapped = tuple(argv)
        if stdin or get_output:
            wrapped = ("/bin/sh", "-c", _BOTH if stdin and get_output else _FEED if stdin else _COLLECT, "sh", *argv)
        spec = SandboxSpec(
            argv=wrapped,
            mounts=(
                Mount("bind", "/", TREE),
                Mount("proc", "/proc"),
                Mount("dev-bind", "/dev", DEV),
                Mount("tmpfs", "/dev/shm", size=1 << 30, mode=0o1777),
                Mount("tmpfs", "/run", size=256 << 20),
                *([Mount("file", _STDIN, data=stdin, mode=0o444)] if stdin else []),
            ),
            env=self.environment(env, user, network),
            limits=LIMITS,
            user=ROOT_ID if user == "root" else self.buildd,
            cwd=cwd,
            network=bool(network),
        )
        exit_ = self._run(spec, network)
        if not get_output:
            if check and (exit_.code or exit_.limit):
                raise TargetFailed(argv, exit_.code or 1)
            return exit_
        output = self.read(_OUTPUT, _OUTPUT_MAX)
        self.remove(_OUTPUT)
        if exit_.code or exit_.limit:
            raise TargetFailed(argv, exit_.code or 1, output)
        return output

    def run_spec(self, spec: SandboxSpec, network: Network = False) -> Exit:
        """Run a sandbox of one's own: other mounts, another tree. network: as for `run`. Its end is the caller's to
        judge: where `started` is false, its program is not there, or it could not be set up."""
        place, _store = self._opened()
        self.tick()
        with self.door(network) as door:
            self.running = True
            try:
                exit_ = place.run(spec, Caller(self._output, door.open, self.tick))
            finally:
                self.running = False
        self.tick()
        if exit_.limit == "disk-full":
            raise Broken("the builder's disk is full", hint="free some space, or let the cache expire earlier")
        return exit_

    def _run(self, spec: SandboxSpec, network: Network) -> Exit:
        exit_ = self.run_spec(spec, network)
        if not exit_.started and (trouble := self._missing(spec)):
            self.log.line(trouble)
            return msgspec.structs.replace(exit_, started=True, code=_NOT_FOUND)
        if not exit_.started:
            raise Broken(f"the sandbox could not be set up (bwrap ended with {exit_.code})")
        return exit_

    def _missing(self, spec: SandboxSpec) -> str:
        """What is not in the target that a command needs to be started."""
        if self.kind(spec.cwd) != "dir":
            return f"{spec.cwd}: there is no such directory in the target"
        return "" if self.has_program(spec.argv[0]) else f"{spec.argv[0]}: there is no such program in the target"

    def has_program(self, name: str) -> bool:
        """Whether a command could be started by this name or path."""
        folders = [""] if "/" in name else [f"{folder}/" for folder in PATH.split(":")]
        return any(self.kind(folder + name) == "file" for folder in folders)

    def tick(self) -> None:
        """Called ten times a second while a command runs. Aborted once the build is to end."""
        self._say()
        if self.aborted:
            raise Aborted("the build was aborted")

    def wait(self, seconds: float) -> None:
        """Do nothing for a while, unless the build is aborted."""
        import time

        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(left, 0.1))

    @contextlib.contextmanager
    def listening(self, most: int) -> Iterator[bytearray]:
        """What commands write while the block lasts: the last bytes of it, at least `most` where there are as many."""
        heard = bytearray()

        def hear(data: bytes) -> None:
            heard.extend(data)
            if len(heard) > 2 * most:
                del heard[:-most]

        self._listeners.append(hear)
        try:
            yield heard
        finally:
            self._listeners.remove(hear)

    def _output(self, data: bytes) -> None:
        for listener in self._listeners:
            listener(data)
        self.log.write(data)

    @property
    def degraded(self) -> bool:
        """Whether files have no owners here."""
        return self._opened()[0].sandbox.tier.degraded

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """While results are collected: what fails then is PACKAGEFAIL."""
        try:
            yield
        except (Aborted, Failed):
            raise
        except (ContractorError, OSError) as error:
            raise Failed("PACKAGEFAIL", f"the results cannot be collected: {error}") from error

    def extra(self, **values: Any) -> None:
        """More of the extra status, which the daemon shows from now on."""
        self.extras.update(values)
        self._on_extra(self.extras)

    def layer_path(self) -> str:
        """The folder of the image's layer, which nobody writes to."""
        place, store = self._opened()
        return store.layer(place.sandbox.ids, self.layer)


def _operations(tag: str) -> dict[str, Operation]:
    """What the supervisor can do for a build of this type."""
    from contractor.buildd.inside import files as inside
    from contractor.buildd.inside import sources as inside_sources

    found = {**inside.OPERATIONS, **inside_sources.OPERATIONS}
    if tag == "oci":
        from contractor.buildd.inside import oci as inside_oci

        found |= inside_oci.OPERATIONS
    elif tag == "livefs":
        from contractor.buildd.inside import livefs as inside_livefs

        found |= inside_livefs.OPERATIONS
    return found
