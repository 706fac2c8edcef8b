"""Plans without a specification, and builds in a store that ran them: for tests of reasons, why and diff."""

from __future__ import annotations

import os

from cli_store import record, step

from contractor.plan.model import Facts, Plan, decode, encode
from contractor.plan.planner import BasePlanner, make_plan
from contractor.spec import model
from contractor.spec.model import BuildSpec, Step
from contractor.spec.resolve import Resolved
from contractor.spec.steps import title
from contractor.store.layout import Store
from contractor.store.records import Record, Records

PLACE = model.Place("contractor.yaml", 1, 1)
TREE = model.CreateSystree(artifact="1" * 64)
SOURCE = model.Source(path=".")
OUT = model.CreateArtifact("out")
Given = model.AnyAction | Step


def named(name: str, action: model.AnyAction, **more) -> Step:
    return Step(action=action, name=name, place=PLACE, **more)


def no_base(name: str, _step: Step) -> Plan:
    raise AssertionError(name)


def planned(
    *given: Given, name: str = "b", source: str = "a" * 64, epoch: int = 1, base: BasePlanner = no_base, matrix=None
) -> Plan:
    """A plan as a stored one is read. Actions without a name get the one that they make themselves."""
    steps = tuple(one if isinstance(one, Step) else named(title(one), one) for one in given)
    sources = {n: source for n, one in enumerate(steps) if isinstance(one.action, model.Source)}
    facts = Facts(arch="amd64", epoch=epoch, epoch_origin="given", sources=sources, matrix=matrix or {})
    spec = BuildSpec(name=name, steps=steps)
    return decode(encode(make_plan(spec, Resolved(steps=steps), facts, base_plan=base)))


def keep(store: Store, plan: Plan, build: str, *outcomes: str, more: dict | None = None, **fields) -> Record:
    """A build of a plan: its record and plan.json. more: fields of a step's record, by its position."""
    ends = outcomes or ("succeeded",) * len(plan.actions)
    steps = tuple(
        step(one.step.name, end, **{"action": one.kind, "key": one.key, "seconds": 1.0, **(more or {}).get(n, {})})
        for n, (one, end) in enumerate(zip(plan.actions, ends, strict=True))
    )
    inputs = {one.step.name: one.inputs["source"] for one in plan.actions if "source" in one.inputs}
    values = {"name": plan.name, "plan": plan.digest, "epoch": plan.epoch, "matrix": plan.matrix, "inputs": inputs}
    made = record(build, **{"steps": steps, **values, **fields})
    folder = Records(store).folder(build)
    os.mkdir(folder)
    Records(store).write(made)
    with open(f"{folder}/plan.json", "wb") as file:
        file.write(encode(plan))
    return made
