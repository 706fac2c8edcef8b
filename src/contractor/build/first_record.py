"""The record of a build before anything of it has run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from contractor.build.tools import host_facts, tool_versions
from contractor.spec import model
from contractor.spec.actions import ACTIONS
from contractor.store.records import Record, StepRecord

if TYPE_CHECKING:
    from contractor.plan.model import Action, Plan
    from contractor.sandbox.spec import Tier
    from contractor.store.layout import Store


def first_record(build: str, plan: Plan, started: float, tier: Tier, store: Store) -> Record:
    """Of the build with this id. started: seconds since 1970."""
    limits: dict[str, Any] = msgspec.to_builtins(plan.limits)
    return Record(
        id=build,
        name=plan.name,
        outcome="running",
        started=started,
        plan=plan.digest,
        arch=plan.arch,
        epoch=plan.epoch,
        epoch_origin=plan.epoch_origin,
        parameters=plan.parameters,
        matrix=plan.matrix,
        inputs=_inputs(plan),
        tier=tier.name,
        degraded=tier.degraded,
        memory=tier.memory,
        limits=limits,
        tools=tool_versions(store),
        host=host_facts(),
        spec=plan.file,
        steps=tuple(map(not_run, plan.actions)),
    )


def not_run(action: Action) -> StepRecord:
    rules = ACTIONS[action.kind]
    network = ", ".join(action.hosts) if action.hosts else "none"
    return StepRecord(
        name=action.step.name,
        action=action.kind,
        key=action.key,
        place=rules.place,
        network=network,
        outcome="not run",
        secrets=action.step.secrets,
    )


def _inputs(plan: Plan) -> dict[str, str]:
    found = {}
    for action in plan.actions:
        if "source" in action.inputs:
            found[action.step.name] = str(action.inputs["source"])
        elif isinstance(action.step.action, model.Fetch):
            found[action.step.name] = action.step.action.sha256
    return found
