"""Two builds compared: what they were asked for, what their steps did, what came out. Pure values; no store is read.

What counts as a difference is everything but times, places and the host: see `counts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from contractor.build.compare.steps import FetchChange, Side, StepDiff, StepPackages, Timing
from contractor.build.compare.steps import fetches as compare_fetches
from contractor.build.compare.steps import packages as compare_packages
from contractor.build.compare.steps import steps as compare_steps
from contractor.build.compare.steps import timings as compare_timings
from contractor.core.events import ArtifactInfo
from contractor.core.values import Value
from contractor.store.records import Record

_ENDED = ("succeeded", "failed", "rejected", "out-of-limits", "not-reproducible")  # of the build's own doing


class Fact(Value, frozen=True):
    """One thing that both records say; None where one does not. counts: a difference of it is one of the builds."""

    section: str
    name: str
    a: Any
    b: Any
    counts: bool = True

    @property
    def same(self) -> bool:
        return bool(self.a == self.b)


class Output(Value, frozen=True):
    """An artifact by name. how: same, differs, only a, only b. made_a, made_b: the builds that really made them."""

    name: str
    how: str
    a: ArtifactInfo | None
    b: ArtifactInfo | None
    made_a: str = ""
    made_b: str = ""


class BuildDiff(Value, frozen=True):
    """differs: the sections in which something that counts differs. verdict: a line about inputs and outputs."""

    facts: tuple[Fact, ...]
    steps: tuple[StepDiff, ...]
    packages: tuple[StepPackages, ...]
    fetches: tuple[FetchChange, ...]
    timings: tuple[Timing, ...]
    outputs: tuple[Output, ...]
    same_inputs: bool
    verdict: str
    differs: tuple[str, ...]
    notes: tuple[str, ...]


def compare_builds(a: Side, b: Side) -> BuildDiff:
    """What differs in b from a."""
    facts = tuple(_facts(a.record, b.record))
    steps = compare_steps(a, b)
    packages, fetches = compare_packages(a, b, steps), compare_fetches(a, b, steps)
    outputs = tuple(_outputs(a.record, b.record))
    sections = [fact.section for fact in facts if fact.counts and not fact.same]
    sections += ["steps"] if any(step.how != "same" or step.moved for step in steps) else []
    sections += ["packages"] if packages else []
    sections += ["fetches"] if fetches else []
    sections += ["outputs"] if any(output.how != "same" for output in outputs) else []
    network = not packages and not any(fetch.how == "changed" for fetch in fetches)
    same_inputs = [step.key for step in a.record.steps] == [step.key for step in b.record.steps]
    return BuildDiff(
        facts=facts,
        steps=steps,
        packages=packages,
        fetches=fetches,
        timings=compare_timings(a, b, steps),
        outputs=outputs,
        same_inputs=same_inputs,
        verdict=verdict(a.record, b.record, outputs, inputs=same_inputs, network=network),
        differs=tuple(dict.fromkeys(sections)),
        notes=tuple(_notes(a, b)),
    )


def _facts(a: Record, b: Record) -> Iterator[Fact]:
    yield Fact("outcome", "outcome", a.outcome, b.outcome)
    yield Fact("outcome", "message", a.message, b.message, counts=a.outcome != b.outcome)
    yield Fact("outcome", "tainted", a.tainted, b.tainted)
    yield Fact("specification", "name", a.name, b.name)
    yield Fact("specification", "file", a.spec, b.spec, counts=False)
    yield Fact("specification", "asked for", list(a.asked), list(b.asked), counts=False)
    yield Fact("plan", "digest", a.plan, b.plan, counts=False)  # places in the file are part of it
    yield from _each("parameters", a.parameters, b.parameters)
    yield from _each("matrix", a.matrix, b.matrix)
    yield Fact("epoch", "epoch", a.epoch, b.epoch)
    yield Fact("epoch", "origin", a.epoch_origin, b.epoch_origin, counts=False)
    yield from _each("inputs", a.inputs, b.inputs)
    yield Fact("environment", "architecture", a.arch, b.arch)
    yield Fact("environment", "isolation", a.tier, b.tier)
    yield Fact("environment", "degraded", a.degraded, b.degraded)
    yield Fact("environment", "memory limit", a.memory, b.memory, counts=False)  # how this host can hold it
    yield from _each("environment", a.tools, b.tools, "tool ")
    yield from _each("environment", a.limits, b.limits, "limit ")
    yield from _each("environment", a.host, b.host, "host ", counts=False)


def _each(
    section: str, a: Mapping[str, Any], b: Mapping[str, Any], before: str = "", *, counts: bool = True
) -> Iterator[Fact]:
    for name in {**a, **b}:
        yield Fact(section, before + name, a.get(name), b.get(name), counts)


def _outputs(a: Record, b: Record) -> Iterator[Output]:
    olds, news = _made(a), _made(b)
    for name in {**olds, **news}:
        old, made_a = olds.get(name, (None, ""))
        new, made_b = news.get(name, (None, ""))
        how = "only b" if old is None else "only a" if new is None else "differs"
        if old is not None and new is not None and (old.digest, old.format) == (new.digest, new.format):
            how = "same"
        yield Output(name, how, old, new, made_a, made_b)


def _made(record: Record) -> dict[str, tuple[ArtifactInfo, str]]:
    """Artifacts by name, each with the build that made it: they are in the order of the steps that finished."""
    finished = [
        step for step in record.steps if step.action == "create-artifact" and step.outcome in ("succeeded", "cached")
    ]
    makers = [step.made_by or record.id for step in finished]
    makers += [""] * (len(record.artifacts) - len(makers))
    return {item.name: (item, maker) for item, maker in zip(record.artifacts, makers, strict=False)}


def verdict(a: Record, b: Record, outputs: tuple[Output, ...], *, inputs: bool, network: bool) -> str:
    """The last line. inputs, network: whether what went in, and what the network gave to the steps, is the same."""
    begin = "the same inputs" if inputs else "other inputs"
    ends = {"a": a.outcome, "b": b.outcome}
    if a.outcome != b.outcome:
        said = ", ".join(f"{name} {_ended(outcome)}" for name, outcome in ends.items())
        if not inputs or any(outcome not in _ENDED for outcome in ends.values()):
            return f"{begin}; {said}"
        cause = "it depends on something that is no input" if network else "the network gave other things"
        return f"{begin}, but {said}: {cause}"
    if not outputs:
        return f"{begin}; both {_ended(a.outcome)}, and neither made an artifact"
    if all(output.how == "same" for output in outputs):
        return f"{begin}, {'the' if inputs else 'but the'} same outputs{_twice(outputs)}"
    if not inputs:
        return f"{begin}, other outputs"
    if not network:
        return f"{begin}, but the network gave other things: other outputs"
    return f"{begin} but other outputs: not reproducible"


def _ended(outcome: str) -> str:
    return outcome if outcome in ("succeeded", "failed", "died") else f"was {outcome}" if outcome else "is unknown"


def _twice(outputs: tuple[Output, ...]) -> str:
    """The same result, found twice, says nothing about building it twice."""
    once = all(output.made_a and output.made_a == output.made_b for output in outputs)
    return f" (made once, by {outputs[0].made_a}: `contractor build --fresh` builds again)" if once else ""


def _notes(a: Side, b: Side) -> Iterator[str]:
    if a.record.id == b.record.id:
        yield "this is one and the same build"
    if a.record.name != b.record.name:
        yield f"they are builds of different specifications: {a.record.name} and {b.record.name}"
    elif a.record.matrix != b.record.matrix:
        yield "they are builds of different combinations of the matrix"
    for name, side in (("a", a), ("b", b)):
        if side.plan is None:
            yield f"the plan of {name} cannot be read, so steps are compared by name and key only: {side.why_not}"
        if side.record.outcome == "running":
            yield f"{name} is still running"


def as_builtins(found: BuildDiff) -> dict[str, Any]:
    """JSON values; facts say whether they are the same."""
    made: dict[str, Any] = msgspec.to_builtins(found)
    for fact, values in zip(found.facts, made["facts"], strict=True):
        values["same"] = fact.same
    return made
