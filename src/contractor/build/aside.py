"""A place beside a build's own; and a vetted program of the host, run in one for its output, for planning."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contractor.build.network import Access, Door
from contractor.build.place import Place
from contractor.core.errors import OutOfLimits
from contractor.plan.environment import PROXY
from contractor.sandbox.hosttree import mounts
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.process import HOST_PATH
from contractor.sandbox.spec import Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import WORKSPACE
from contractor.spec.model import Limits
from contractor.store.layout import Store, in_use
from contractor.store.results import Results

_OUTPUT_MAX = 16 << 20  # bytes


@contextmanager
def aside(store: Store, sandbox: LocalSandbox) -> Iterator[Place]:
    """A place with an empty workspace, which goes at the end of the block."""
    name = f"aside-{os.getpid()}-{os.urandom(4).hex()}"
    with in_use(store, name):
        place = Place(store, Results(store, sandbox.ids), sandbox, store.path("work", name, "place"))
        try:
            yield place
        finally:
            place.close(keep=False, on_trouble=lambda _trouble: None)


def run_aside(  # noqa: PLR0913 - what it may reach and see, and for how long
    argv: Sequence[str],
    store: Store,
    sandbox: LocalSandbox,
    *,
    hosts: tuple[str, ...] = (),
    shown: str = "",
    upstream: str = "",
    seconds: float = 60.0,
) -> tuple[Exit, bytes]:
    """hosts: what it may reach through the recording proxy; upstream: a proxy that this machine itself must use.

    shown: a folder or file that it sees, read-only, as /run/shown."""
    output = bytearray()

    def collect(data: bytes) -> None:
        output.extend(data)
        if len(output) > _OUTPUT_MAX:
            raise OutOfLimits(f"{argv[0]} wrote more than {_OUTPUT_MAX} bytes", hint="is that the right repository?")

    with aside(store, sandbox) as place:
        seen = (Mount("ro-bind", "/run/shown", place.show(shown)),) if shown else ()
        spec = SandboxSpec(
            argv=tuple(argv),
            mounts=(*mounts(), Mount("bind", "/workspace", WORKSPACE), *seen),
            env={"PATH": HOST_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp", **(PROXY if hosts else {})},
            limits=Limits(time=seconds),
            network=bool(hosts),
        )
        with Door(Access(hosts, upstream), lambda _fetch: None) as door:
            exit_ = place.run(spec, Caller(collect, door.open))
    return exit_, bytes(output)
