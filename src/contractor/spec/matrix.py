"""Parameters x matrix -> the builds to run; with resolve_steps and substitute, what planning asks of this package."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from contractor.core.values import Value
from contractor.spec.model import BuildSpec
from contractor.spec.parameters import settle
from contractor.spec.problems import Problems, did_you_mean, listed, shown
from contractor.spec.references import substitute
from contractor.spec.resolve import Resolved, resolve_steps

__all__ = ["Combination", "Resolved", "expand", "resolve_steps", "substitute"]


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
        hint = f"choose builds with --only {name}={spec.matrix[name][0]}"
        problems.add(None, f"{name} is a matrix key, not a parameter", hint)
    parameters = settle(spec.parameters, known, None, problems)
    for name, value in only.items():
        _check_only(spec, name, value, problems)
    problems.check()
    values = [(only[name],) if name in only else choices for name, choices in spec.matrix.items()]
    return tuple(Combination(dict(zip(spec.matrix, chosen, strict=True)), parameters) for chosen in product(*values))


def _check_only(spec: BuildSpec, name: str, value: str, problems: Problems) -> None:
    if name not in spec.matrix:
        is_parameter = any(parameter.name == name for parameter in spec.parameters)
        otherwise = "" if spec.matrix else "the specification has no matrix"
        hint = f"{name} is a parameter: give it with -p {name}={value}" if is_parameter else ""
        problems.add(None, f"unknown matrix key {shown(name)}", hint or did_you_mean(name, spec.matrix, otherwise))
    elif value not in spec.matrix[name]:
        hint = did_you_mean(value, spec.matrix[name], f"it can be {listed(spec.matrix[name])}")
        problems.add(None, f"the matrix key {name} has no value {shown(value)}", hint)
