"""Parameters and the matrix: reading them from nodes, and accepting the values that are given for them.

A value is always text: a list's is its items joined by a space, an integer's its digits, a boolean's `true` or `false`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contractor.spec import keys, references, rules
from contractor.spec.model import Parameter, Place
from contractor.spec.nodes import BOOLEANS, BROKEN, LIST, MAPPING, Node, parse_integer
from contractor.spec.problems import Fault, Problems, did_you_mean, listed, shown

MAX_COMBINATIONS = 256


class Scope:
    """The names that `if` and `${NAME}` may use: parameters (the build's or a pipeline's), and the matrix."""

    __slots__ = ("matrix", "names", "parameters")

    def __init__(self, parameters: Iterable[Parameter], matrix: Mapping[str, tuple[str, ...]]) -> None:
        self.parameters = {parameter.name: parameter for parameter in parameters}
        self.matrix = matrix
        self.names: tuple[str, ...] = (*self.parameters, *matrix)

    def values(self, name: str) -> tuple[str, ...]:
        """The only values that a name can have; empty when it can have any."""
        if name in self.matrix:
            values = self.matrix[name]
            return () if any(references.names(value) for value in values) else values
        parameter = self.parameters[name]
        return ("true", "false") if parameter.type == "boolean" else parameter.choices


def accept(parameter: Parameter, text: str) -> tuple[str, Fault | None]:
    """A given value as the parameter's type writes it, and what is wrong with it, if anything is."""
    what = f"{parameter.name} is {'an' if parameter.type == 'integer' else 'a'} {parameter.type}"
    if "\0" in text:
        return text, (f"{parameter.name} holds a NUL character", "leave it out")
    if not text.strip() and (not parameter.empty or parameter.type in ("integer", "boolean")):
        about = f"{parameter.name} is {parameter.help}" if parameter.help else ""
        return text, (f"the value of {parameter.name} is empty", about or f"give {parameter.name} a value")
    items = [text]
    if parameter.type == "list":
        items = text.split()
        text = " ".join(items)
    elif parameter.type == "integer":
        number = parse_integer(text.strip())
        if number is None:
            return text, (f"{what}, not {shown(text)}", "write digits, without leading zeros")
        text = str(number)
        items = [text]
    elif parameter.type == "boolean":
        if text not in BOOLEANS:
            return text, (f"{what}, not {shown(text)}", "write true or false")
        text = text.lower()
        items = [text]
    for item in items:
        if parameter.choices and item not in parameter.choices:
            hint = did_you_mean(item, parameter.choices, f"one of {listed(parameter.choices)}")
            return text, (f"{parameter.name} cannot be {shown(item)}", hint)
    return text, None


def settle(
    parameters: Iterable[Parameter], given: Mapping[str, str], place: Place | None, problems: Problems, owner: str = ""
) -> dict[str, str]:
    """The value of every parameter: the given one, else the default. Unknown, missing and wrong ones are problems.

    owner is ` of pipeline NAME` for a pipeline's. Names come out in the order of their declaration.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in declared:
            otherwise = "" if declared else "it has no parameters" if owner else "the specification has no parameters"
            problems.add(place, f"unknown parameter {shown(name)}{owner}", did_you_mean(name, declared, otherwise))
    settled = {}
    for name, parameter in declared.items():
        if name in given:
            settled[name], fault = accept(parameter, given[name])
            problems.add_fault(place, fault)
        elif parameter.default is not None:
            settled[name] = parameter.default
        else:
            about = f": {parameter.help}" if parameter.help else ""
            hint = f"write parameters: {{{name}: VALUE}}{about}" if owner else f"give it with -p {name}=VALUE{about}"
            problems.add(place, f"the parameter {name}{owner} has no value and no default", hint)
    return settled


def load_parameters(node: Node | None, epoch: int | str | None = None) -> tuple[Parameter, ...]:
    """The `parameters:` of a specification or of a pipeline. epoch: the specification's, which may name one of them."""
    if node is None:
        return ()
    loaded = []
    for name, (key, value) in node.mapping("parameters").items():
        if epoch != f"${{{name}}}" and key.fault(rules.parameter(name)):
            continue
        if value.kind not in (MAPPING, BROKEN) and not value.is_null:
            value.problem(f"the parameter {name} must be a mapping", f"write {name}: {{default: VALUE}}")
            loaded.append(Parameter(name))  # so that its uses are not told as well
            continue
        loaded.append(_parameter(name, value))
    return tuple(loaded)


def load_matrix(node: Node | None, parameters: Iterable[Parameter]) -> dict[str, tuple[str, ...]]:
    """The `matrix:`: each key with its values in order, at least one, none twice."""
    if node is None:
        return {}
    taken = {parameter.name for parameter in parameters}
    matrix: dict[str, tuple[str, ...]] = {}
    combinations = 1
    for name, (key, value) in node.mapping("matrix").items():
        if key.fault(rules.check("variable", name)):
            continue
        if name.lower() in (other.lower() for other in matrix):
            key.problem(f"{name} differs from another matrix key only in case", "choose another name")
        if name in taken:
            key.problem(f"{name} is a parameter and a matrix key", "give one of the two another name")
        values: list[str] = []
        for item in [] if value.is_null else value.strings(f"the matrix key {name}"):
            fault = references.check(item.text, taken) or value_fault(name, item.text, values)
            if references.names(item.text) and not references.only_name(item.text):
                fault = (f"{shown(item.text)} is only partly a parameter", "a matrix value is a text, or one ${NAME}")
            if not item.fault(fault):
                values.append(item.text)
        if (value.kind == LIST and not value.children) or value.is_null:
            value.problem(
                f"a matrix with no value: {name} has none, so nothing would be built", f"write {name}: [A, B]"
            )
        matrix[name] = tuple(values)
        combinations *= max(1, len(values))
    if combinations > MAX_COMBINATIONS:
        node.problem(
            f"the matrix makes {combinations} builds, more than {MAX_COMBINATIONS}",
            "split it into several specifications",
        )
    return matrix


def value_fault(name: str, text: str, before: Sequence[str]) -> Fault | None:
    """What is wrong with a value of the matrix key `name`, given those before it."""
    if text in before:
        return f"{shown(text)} stands twice in the matrix key {name}", "leave one out"
    if not text.isprintable() or not text.strip():
        return f"{shown(text)} cannot be a value of a matrix", "it is part of names: write one line"
    return None


def _parameter(name: str, node: Node) -> Parameter:
    entries = {key: value for key, (_key, value) in node.mapping(f"the parameter {name}", keys.PARAMETER).items()}
    kind = "string"
    if "type" in entries:
        written = entries["type"].string("type")
        if written in keys.PARAMETER_TYPES:
            kind = written
        elif written is not None:
            entries["type"].unknown("type", keys.PARAMETER_TYPES)
    about = entries["help"].string("help") if "help" in entries else ""
    bare = Parameter(name, kind)
    choices: list[str] = []
    if "choices" in entries:
        for item in entries["choices"].strings("choices"):
            value, fault = accept(bare, item.text)
            item.fault(fault)
            choices.append(value)
        if entries["choices"].kind == LIST and not entries["choices"].children:
            entries["choices"].problem(f"the parameter {name} has no choice", "write the choices, or leave the key out")
    may = entries["empty"].boolean("empty") if "empty" in entries else "default" in entries
    parameter = Parameter(name, kind, help=about or "", choices=tuple(choices), empty=may is not False)
    default = _default(parameter, entries["default"]) if "default" in entries else None
    return msgspec.structs.replace(parameter, default=default)


def _default(parameter: Parameter, node: Node) -> str | None:
    text = joined(node, "default") if parameter.type == "list" else node.string("default")
    if text is None:
        return None
    text, fault = accept(parameter, text)
    node.fault(fault)
    return text


def joined(node: Node, what: str) -> str | None:
    """A list's value as text: its items joined by a space, so that no item may hold one."""
    if node.kind != LIST:
        return node.string(what)
    items = []
    for item in node.strings(what):
        if item.text.split() != [item.text]:
            item.problem(
                f"{shown(item.text)} cannot be an item of {what}: it is empty or holds a space",
                "items are joined by spaces",
            )
        items.append(item.text)
    return " ".join(items)
