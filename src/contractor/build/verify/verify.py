"""Build again from a record alone: without any network, under other conditions, and compare everything that comes out.

The plan is the one that was run (again.py), under other conditions (conditions.py). What the second build leaves is
its record, its log, the artifacts that differ, and the verdict: no other build could ever find the rest.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from contractor.build.compare.history import plan_of
from contractor.build.compare.members import Members, compare_archives
from contractor.build.executor import execute
from contractor.build.options import Emit, Options
from contractor.build.steer import Steering
from contractor.build.tools import host_facts, tool_versions
from contractor.build.verify.again import plan_again, require_whole
from contractor.build.verify.conditions import VARIATIONS, Conditions, choose, constant, varied
from contractor.build.verify.explain import Explainer
from contractor.core.events import ArtifactInfo, Notice
from contractor.core.values import Value
from contractor.plan.model import Plan
from contractor.proof.errors import Refuted
from contractor.proof.provenance import written_digests
from contractor.sandbox.local import LocalSandbox
from contractor.store.layout import Store
from contractor.store.records import VERIFY, Record, Records
from contractor.store.results import Results, artifact_path

if TYPE_CHECKING:
    from contractor.build.verify.elsewhere import Elsewhere

__all__ = ["VARIATIONS", "Difference", "Verdict", "verify"]

_SECOND = 1.0
_MOST = 16 << 30  # bytes of two archives that are read to say where they differ


class Difference(Value, frozen=True):
    """An artifact that is not the same. before, after: digests, "" where there is none."""

    name: str
    before: str
    after: str
    members: Members | None = None
    explained: str = ""  # what diffoscope says, where it is installed


class Verdict(Value, frozen=True):
    """again: the build that was made to compare. outcome: reproduced, not-reproducible, or how the second build ended,
    which then proves nothing. same: artifacts whose digest is the same. varied, constant: conditions, in words. tools:
    what was another version, (then, now). message: how the second build failed, where it did. signed: where the
    signed verdict is."""

    build: str
    again: str
    outcome: str
    same: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    varied: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    tools: dict[str, tuple[str, str]] = {}
    message: str = ""
    signed: str = ""
    elsewhere: bool = False  # the first build is in another store
    version: int = 1

    @property
    def reproduced(self) -> bool:
        return self.outcome == "reproduced"

    @property
    def conclusive(self) -> bool:
        return self.outcome in ("reproduced", "not-reproducible")


def verify(
    build: str | Elsewhere,
    store: Store,
    sandbox: LocalSandbox,
    options: Options,
    *,
    emit: Emit,
    vary: tuple[str, ...] = VARIATIONS,
) -> Verdict:
    """A build of this store by its id, or of another by its provenance.

    Rejected, before anything runs: a build that proves nothing, or that the store lacks something of.
    """
    if isinstance(build, str):
        record, plan, original = Records(store).read(build), plan_of(Records(store), build), None
    else:
        record, plan, original = build
    require_whole(record)
    written = written_digests(store, record.id) if original is None else ("", record.plan)
    if written[1] != record.plan:
        raise Refuted(
            f"the plan of {record.id} is not the one that was run",
            details=(f"recorded: sha256 {record.plan}", f"here:     sha256 {written[1]}"),
            hint="somebody changed one of the two files: `contractor audit verify`",
        )
    conditions = choose(plan, store, vary)
    _wait_for_another_second(record, options)
    made = _build(plan, record, (store, sandbox), options, emit, conditions)
    if made.outcome in ("failed", "out-of-limits", "broken"):
        milder = conditions.milder(f"with it the second build ended as {made.outcome}, {made.id}: {made.message}")
        if milder is not None:
            text = "built once more under milder conditions: the usual kernel, and the workspace on the disk"
            emit(Notice(at=time.time(), build=made.id, text=text, level="warning"))
            conditions = milder
            made = _build(plan, record, (store, sandbox), options, emit, conditions)
    found = Verdict(
        build=record.id,
        again=made.id,
        outcome=made.outcome,
        varied=varied(conditions, made.started - record.started, elsewhere=original is not None),
        constant=constant(conditions, vary, elsewhere=original is not None),
        tools=_tools(record, store),
        message=made.message,
        elsewhere=original is not None,
    )
    if made.outcome == "succeeded":
        found = _compared(found, record.artifacts, made.artifacts, Explainer(store, sandbox, options.tick))
    elif made.outcome == "failed":  # by its own doing, where it once succeeded
        found = _compared(found, record.artifacts, (), Explainer(store, sandbox, options.tick))
    if not found.conclusive or options.witness is None:
        return found
    from contractor.proof.verdict import Reproduction, original_of

    if original is None:
        original = original_of(record)._replace(record=written[0])
    about = Reproduction(
        build=found.build,
        again=found.again,
        outcome=found.outcome,
        same=found.same,
        different=tuple(difference.name for difference in found.differences),
        varied=found.varied,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made.finished)),
    )
    return msgspec.structs.replace(found, signed=options.witness.verdict(about, original))


def _wait_for_another_second(record: Record, options: Options) -> None:
    """The time is to be another, and most of what writes it down does so in seconds."""
    while 0 <= time.time() - record.finished < _SECOND:
        if options.tick is not None:
            options.tick()
        time.sleep(0.02)


def _build(
    plan: Plan, record: Record, local: tuple[Store, LocalSandbox], options: Options, emit: Emit, conditions: Conditions
) -> Record:
    """The second build; what it stored goes, but for artifacts that are not the first build's."""
    store, sandbox = local
    again = plan_again(plan, record, store, sandbox, options.secrets)
    wanted = options._replace(
        offline=True,
        replaying=f"the build {record.id}",
        steering=Steering(words=(VERIFY, record.id)),
        variation=conditions.variation,
    )
    known = {artifact.digest for artifact in record.artifacts}
    own = [new.key for new, old in zip(again.actions, plan.actions, strict=True) if new.key != old.key]
    with conditions.outside():
        try:
            return execute(again, store, sandbox, emit, wanted)
        finally:
            _forget(own, store, sandbox, known)


def _forget(keys: list[str], store: Store, sandbox: LocalSandbox, known: set[str]) -> None:
    """Remove the results of these keys, and their layers; those of artifacts that are not known keep these from gc."""
    results = Results(store, sandbox.ids)
    layers = []
    for key in keys:
        result = results.read(key)
        if result is None or (result.artifact is not None and result.artifact.digest not in known):
            continue
        results.remove(key)
        if result.layer:
            layers.append(key)
    if layers:
        from contractor.build.removal import removal

        with removal() as hands:
            hands.remove(store.path("layers", sandbox.ids), layers)


def _compared(
    found: Verdict, before: tuple[ArtifactInfo, ...], after: tuple[ArtifactInfo, ...], explainer: Explainer
) -> Verdict:
    """All outputs, by name and digest."""
    olds, news = {made.name: made for made in before}, {made.name: made for made in after}
    differences = tuple(
        difference(name, olds.get(name), news.get(name), explainer)
        for name in sorted({*olds, *news})
        if name not in olds or name not in news or olds[name].digest != news[name].digest
    )
    same = tuple(name for name in olds if name in news and olds[name].digest == news[name].digest)
    outcome = "not-reproducible" if differences else "reproduced"
    return msgspec.structs.replace(found, outcome=outcome, same=same, differences=differences)


def difference(name: str, old: ArtifactInfo | None, new: ArtifactInfo | None, explainer: Explainer) -> Difference:
    """Where an artifact differs that is not the same, or is not there."""
    if old is None or new is None:
        return Difference(name, old.digest if old else "", new.digest if new else "")
    if not os.path.exists(artifact_path(explainer.store, old.digest)):
        return Difference(
            name, old.digest, new.digest, Members(why_not="the first build's archive is not in this store")
        )
    if old.size + new.size > _MOST:
        return Difference(name, old.digest, new.digest, Members(why_not="too large to be compared here"))
    members = compare_archives(explainer.store, old.digest, new.digest)
    return Difference(name, old.digest, new.digest, members, explainer.explain(old.digest, new.digest, members))


def _tools(record: Record, store: Store) -> dict[str, tuple[str, str]]:
    """What is not the version that it was."""
    then, now = {**record.tools, **record.host}, {**tool_versions(store), **host_facts()}
    return {
        name: (then.get(name, "none"), now.get(name, "none"))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    }
