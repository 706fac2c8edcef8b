"""Parameters x matrix -> the builds to run; with resolve_steps and substitute, what planning asks of this package."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod

from contractor.core.values import Value
from contractor.spec.model import BuildSpec
from contractor.spec.parameters import MAX_COMBINATIONS, settle, value_fault
from contractor.spec.problems import Problems, did_you_mean, listed, shown
from contractor.spec.references import names, only_name, substitute
from contractor.spec.resolve import Resolved, resolve_steps

__all__ = ["Combination", "Resolved", "expand", "matrix_of", "resolve_steps", "substitute"]


class Combination(Value, frozen=True):
    """One build: its matrix values, and every parameter's value (the same in all builds of a run)."""

    matrix: dict[str, str]
    parameters: dict[str, str]

    @property
    def values(self) -> dict[str, str]:
        """All names with their values: what `if` and `${NAME}` see."""
        return {**self.matrix, **self.parameters}

    @property
    def label(self) -> str:
        """What tells it from the others, such as `arch=arm64`; empty without a matrix."""
        return " ".join(f"{name}={value}" for name, value in self.matrix.items())


def expand(spec: BuildSpec, given: Mapping[str, str], only: Mapping[str, str]) -> tuple[Combination, ...]:
    """The builds of a specification, the matrix's last key changing fastest; one build without a matrix.

    given: `-p NAME=VALUE`. only: `--only NAME=VALUE`, which leaves the builds with that matrix value.
    Raises SpecError with every unknown name, missing parameter and wrong value; these problems have no place.
    """
    problems = Problems(spec.file)
    known = dict(given)
    for name in [name for name in given if name in spec.matrix]:
        del known[name]
        given_by = [only_name(text) for text in spec.matrix[name] if names(text)]
        hint = f"choose builds with --only {name}=VALUE, or give {', '.join(given_by)}"
        if not given_by:
            hint = f"choose builds with --only {name}={spec.matrix[name][0]}"
        problems.add(None, f"{name} is a matrix key, not a parameter", hint)
    parameters = settle(spec.parameters, known, None, problems)
    matrix = matrix_of(spec, parameters, problems)
    for name, value in only.items():
        _check_only(spec, matrix, name, value, problems)
    problems.check()
    values = [(only[name],) if name in only else choices for name, choices in matrix.items()]
    if prod(map(len, values)) > MAX_COMBINATIONS:
        problems.add(None, f"the matrix makes {prod(map(len, values))} builds, more than {MAX_COMBINATIONS}")
        problems.check()
    return tuple(Combination(dict(zip(matrix, chosen, strict=True)), parameters) for chosen in product(*values))


def matrix_of(
    spec: BuildSpec, parameters: Mapping[str, str], problems: Problems | None = None
) -> dict[str, tuple[str, ...]]:
    """The matrix with the parameters' values in place of `${NAME}`: a list's items are as many values.

    Without `problems`, what is wrong is left out and not told. Parameters without a value leave it as it is written.
    """
    lists = {parameter.name for parameter in spec.parameters if parameter.type == "list"}
    found: dict[str, tuple[str, ...]] = {}
    for key, written in spec.matrix.items():
        values: list[str] = []
        for text in written:
            name = only_name(text) if names(text) else ""
            if not name:
                texts = [substitute(text, {})]
            elif name not in parameters:
                return {**spec.matrix, **found}  # it has no value, which has been told
            else:
                texts = parameters[name].split() if name in lists else [parameters[name]]
            for value in texts:
                fault = value_fault(key, value, values)
                if fault is None:
                    values.append(value)
                elif problems is not None:
                    problems.add_fault(None, fault)
        if not values and written and problems is not None:
            given = ", ".join(only_name(text) for text in written)
            problems.add(None, f"the matrix key {key} has no value, so nothing would be built", f"give {given} a value")
        found[key] = tuple(values)
    return found


def _check_only(
    spec: BuildSpec, matrix: Mapping[str, tuple[str, ...]], name: str, value: str, problems: Problems
) -> None:
    if name not in spec.matrix:
        is_parameter = any(parameter.name == name for parameter in spec.parameters)
        otherwise = "" if spec.matrix else "the specification has no matrix"
        hint = f"{name} is a parameter: give it with -p {name}={value}" if is_parameter else ""
        problems.add(None, f"unknown matrix key {shown(name)}", hint or did_you_mean(name, spec.matrix, otherwise))
    elif matrix[name] and value not in matrix[name] and not any(map(names, matrix[name])):
        hint = did_you_mean(value, matrix[name], f"it can be {listed(matrix[name])}")
        problems.add(None, f"the matrix key {name} has no value {shown(value)}", hint)
