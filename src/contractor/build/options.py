"""How a build is to be run, and what its steps leave: what the executor, its steps and whoever asks for them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from contractor.core.events import AnyEvent, ArtifactInfo
from contractor.plan.model import Action

if TYPE_CHECKING:
    from contractor.build.inside.vary import Variation
    from contractor.build.names import Names
    from contractor.build.place import Place
    from contractor.build.steer import Steering
    from contractor.proof.witness import Witness
    from contractor.sandbox.spec import Exit

Emit = Callable[[AnyEvent], None]
Exporter = Callable[[tuple[ArtifactInfo, ...]], tuple[ArtifactInfo, ...]]


class Options(NamedTuple):
    """How a build is to be run; nothing here changes what it makes.

    secrets: values by name. fresh: run every step, whatever is stored; fresh_bases: make the bases anew, too. keep:
    leave the workspace. folder: what the specification's paths are relative to. tick: called before each step and ten
    times a second while one runs; it may raise KeyboardInterrupt. export: copies a finished build's artifacts out, and
    says where to. packed: told when a base's last step has packed all of the workspace, which is free to be taken.
    steering: which part of the plan runs, and where a person gets a shell; None: all of it, and nowhere.
    offline: no server is asked for anything. replaying: what the plan's replays are of, in words. names: the addresses
    of hosts that are known already. locked: what comes out otherwise than it was locked is no success.
    variation: conditions of the machine that are to be other than usual. witness: who keeps proof of the build.
    """

    folder: str = "."
    fresh: bool = False
    fresh_bases: bool = False
    keep: bool = False
    secrets: Mapping[str, bytes] = {}
    upstream_proxy: str = ""
    tick: Callable[[], None] | None = None
    export: Exporter | None = None
    packed: Callable[[Place, Action], None] | None = None
    steering: Steering | None = None
    offline: bool = False
    replaying: str = "the lock"
    names: Names | None = None
    locked: bool = False
    variation: Variation | None = None
    witness: Witness | None = None


class Made(NamedTuple):
    """What a step left behind, besides the workspace and the tree. whole: the artifact has all of the workspace.

    blobs: digests of what is in the store because of it, and that nothing else names.
    """

    artifact: ArtifactInfo | None = None
    whole: bool = False
    exit: Exit | None = None
    packages: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
