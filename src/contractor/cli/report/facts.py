"""The tables of facts: what was asked for, the machine, the limits, the secrets' names; and a step's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from contractor.cli.output import limits_text
from contractor.cli.report.model import Fact, Group
from contractor.cli.text import duration, human_size
from contractor.plan.model import Action
from contractor.spec.model import Limits
from contractor.store.records import Record, StepRecord

_MADE_ELSEWHERE = ("type", "script")  # of an action: shown in a place of their own


def took(seconds: float) -> str:
    """A duration as everywhere, but in milliseconds where a tenth of a second says nothing."""
    return duration(seconds) if seconds >= 0.0995 else f"{max(0.0, seconds) * 1000:.0f} ms"


def environment(record: Record) -> tuple[Group, ...]:
    """Everything that a build depended on, and the machine that it ran on, group by group."""
    asked = [
        Fact("specification", record.spec, code=True),
        Fact("options", " ".join(record.asked), code=True),
        Fact("base of", record.parent, code=True),
        Fact("workspace kept", record.kept, code=True),
    ]
    same = [
        Fact("plan", record.plan, code=True),
        Fact("epoch", f"{record.epoch} ({record.epoch_origin})"),
    ]
    machine = [
        Fact("isolation", ("degraded: " if record.degraded else "") + record.tier),
        Fact("memory limit", record.memory),
        Fact("architecture", record.arch),
        *_mapped(record.host),
    ]
    groups = (
        Group("Asked for", _given(asked), tall=True),
        Group("Parameters", _mapped(record.parameters)),
        Group("Matrix", _mapped(record.matrix)),
        Group("Inputs", _mapped(record.inputs, code=True), tall=True),
        Group("Secrets", _secrets(record)),
        Group("Identity", _given(same), tall=True),
        Group("Machine", _given(machine)),
        Group("Tools", _mapped(record.tools)),
        Group("Limits", _limits(record.limits)),
    )
    return tuple(group for group in groups if group.facts)


def _given(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(fact for fact in facts if fact.value)


def _mapped(values: Mapping[str, str], *, code: bool = False) -> tuple[Fact, ...]:
    return tuple(Fact(name, value or "(empty)", code) for name, value in values.items())


def _limits(given: Mapping[str, Any]) -> tuple[Fact, ...]:
    try:
        text = limits_text(msgspec.convert(given, Limits))
    except msgspec.ValidationError:  # written by another version
        return _mapped({name: str(value) for name, value in given.items()})
    return tuple(Fact(name, value) for name, _space, value in (part.partition(" ") for part in text.split(", ")))


def _secrets(record: Record) -> tuple[Fact, ...]:
    """Their names, and the steps that may read them; their values are nowhere."""
    steps: dict[str, list[str]] = {}
    for number, step in enumerate(record.steps, 1):
        for name in step.secrets:
            steps.setdefault(name, []).append(str(number))
    return tuple(Fact(name, f"step {', '.join(numbers)}") for name, numbers in steps.items())


def of_step(step: StepRecord, action: Action | None, took_there: float) -> tuple[Fact, ...]:
    """A step's own facts. took_there: seconds that a cached step took in the build that ran it, 0 if not known."""
    facts = [
        Fact("exit code", str(step.exit_code) if step.exit_code else ""),
        Fact("made by", step.made_by, code=True),
        Fact("took there", took(took_there) if took_there else ""),
        Fact("runs in", step.place),
        Fact("network", step.network),
        Fact("processor time", took(step.cpu_seconds) if step.cpu_seconds else ""),
        Fact("peak memory", human_size(step.max_rss) if step.max_rss else ""),
        Fact("secrets", ", ".join(step.secrets)),
        *(_fields(action) if action is not None else ()),
        Fact("key", step.key, code=True),
    ]
    return _given(facts)


def _fields(action: Action) -> Iterable[Fact]:
    """What the specification says of the action."""
    for name, value in msgspec.to_builtins(action.step.action).items():
        if name not in _MADE_ELSEWHERE and value not in ("", (), [], {}, None, False):
            yield Fact(name, _text(value), code=name in ("sha256", "digest", "url", "git"))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(part)}" for name, part in value.items())
    return "yes" if value is True else str(value)
