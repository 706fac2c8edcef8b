"""An action's node -> the action's value, by its row in the table: short forms, required fields, rules, references."""

from __future__ import annotations

from typing import Any

from contractor.spec import keys, references, rules
from contractor.spec.actions import Action, Field
from contractor.spec.model import AnyAction, Fetch, Place, UnpackArtifact
from contractor.spec.nodes import BOOLEANS, BROKEN, LIST, MAPPING, Node, parse_integer
from contractor.spec.parameters import Scope, joined
from contractor.spec.problems import Fault, did_you_mean, listed, shown


def load_action(row: Action, node: Node, scope: Scope) -> AnyAction | None:
    """The action that stands at node, or None after its problems were told."""
    if node.kind == BROKEN:
        return None
    given = _given(row, node)
    if given is None:
        return None
    values: dict[str, Any] = {}
    whole = _complete(row, given, node)
    for field in row.fields:
        if field.name in given:
            value = _value(field, given[field.name], f"{field.name} of {row.name}", scope)
            whole = whole and value is not None
            values[field.name] = value
    if not whole:
        return None
    action = tidy(row.model(**values))
    node.fault(whole_fault(action))
    return action


def tidy(action: AnyAction) -> AnyAction:
    """The one form of an action that can be said in several: an artifact's digest is no name."""
    if isinstance(action, UnpackArtifact) and rules.is_sha256(action.name):
        return UnpackArtifact(digest=action.name, to=action.to, archive=action.archive)
    return action


def whole_fault(action: AnyAction) -> Fault | None:
    """What is wrong with an action though each of its fields is right. A URL with `${NAME}` is not known yet."""
    if isinstance(action, Fetch) and not action.to and not references.names(action.url):
        path = action.url.partition("://")[2].split("?", 1)[0].split("#", 1)[0]
        if path.partition("/")[2].rpartition("/")[2] in ("", ".", ".."):
            return "the URL has no file name", "say where it goes with to: NAME"
    if isinstance(action, UnpackArtifact) and action.archive and action.to != ".":
        return "unpack-artifact has to and archive", "archive: FILE is the whole path of the file; leave `to` out"
    return None


def load_text(node: Node, kind: str, what: str, scope: Scope) -> str | None:
    """A text of a kind (rules.py). One with `${NAME}` is checked again by resolve_steps, when the value is known."""
    text = node.string(what)
    if text is None or (kind == "script" and node.fault(rules.check(kind, text))):
        return None
    if kind == "script":
        return text
    if node.fault(references.check(text, scope.names)):
        return None
    if references.names(text):
        return text
    if node.fault(rules.check(kind, references.substitute(text, {}))):
        return None
    return rules.normal(kind, text)


def load_texts(node: Node, kind: str, what: str, scope: Scope) -> tuple[str, ...]:
    """A list of texts of a kind; wrong ones are told and left out."""
    loaded = (load_text(item, kind, what, scope) for item in node.strings(what))
    return tuple(text for text in loaded if text is not None)


def load_environment(node: Node, what: str, scope: Scope) -> dict[str, str]:
    """An `env:` mapping: NAME -> text."""
    loaded = {}
    for name, (key, value) in node.mapping(what).items():
        text = load_text(value, "text", f"{name} in {what}", scope)
        if not key.fault(rules.environment(name)) and text is not None:
            loaded[name] = text
    return loaded


def pipeline_place(node: Node, name: str) -> Place:
    """Where a pipeline's parameter is given, else where the step names the pipeline."""
    parameters = node.entries.get("parameters")
    value = parameters[1].entries.get(name) if parameters else None
    return value[0].place if value else node.place


def _given(row: Action, node: Node) -> dict[str, Node] | None:
    """Field -> its node; a short form is its one field. None after a problem."""
    if node.kind == MAPPING:
        given = {
            name: value for name, (_key, value) in node.mapping(row.name, [field.name for field in row.fields]).items()
        }
        git = given.get("git")
        if git is not None and git.kind == MAPPING:
            del given["git"]
            for name, (_key, value) in git.mapping("git", ("url", "ref")).items():
                given["git" if name == "url" else name] = value
            if "git" not in given:
                git.problem("git needs url", "write git: {url: https://HOST/PATH, ref: TAG}")
                return None
        return given
    if node.is_null:
        return {}
    short = next((field for field in row.fields if field.name == row.short), None)
    if short is None or (node.kind == LIST and not short.many):
        node.problem(f"{row.name} cannot be a {node.kind}", f"write {row.form}")
        return None
    return {short.name: node}


def _complete(row: Action, given: dict[str, Node], node: Node) -> bool:
    """True when what must be there is there, and what excludes each other is not."""
    before = len(node.problems)
    for field in row.fields:
        if field.required and field.name not in given:
            node.problem(f"{row.name} needs {field.name}", f"{field.help}; write {row.form}")
    chosen = [name for name in row.one_of if name in given]
    if row.one_of and len(chosen) != 1:
        found = "both " + " and ".join(chosen[:2]) if chosen else "none"
        node.problem(f"{row.name} needs exactly one of {listed(row.one_of)}, this has {found}", _one_of_hint(row))
    for name, other in row.together:
        if name in given and other not in given:
            node.problem(f"{row.name} with {name} needs {other}", _field_help(row, other))
        elif other in given and name not in given:
            given[other].problem(
                f"{other} goes with {name}, which is not given", f"write {name} too, or leave {other} out"
            )
    return len(node.problems) == before


def _one_of_hint(row: Action) -> str:
    return "; ".join(f"{name}: {_field_help(row, name)}" for name in row.one_of)


def _field_help(row: Action, name: str) -> str:
    return next(field.help for field in row.fields if field.name == name)


def _value(field: Field, node: Node, what: str, scope: Scope) -> Any:
    if field.many:
        if node.kind == LIST and not node.children and (field.required or field.default):
            node.problem(f"{what} is an empty list", "write at least one, or leave the key out")
            return None
        return load_texts(node, field.kind, what, scope)
    if field.kind == "boolean":
        return node.boolean(what)
    if field.kind == "integer":
        return node.integer(what)
    if field.kind == "values":
        return _parameter_values(node, what, scope)
    if field.kind == "arguments":
        return _arguments(node, what, scope)
    text = load_text(node, field.kind, what, scope)
    if text is not None and field.choices and not references.names(text) and text not in field.choices:
        node.problem(
            f"{what} cannot be {shown(text)}", did_you_mean(text, field.choices, f"one of {listed(field.choices)}")
        )
        return None
    return text


def _parameter_values(node: Node, what: str, scope: Scope) -> dict[str, str]:
    values = {}
    for name, (_key, value) in node.mapping(what).items():
        text = joined(value, name)
        if text is not None and not value.fault(references.check(text, scope.names)):
            values[name] = text
    return values


def _arguments(node: Node, what: str, scope: Scope) -> dict[str, str | int | bool | list[str]]:
    """A custom action's arguments keep their JSON types: only here is an unquoted 3 or true more than its text."""
    values: dict[str, str | int | bool | list[str]] = {}
    for name, (key, value) in node.mapping(what).items():
        if key.fault(rules.check("argument", name)):
            continue
        if value.kind == LIST:
            values[name] = list(load_texts(value, "text", name, scope))
            continue
        text = load_text(value, "text", name, scope)
        if text is None:
            continue
        number = parse_integer(text) if value.plain else None
        if value.plain and text in BOOLEANS:
            values[name] = BOOLEANS[text]
        else:
            values[name] = text if number is None else number
    return values


def language(node: Node) -> None:
    """The value of `contractor:`."""
    text = node.string("contractor")
    if text is not None and text != keys.LANGUAGE:
        node.problem(
            f"this Contractor reads version {keys.LANGUAGE} of the language, not {shown(text)}",
            f"write contractor: {keys.LANGUAGE}",
        )
