"""A target's commands: each runs in the build's tree, in a sandbox of its own, and its output goes to the log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from contractor.buildd.target.errors import TargetFailed
from contractor.buildd.target.files import User
from contractor.buildd.target.network import PATH, Network, TargetNetwork
from contractor.core.errors import Aborted, Broken
from contractor.sandbox.spec import ROOT_ID, Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import DEV, TREE
from contractor.sandbox.watch import NO_LIMIT
from contractor.spec.model import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from contractor.build.place import Place
    from contractor.buildd.log import Log
    from contractor.buildd.model import Job

LIMITS = Limits(
    time=0.0, memory=0, disk=NO_LIMIT, processes=20_000, file_size=1 << 40, files=50_000_000
)  # the manager limits a build's time, and the machine the rest
_NOT_FOUND = 127  # as a shell would say it
_STDIN = "/run/contractor/stdin"
_OUTPUT = "/.contractor-output"
_OUTPUT_MAX = 64 << 20  # bytes that get_output gives
_FEED = 'exec "$@" <' + _STDIN
_COLLECT = 'exec "$@" >' + _OUTPUT
_BOTH = 'exec "$@" <' + _STDIN + " >" + _OUTPUT


class TargetCommands(TargetNetwork):
    """The part of a target that is about commands. aborted: the signal that ends the build has come. running: a command
    runs, and its tick sees that."""

    def __init__(self, job: Job, log: Log, arguments: Any) -> None:
        super().__init__(job, log, arguments)
        self.aborted = False
        self.running = False
        self._listeners: list[Callable[[bytes], None]] = []

    def opened(self) -> Place:
        """The build's place on this machine. Broken: it is not open."""
        raise NotImplementedError

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
        place = self.opened()
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
