"""What a step's module works with: its action, the build's place, and where to say what happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from contractor.build.ending import meaning
from contractor.build.lock.replay import replay_of
from contractor.build.log import Log
from contractor.build.names import Names
from contractor.build.network import Access, Door, Replay
from contractor.build.options import Emit, Options
from contractor.build.place import Place
from contractor.build.secrets.secrets import Secrets
from contractor.build.stray_words import past_the_proxy, without_network
from contractor.build.sweep import mark
from contractor.core.errors import ContractorError
from contractor.core.events import Notice, StepFetched, StepOutput
from contractor.core.fetch import Fetch
from contractor.plan.model import Action, Plan
from contractor.sandbox.hosttree import kernel_mounts, mounts
from contractor.sandbox.spec import Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import TREE, WORKSPACE
from contractor.spec.model import Limits, Step
from contractor.store.layout import Store

if TYPE_CHECKING:
    from contractor.sandbox.terminal import Terminal

Following = Callable[[], SandboxSpec | None]


class StepContext:
    def __init__(self, place: Place, store: Store, plan: Plan, options: Options, log: Log) -> None:
        self.place = place
        self.store = store
        self.plan = plan
        self.options = options
        self.log = log
        self.fetches: list[Fetch] = []
        self.exit: Exit | None = None
        self.spec: SandboxSpec | None = None  # what the step ran, once it has
        self.before: Callable[[SandboxSpec | None], None] | None = None  # told what is about to run
        self.following: Callable[[], Action | None] = lambda: None  # what will run next, as far as it is known
        self.visited = False  # somebody had a shell before this step
        self.paused = 0.0  # seconds that a shell took of the step's time
        self.tree_made = False  # the step's system tree was left by the build of its base
        self.names = options.names or Names()
        self.secrets = Secrets(options.secrets)
        self.diagnosed = False  # what is to be kept of a failure has been kept

    def begin(self, build: str, index: int, action: Action, emit: Emit) -> None:
        """Turn to a step."""
        self.build = build
        self.index = index
        self.action = action
        self.emit = emit
        self.fetches = []
        self.exit = None
        self.spec = None
        self.visited = False
        self.paused = 0.0
        self.tree_made = False
        self.stream = self.secrets.stream()
        if action.step.secrets:
            mark(self.place)
        self.place.secrets = {**self.place.secrets, **self.secrets.of(action.step.secrets)}

    @property
    def limits(self) -> Limits:
        return self.action.step.limits

    def output(self, data: bytes) -> None:
        """Bytes that the step wrote: to the log, and to whoever looks on."""
        self._put(self.stream.feed(data))

    def _put(self, data: bytes) -> None:
        if data:
            shown = data[: self.log.room]
            self.emit(StepOutput(at=time.time(), build=self.build, step=self.index, data=shown))
            self.log.write(data)

    def say(self, text: str) -> None:
        """A line of Contractor's own in the step's log."""
        self._put(self.secrets.hide(text).encode("utf-8", "surrogateescape") + b"\n")

    def notice(self, text: str, level: str = "info") -> None:
        self.emit(Notice(at=time.time(), build=self.build, text=text, level=level, step=self.index))

    def fetched(self, fetch: Fetch) -> None:
        """A request passed the proxy or was refused; may be called from the proxy's thread."""
        fetch = self.secrets.clean(fetch)
        self.fetches.append(fetch)
        self.emit(
            StepFetched(
                at=fetch.at,
                build=self.build,
                step=self.index,
                method=fetch.method,
                url=fetch.url,
                verdict=fetch.verdict,
                status=fetch.status,
                size=fetch.size,
                sha256=fetch.sha256,
                reason=fetch.reason,
            )
        )

    def run(self, spec: SandboxSpec, place: Place | None = None, following: Following | None = None) -> Exit:
        """Run a command, in another place than the build's if one is given; raises what its end means.

        The exit is kept for the record either way. following: what will run next (Caller).
        """
        self.spec = spec
        if self.before is not None:
            self.before(spec)
        try:
            with Door(self.access, self.fetched) as door:
                caller = Caller(self.output, door.open, self.options.tick, following=following)
                self.exit = (place or self.place).run(spec, caller)
        except BaseException:
            with contextlib.suppress(ContractorError):  # what ended the step is told, not that the log is full as well
                self._put(self.stream.rest())
            raise
        self._put(self.stream.rest())
        if spec.network and (text := past_the_proxy(self.exit)):
            self.fetches.append(Fetch("DIRECT", "", "refused", reason=text, at=time.time()))
            self.notice(f"step {self.index + 1}, {self.action.step.name}: {text}", "warning")
        if error := meaning(self.exit, spec, self.action.step.name):
            raise error
        for text in () if spec.network else without_network(self.exit):  # it succeeded, and perhaps made less of it
            self.notice(f"step {self.index + 1}, {self.action.step.name}: {text}", "warning")
        return self.exit

    @property
    def access(self) -> Access:
        """The step's way to the network."""
        options = self.options
        captured = self.store.captured
        return Access(
            self.action.hosts,
            options.upstream_proxy,
            captured,
            self.replay,
            options.offline,
            self.names.look_up,
            Secrets(own) if (own := self.secrets.of(self.action.step.secrets)) else None,
        )

    @property
    def replay(self) -> Replay | None:
        """What the step's requests are answered with, without a server."""
        return replay_of(self.plan, self.action, self.store, self.options)

    def converse(self, spec: SandboxSpec, terminal: Terminal) -> Exit:
        """Run a person's shell. What it fetches is in the ledger of the step; what it prints is in no log."""
        began = time.monotonic()
        with Door(self.access, self.fetched) as door:
            exit_ = self.place.run(spec, Caller(self.output, door.open, self.options.tick, terminal))
        self.paused += time.monotonic() - began
        return exit_

    def tree_spec(
        self, argv: Sequence[str], env: Mapping[str, str], files: Mapping[str, bytes], step: Step | None = None
    ) -> SandboxSpec:
        """A command of the build user in the read-only tree, with the workspace and nothing else to write to.

        step: whose limits and network it has; the context's own when it is not given.
        """
        step = step or self.action.step
        memory = step.limits.memory
        scratch = memory // 4 if memory else 1 << 30
        return SandboxSpec(
            argv=tuple(argv),
            mounts=(
                Mount("ro-bind", "/", TREE),
                *kernel_mounts(memory, step.limits.cpus),
                Mount("tmpfs", "/build", size=scratch),
                Mount("bind", "/workspace", WORKSPACE),
                *(Mount("file", path, data=data, mode=0o444) for path, data in files.items()),
            ),
            env=dict(env),
            limits=step.limits,
            network=bool(step.network),
        )

    def host_spec(self, argv: Sequence[str], env: Mapping[str, str], **more: object) -> SandboxSpec:
        """A vetted program of the host, on a read-only host tree, with the workspace."""
        values: dict[str, object] = {
            "argv": tuple(argv),
            "mounts": (*mounts(), Mount("bind", "/workspace", WORKSPACE)),
            "env": dict(env),
            "limits": self.limits,
            "network": bool(self.action.hosts),
            **more,
        }
        return SandboxSpec(**values)  # type: ignore[arg-type]
