"""The steps of one build: pipelines in place, `if` decided, `${NAME}` replaced, environments merged. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contractor.core.values import Value
from contractor.spec import references, rules
from contractor.spec.actions import Action, Field, row_of
from contractor.spec.fields import tidy, whole_fault
from contractor.spec.flow import check_steps
from contractor.spec.model import AnyAction, BuildSpec, Condition, Custom, Parameter, Pipeline, Shell, Step
from contractor.spec.nodes import MAX_INTEGER
from contractor.spec.parameters import settle
from contractor.spec.problems import Fault, Problems, did_you_mean, shown


class Resolved(Value, frozen=True):
    """steps: what runs, in order, no pipelines. skipped: name and reason of what does not.

    diagnostics: the build's own, with values in place; a step's are in the step.
    """

    steps: tuple[Step, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    diagnostics: tuple[str, ...] = ()


def resolve_steps(spec: BuildSpec, values: Mapping[str, str]) -> Resolved:
    """The steps of one combination; values are its parameters' and matrix values (Combination.values).

    A shell or custom step's env is: parameters (but not what gives the matrix its values: each build has one of them,
    and must not run again because there are others), under the build's env, under the step's. In a pipeline it is: the
    build's env, under the pipeline's parameters, under the env of the step that uses it, under the step's own.
    A pipeline knows its own parameters and the matrix, nothing else. Raises SpecError, at the steps' places.
    """
    problems = Problems(spec.file)
    build = _Scope(values, spec.parameters)
    for name in matrix_parameters(spec):
        del build.parameters[name]
    work = _Resolver(spec, build, problems)
    work.walk(spec.steps, build)
    diagnostics = build.texts(spec.diagnostics)
    for text in diagnostics:
        problems.add_fault(None, rules.check("glob", text))
    check_steps(work.steps, problems, exact=True)
    problems.add_fault(None, _epoch_fault(spec, values))
    problems.check()
    return Resolved(tuple(work.steps), tuple(work.skipped), diagnostics)


def matrix_parameters(spec: BuildSpec) -> frozenset[str]:
    """The parameters that give the matrix its values."""
    return frozenset(name for values in spec.matrix.values() for text in values for name in references.names(text))


def epoch_of(spec: BuildSpec, values: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH as the specification says it; None when it does not. The values have been accepted."""
    return int(references.substitute(spec.epoch, values)) if isinstance(spec.epoch, str) else spec.epoch


def _epoch_fault(spec: BuildSpec, values: Mapping[str, str]) -> Fault | None:
    if not isinstance(spec.epoch, str) or epoch_of(spec, values) in range(MAX_INTEGER + 1):
        return None
    name = references.only_name(spec.epoch)
    return f"{name} is the epoch, and {values[name]} is none", "give seconds since 1970, from 0 on"


class _Scope:
    """What the steps of the build, or of one use of a pipeline, know.

    uses: the env of the steps that led here; prefix: the pipelines' names, for the names of steps.
    """

    __slots__ = ("_lists", "parameters", "prefix", "uses", "values")

    def __init__(
        self,
        values: Mapping[str, str],
        parameters: tuple[Parameter, ...],
        uses: Mapping[str, str] | None = None,
        prefix: str = "",
    ) -> None:
        self.values = values
        self.parameters = {parameter.name: values[parameter.name] for parameter in parameters}
        self.uses = uses or {}
        self.prefix = prefix
        self._lists = {parameter.name for parameter in parameters if parameter.type == "list"}

    def text(self, text: str) -> str:
        return references.substitute(text, self.values)

    def texts(self, items: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        """An item that is nothing but a list parameter stands for the list's items."""
        made: list[str] = []
        for item in items:
            name = references.only_name(item)
            made += self.values[name].split() if name in self._lists else [self.text(item)]
        return tuple(made)

    def mapping(self, texts: Mapping[str, str]) -> dict[str, str]:
        return {name: self.text(text) for name, text in texts.items()}

    def holds(self, condition: Condition) -> bool:
        """Of a list parameter, one item is enough."""
        value = self.values[condition.name]
        found = value.split() if condition.name in self._lists else [value]
        return any(item in condition.values for item in found)


class _Resolver:
    """Collects the steps of one build."""

    def __init__(self, spec: BuildSpec, build: _Scope, problems: Problems) -> None:
        self._spec = spec
        self._matrix = {name: build.values[name] for name in spec.matrix}
        self._env = build.mapping(spec.env)
        self._problems = problems
        self.steps: list[Step] = []
        self.skipped: list[tuple[str, str]] = []

    def walk(self, steps: tuple[Step, ...], scope: _Scope) -> None:
        """Add the steps of a scope; load_spec has checked that pipelines exist and end."""
        for step in steps:
            name = scope.prefix + scope.text(step.name)
            unmet = [condition for condition in step.conditions if not scope.holds(condition)]
            if unmet:
                self.skipped.append((name, _why(unmet[0], scope.values[unmet[0].name])))
            elif isinstance(step.action, Pipeline):
                self._enter(step, step.action, scope)
            else:
                self.steps.append(self._step(step, name, scope))

    def _enter(self, step: Step, action: Pipeline, scope: _Scope) -> None:
        pipeline = self._spec.pipelines[action.name]
        before = len(self._problems)
        given = scope.mapping(action.parameters)
        own = settle(pipeline.parameters, given, step.place, self._problems, f" of pipeline {action.name}")
        if len(self._problems) > before:
            return
        uses = {**scope.uses, **scope.mapping(step.env)}
        prefix = f"{scope.prefix}{action.name}: "
        self.walk(pipeline.steps, _Scope({**self._matrix, **own}, pipeline.parameters, uses, prefix))

    def _environment(self, scope: _Scope) -> dict[str, str]:
        """What every shell and custom step of a scope has. In a pipeline its parameters hide the build's env."""
        if scope.prefix:
            return {**self._env, **scope.parameters, **scope.uses}
        return {**scope.parameters, **self._env}

    def _step(self, step: Step, name: str, scope: _Scope) -> Step:
        row = row_of(step.action)
        action = self._action(step, row, scope)
        network = tuple(rules.normal("host", host) for host in scope.texts(step.network))
        diagnostics = scope.texts(step.diagnostics)
        exclusive = scope.text(step.exclusive)
        for kind, texts in (("host", network), ("glob", diagnostics), ("name", (exclusive,) if exclusive else ())):
            for text in texts:
                self._problems.add_fault(step.place, rules.check(kind, text))
        env = scope.mapping(step.env)
        if isinstance(action, (Shell, Custom)):
            env = self._environment(scope) | env
        return msgspec.structs.replace(
            step,
            action=action,
            name=name,
            env=env,
            conditions=(),
            diagnostics=diagnostics,
            network=network,
            exclusive=exclusive,
        )

    def _action(self, step: Step, row: Action, scope: _Scope) -> AnyAction:
        """The action with values in place, every text checked by its rule again: now it is what will be used."""
        changed: dict[str, Any] = {}
        for field in row.fields:
            value = getattr(step.action, field.name)
            if field.kind == "arguments":
                changed[field.name] = {name: _argument(item, scope) for name, item in value.items()}
            elif field.many:
                changed[field.name] = scope.texts(value)
                if value and not changed[field.name] and (field.required or field.default):
                    self._problems.add(
                        step.place, f"{field.name} of {row.name} is empty", "a list parameter has no items"
                    )
            elif isinstance(value, str) and "${" in value and field.kind != "script":
                changed[field.name] = rules.normal(field.kind, scope.text(value))
            else:
                continue
            self._check(step, row, field, value, changed[field.name])
        action = tidy(msgspec.structs.replace(step.action, **changed)) if changed else step.action
        self._problems.add_fault(step.place, whole_fault(action))
        return action

    def _check(self, step: Step, row: Action, field: Field, before: Any, after: Any) -> None:
        if before == after or field.kind == "arguments":
            return
        for text in after if field.many else (after,):
            fault = rules.check(field.kind, text)
            if fault is None and field.choices and text not in field.choices:
                fault = (f"{shown(text)} is no {field.name}", did_you_mean(text, field.choices))
            if fault is not None:
                self._problems.add(step.place, f"{field.name} of {row.name}: {fault[0]}", fault[1])


def _argument(item: str | int | bool | list[str], scope: _Scope) -> str | int | bool | list[str]:
    if isinstance(item, list):
        return list(scope.texts(item))
    return scope.text(item) if isinstance(item, str) else item


def _why(condition: Condition, value: str) -> str:
    wanted = " or ".join(shown(text) for text in condition.values)
    return f"{condition.name} is {shown(value)}, not {wanted}"
