"""Build again from a record alone: without any network, under other conditions, and compare everything that comes out.

The plan is the one that was run, under keys of its own, so that every step runs; what its steps fetched is served from
the store. Bases are taken from the store: each is an artifact with a digest, which a build of its own makes.
"""

from __future__ import annotations

import os

import msgspec

from contractor.build.context import Emit, Options
from contractor.build.executor import execute
from contractor.build.explain import explain
from contractor.build.history import plan_of
from contractor.build.inside.vary import Variation
from contractor.build.members import Members, compare_archives
from contractor.build.steer import Steering
from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.plan.rekey import Changed, rekey
from contractor.sandbox.local import LocalSandbox
from contractor.spec.model import base_of
from contractor.store.layout import Store
from contractor.store.records import Record, Records
from contractor.store.results import Results

VARIATIONS = ("kernel", "cpus", "hostname", "file-order")  # the others (time, path, ids of files) differ by themselves
_MOST = 1 << 30  # compressed bytes of two artifacts that are read to say where they differ
_CHOOSE = "`contractor list` shows the builds; choose one that succeeded"
_SHARE = 4  # of the memory that is free, a workspace in memory may have one of this many parts


class Difference(Value, frozen=True):
    """An artifact that is not the same. before, after: digests, "" where there is none."""

    name: str
    before: str
    after: str
    members: Members | None = None
    explained: str = ""  # what diffoscope says, where it is installed


class Verdict(Value, frozen=True):
    """again: the build that was made to compare. same: artifacts whose digest is the same. varied: what was other."""

    build: str
    again: str
    outcome: str  # reproduced, not-reproducible, or how the second build ended
    same: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    varied: tuple[str, ...] = ()
    message: str = ""
    version: int = 1

    @property
    def reproduced(self) -> bool:
        return self.outcome == "reproduced"


def verify(
    build: str, store: Store, sandbox: LocalSandbox, options: Options, *, emit: Emit, vary: tuple[str, ...] = VARIATIONS
) -> Verdict:
    """Rejected, before anything runs: a build that cannot be built again from what the store has."""
    record = Records(store).read(build)
    plan = plan_of(Records(store), build)
    _require_clean(record)
    again, variation = _again(plan, record, store, sandbox), _variation(plan, store, vary)
    wanted = options._replace(
        offline=True,
        replaying=f"the build {build}",
        steering=Steering(words=("--verify", build)),
        variation=variation,
    )
    made = execute(again, store, sandbox, emit, wanted)
    varied = _varied(variation)
    if made.outcome != "succeeded":
        return Verdict(build, made.id, made.outcome, varied=varied, message=made.message)
    before = {artifact.name: artifact.digest for artifact in record.artifacts}
    after = {artifact.name: artifact.digest for artifact in made.artifacts}
    differences = tuple(
        _difference(name, (before.get(name, ""), after.get(name, "")), store, sandbox)
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )
    same = tuple(name for name in before if before[name] == after.get(name))
    outcome = "not-reproducible" if differences else "reproduced"
    return Verdict(build, made.id, outcome, same, differences, varied)


def _require_clean(record: Record) -> None:
    if record.outcome != "succeeded":
        raise Rejected(
            f"{record.id} has not succeeded ({record.outcome}): there is nothing to compare with", hint=_CHOOSE
        )
    if record.tainted:
        raise Rejected(f"{record.id} is tainted: {record.tainted}", hint="build without the shell, and verify that")
    if not record.artifacts:
        raise Rejected(f"{record.id} made no artifact: there is nothing to compare", hint="add a create-artifact step")
    if record.asked:
        raise Rejected(
            f"{record.id} was asked for something else than its plan ({' '.join(record.asked)})",
            hint="verify a build of the whole plan",
        )


def _again(plan: Plan, record: Record, store: Store, sandbox: LocalSandbox) -> Plan:
    """The plan under keys of its own, with what each step fetched as the only answers that it gets."""
    session = os.urandom(16).hex()
    results = Results(store, sandbox.ids)
    extra: dict[int, dict[str, str]] = {}
    for position, action in enumerate(plan.actions):
        name = base_of(action.step.action)
        if name:
            _require_base(plan, name, action, results)
        if not name or action.kind != "create-systree":
            extra[position] = {"verify": session}
    made = rekey(plan, Changed(extra=extra))
    replays = {}
    for position, action in enumerate(plan.actions):
        result = results.read(action.key)
        fetches = result.fetches if result is not None else record.steps[position].fetches
        hidden = [fetch.url for fetch in fetches if fetch.method == "CONNECT" and fetch.verdict == "allowed"]
        if hidden:
            raise Rejected(
                f"step {position + 1} ({action.step.name}) fetched through TLS ({hidden[0]}): what came was not kept",
                hint="fetch it with a `fetch` step and its sha256, which is kept",
            )
        if action.hosts:
            replays[made.actions[position].key] = plan.replays.get(action.key, fetches)
    return msgspec.structs.replace(made, replays=replays)


def _require_base(plan: Plan, name: str, action: Action, results: Results) -> None:
    layer = action.kind == "create-systree" and results.find(action.key) is not None
    if not layer and results.find(base_artifact(plan.bases[name]).key) is None:
        raise Rejected(
            f"the base {name} of this build is not in the store any more", hint=f"`contractor bases` makes {name} again"
        )


def _variation(plan: Plan, store: Store, vary: tuple[str, ...]) -> Variation:
    free = _free_memory() // _SHARE
    size = sum(_size(store.state(action.key)) for action in plan.actions)
    many = len(os.sched_getaffinity(0)) > 1
    return Variation(
        personality="kernel" in vary,
        cpus=1 if "cpus" in vary and many else 0,
        hostname="elsewhere.example" if "hostname" in vary else "",
        tmpfs=free if "file-order" in vary and size * 2 < free else 0,
    )


def _varied(variation: Variation) -> tuple[str, ...]:
    """What was other than in the first build, in words."""
    words = ["a later time", "another folder outside"]
    words += ["a kernel called 2.6, addresses not randomised"] if variation.personality else []
    words += [f"{variation.cpus} CPU"] if variation.cpus else []
    words += ["another host name outside"] if variation.hostname else []
    words += ["another order of files (a workspace in memory)"] if variation.tmpfs else []
    return tuple(words)


def _difference(name: str, digests: tuple[str, str], store: Store, sandbox: LocalSandbox) -> Difference:
    before, after = digests
    if not before or not after:
        return Difference(name, before, after)
    members = compare_archives(store, before, after, most=_MOST)
    return Difference(name, before, after, members, explain(store, sandbox, before, after))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _free_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
