"""This machine as a sandbox: which tier it has, and a started supervisor. `execute()` is given one of these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from contractor.core.errors import Unavailable
from contractor.sandbox import idmap, memory, process
from contractor.sandbox.spec import Tier

if TYPE_CHECKING:
    from contractor.sandbox.namespace import Operation, Supervisor

_SUMMARIES = {
    "id-range": "steps run under ids of your subordinate range, in namespaces of their own",
    "root-range": "root is mapped to a high range of ids that nobody owns; steps never run as the host's root",
    "one-id": "DEGRADED: no subordinate ids, so steps run under your own id, and file owners are only pretended",
}


class LocalSandbox:
    """tier: how steps are isolated; ids: names whose ids the files of its trees have (a folder of the store)."""

    def __init__(self, maps: idmap.IdMaps) -> None:
        self._maps = maps
        self.tier = Tier(
            name=maps.tier, summary=_SUMMARIES[maps.tier], degraded=maps.tier == "one-id", memory=memory.kind()
        )
        self.ids = f"{maps.tier}-{maps.uids[0][1]}"

    @property
    def owners(self) -> str:
        """For the plan's facts: "range", or "one" where files can have no owners."""
        return "one" if self.tier.degraded else "range"

    @contextlib.contextmanager
    def start(self, operations: Mapping[str, Operation]) -> Iterator[tuple[Supervisor, memory.MemoryGroup]]:
        """The supervisor and its memory group; both end with the block."""
        from contractor.sandbox.namespace import Supervisor

        try:
            supervisor = Supervisor.start(self._maps, operations)
        except Unavailable as error:
            from contractor.sandbox.probe import explain_refusal, explain_unavailable

            raise (explain_unavailable() or explain_refusal(error)) from error
        group = memory.MemoryGroup(supervisor.pid)
        try:
            yield supervisor, group
        finally:
            supervisor.close()
            group.close()


def choose(*, one_id: bool = False) -> LocalSandbox:
    """The best tier that this machine has; Unavailable, with the exact fix, when it has none.

    one_id: use the degraded tier even if a better one is there (tests, and machines that lie about theirs).
    """
    process.require_tool("bwrap", "bubblewrap")
    maps = None if one_id else idmap.range_maps()
    if maps is None:
        maps = idmap.one_id_maps()
    elif maps.tier == "id-range" and process.which("newuidmap") is None:
        raise Unavailable("newuidmap is not installed", hint="sudo apt-get install uidmap")
    return LocalSandbox(maps)
