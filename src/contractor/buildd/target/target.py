"""The target: a writable tree on an image's layer, in which one build's commands run, and what it hands out.

image file -> layer (read-only, shared)  --overlay-->  the tree of this build, gone at its end
commands: root or the build user, offline, or with the recording proxy as their only door
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from contractor.buildd.model import Job
from contractor.buildd.target import images
from contractor.buildd.target.commands import LIMITS, TargetCommands
from contractor.buildd.target.errors import Failed, TargetFailed
from contractor.buildd.target.files import User
from contractor.buildd.target.network import HOME, Network
from contractor.core.errors import Aborted, Broken, ContractorError

if TYPE_CHECKING:
    from contractor.build.place import Place
    from contractor.buildd.log import Log
    from contractor.buildd.target.installed import Installation
    from contractor.sandbox.namespace import Operation
    from contractor.store.layout import Store

BUILDD = 2001  # the build user's number, where the image does not say another
_OURS = "buildd-"  # how the names of our places in the store begin
__all__ = ["HOME", "LIMITS", "Failed", "Network", "Target", "TargetFailed", "User"]


class Target(TargetCommands):
    """One build's target. The pipeline opens it, unpacks the image into it and closes it; build types use the rest.

    aborted: the signal that ends the build has come. unpacked: the image's layer had to be made. buildd: the build
    user's number.
    """

    def __init__(self, job: Job, log: Log, arguments: Any, on_extra: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(job, log, arguments)
        self.files: dict[str, str] = {}
        self.extras: dict[str, Any] = {}
        self.unpacked = False  # whether the image's layer had to be made
        self.buildd = BUILDD
        self.installation: Installation | None = None  # what prepares the tree in our place
        self._taken = ""  # the path of a layer that is this build's alone
        self._on_extra = on_extra
        self._stack = contextlib.ExitStack()
        self._place: Place | None = None
        self._store: Store | None = None

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

    def take(self, tree: int, *, owned: bool) -> None:
        """Make a layer of a system's tree on the host (its descriptor): this build's own, which goes with it. owned:
        with its owners. Rejected: it cannot be read."""
        folder = self.opened().folder
        self._taken = f"{folder}/taken"
        with images.archive_of(tree, os.path.dirname(folder), self.tick) as file:
            self.call("unpack-image", [file.fileno()], layer=self._taken, system=True, owned=owned)

    def mount(self) -> None:
        """Mount a new writable tree on the layer."""
        if self._taken:
            self.call("mount-tree", layers=[self._taken], writable=True)
        else:
            self.opened().mount([self.layer], writable=True)

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

    def opened(self) -> Place:
        return self._opened()[0]

    def _opened(self) -> tuple[Place, Store]:
        if self._place is None or self._store is None:
            raise Broken("the target is not open")
        return self._place, self._store

    def call(self, operation: str, fds: Sequence[int] = (), **args: Any) -> Any:
        """An operation of the supervisor (buildd/inside/)."""
        if self.aborted:
            raise Aborted("the build was aborted")
        return self.opened().call(operation, args, fds)

    @property
    def degraded(self) -> bool:
        """Whether files have no owners here."""
        return self.opened().sandbox.tier.degraded

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
        return self._taken or store.layer(place.sandbox.ids, self.layer)


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
