"""An installation of launchpad-buildd that is taken over: its own bin/in-target prepares the tree and removes it.

$HOME/build-<ID>/chroot-autobuild   what in-target makes: on the host, with the rights that it has there
    --packed, unpacked by our own rules--> a layer of this build alone, in which the type's own step runs as always

The tree is as hostile as any image: it is read through descriptors, no link is followed, no mount entered. Only chroots
are taken: what in-target makes for LXD is no tree.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from contractor.buildd.target import images, preparation
from contractor.buildd.target.target import Target, TargetFailed
from contractor.core.errors import Broken, ContractorError, Rejected

if TYPE_CHECKING:
    from contractor.buildd.model import Job

_TREE = "chroot-autobuild"
_TIME = 4 * 3600.0  # seconds of an operation: the manager ends a build that takes too long
_CLEAN_TIME = 600.0  # seconds of one of the three that clean up
_ABORTED_SHARE = 6  # of the abort timeout: what each of the three may take of it, and be killed in as much again
_SECRET = re.compile(r"://[^/\s]*@")  # a line of sources.list with a password, which arguments would show to everybody
_STEPS = ("UNPACK", "MOUNT", "SOURCES", "KEYS", "UPDATE")
_CLEANING = ("scan-for-processes", "umount-chroot", "remove-build")


def find(target: Target, backend: str) -> Installation | None:
    """The in-target of the job's installation, where there is one and it makes a tree."""
    program = f"{target.job.share_path}/bin/in-target"
    if not target.job.share_path or not os.path.isfile(program) or not os.access(program, os.X_OK):
        return None
    if backend == "lxd":
        target.log.line("The installation's in-target is not used: its LXD container is no tree to build in.")
        return None
    return Installation(target, program)


class Installation:
    """An in-target, for one build. began: there may be something of its to clean up."""

    def __init__(self, target: Target, program: str) -> None:
        self.began = False
        self._target = target
        self._program = program
        self._home = _home(target.job)
        self._folder = f"{self._home}/build-{target.job.id}"
        # Where an archive has a password, ours are the steps that know it.
        secret = any(map(_SECRET.search, target.arguments.archives))
        self._steps = _STEPS[:2] if secret else _STEPS

    def does(self, step: str) -> bool:
        """Whether a step before the build is run by it."""
        return step in self._steps

    def prepare(self, step: str, argv: Sequence[str]) -> None:
        """Run a step before the build; after the last, the tree is the target's. argv: as the RUN: line says it.

        TargetFailed: it failed. Rejected: there is no tree, or not one that we can read. Aborted: the build was.
        """
        given = b""
        if step == "UNPACK":
            self._make_folder(argv)
            argv = [*argv[:-1], self._target.job.image]
        elif step == "KEYS":
            given = "".join(f"{key}\n" for key in self._target.arguments.trusted_keys).encode()
        code = self._run(argv, self._target.tick, self._target.log.write, given)
        if code:
            raise TargetFailed([f"in-target {argv[1]}"], code)
        if step == "UNPACK":
            os.close(self._open_tree())
        if step == self._steps[-1]:
            self._take()

    def clean_up(self, argv: Sequence[str]) -> str:
        """Run an operation after the build, whatever has become of that. Returns what went wrong, if it matters."""
        if not self.began:
            return ""
        trouble = ""
        try:
            if argv[1] == _CLEANING[-1] and (mounted := _mounted_below(self._folder)):
                raise Broken(f"not removed, for {mounted} is still mounted")
            if code := self._run(argv, self._patience(), self._hear):
                raise TargetFailed([f"in-target {argv[1]}"], code)
        except (ContractorError, OSError) as error:
            trouble = str(error)
            self._hear(f"{trouble}\n".encode(errors="surrogateescape"))
        return "" if argv[1] == _CLEANING[0] else trouble

    def _run(
        self, argv: Sequence[str], tick: Callable[[], None], hear: Callable[[bytes], None], given: bytes = b""
    ) -> int:
        from contractor.sandbox.attended import attend

        self._target.running = True  # an abort is seen by the tick
        try:
            return attend(
                [self._program, *argv[1:]],
                on_output=hear,
                tick=tick,
                timeout=_TIME,
                given=given,
                environment={"HOME": self._home},
            )
        finally:
            self._target.running = False

    def _hear(self, data: bytes) -> None:
        """What is cleaned up is cleaned up, with a log or on a full disk without."""
        with contextlib.suppress(OSError):
            self._target.log.write(data)

    def _patience(self) -> Callable[[], None]:
        """The tick of what cleans up: an abort does not end it, but leaves it little time."""
        until = time.monotonic() + _CLEAN_TIME

        def tick() -> None:
            nonlocal until
            now = time.monotonic()
            if self._target.aborted:
                until = min(until, now + self._target.job.abort_timeout / _ABORTED_SHARE)
            if now > until:
                raise Broken(f"{self._program} did not end in time")

        return tick

    def _make_folder(self, argv: Sequence[str]) -> None:
        """The folder in which it makes the tree. What a build of the same name left that was killed goes first."""
        try:
            if os.path.lexists(self._folder):
                self.began = True
                self._target.log.line(f"{self._folder} is there already, of a build that was killed: it is removed.")
                for name in _CLEANING:
                    self._target.tick()
                    self.clean_up([argv[0], name, *argv[2:-3]])
            os.mkdir(self._folder, 0o755)
        except OSError as error:
            raise Broken(
                f"{self._folder} cannot be made: {error.strerror}", hint="in-target wants a home folder of the user"
            ) from error
        self.began = True

    def _open_tree(self) -> int:
        """A descriptor of the tree's top."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            folder = os.open(self._folder, flags)
            try:
                return os.open(_TREE, flags | os.O_NOFOLLOW, dir_fd=folder)
            finally:
                os.close(folder)
        except PermissionError as error:
            raise images.unreadable(f"cannot read '{self._folder}/{_TREE}': {error.strerror}") from error
        except OSError as error:
            raise Rejected(
                f"in-target left no directory {self._folder}/{_TREE}: {error.strerror}",
                hint="the image must be a tar with this directory at its top",
            ) from error

    def _take(self) -> None:
        """Make what it left this build's tree."""
        self._target.log.line("The tree is copied into the sandbox of this build.")
        if len(self._steps) < len(_STEPS):
            self._target.log.line("An archive has a password: what knows it is not run by in-target.")
        tree = self._open_tree()
        try:
            owned = os.geteuid() == 0 or os.fstat(tree).st_uid != os.geteuid()
            self._target.take(tree, owned=owned)  # a tree that an ordinary user unpacked is root's inside
        finally:
            os.close(tree)
        preparation.mount(self._target)


def _mounted_below(folder: str) -> str:
    """A mount below a folder, if there is one: what removes the folder would remove what is in that."""
    start = os.fsencode(os.path.realpath(folder)).replace(b"\\", rb"\134").replace(b" ", rb"\040") + b"/"
    with open("/proc/self/mountinfo", "rb") as file:
        return next((os.fsdecode(point) for line in file if (point := line.split()[4]).startswith(start)), "")


def _home(job: Job) -> str:
    import pwd

    try:
        return job.home or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise Broken("the daemon's user has no home folder, in which in-target makes its trees") from None
