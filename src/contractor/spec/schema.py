"""The JSON Schema of contractor.yaml (draft 2020-12), made from the action table: editors complete and check with it.

The schema says what a shape can say; rules between steps (artifacts, pipelines, references) are load_spec's alone.
Every text may hold `${NAME}`, so that patterns leave such texts alone.
"""

from __future__ import annotations

from typing import Any

from contractor.spec import keys, rules
from contractor.spec.actions import ACTIONS, Action, Field

Schema = dict[str, Any]
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
_HEX = "^[0-9a-fA-F]{64}$"
_RELATIVE = r"^(?![/~])(?!(.*/)?\.\.(/|$)).+$"
_SIZE: Schema = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+ *([KMGTkmgt](i|iB)?|B)?$"}]
}
_DURATION: Schema = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^([0-9.]+[dhms]?)+$"}]}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def json_schema() -> Schema:
    """The schema of a whole specification, as a value for a JSON encoder."""
    top = _object(
        keys.TOP,
        {
            "contractor": {"const": int(keys.LANGUAGE)},
            "name": _named("name"),
            "summary": _SCALAR,
            "parameters": _map_of({"$ref": "#/$defs/parameter"}, "variable"),
            "matrix": _map_of(_one_or_more(_SCALAR), "variable"),
            "source": _action(ACTIONS["source"]),
            "limits": _limits(step=False),
            "epoch": {"anyOf": [_COUNT, {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"}]},
            "env": _map_of(_SCALAR, "variable"),
            "steps": {"$ref": "#/$defs/steps"},
            "pipelines": _map_of({"$ref": "#/$defs/pipeline"}, "name"),
            "diagnostics": _list_of("glob"),
        },
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Contractor build specification",
        **top,
        "required": ["contractor", "name", "steps"],
        "$defs": {"steps": _steps(), "step": _step(), "parameter": _parameter(), "pipeline": _pipeline()},
    }


def _steps() -> Schema:
    return {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}


def _step() -> Schema:
    """A mapping with exactly one action, or the bare name of an action that needs no field."""
    bare = [row.name for row in ACTIONS.values() if not row.one_of and not any(field.required for field in row.fields)]
    common = {
        "name": _SCALAR,
        "if": _map_of(_one_or_more(_SCALAR), "variable"),
        "env": _map_of(_SCALAR, "variable"),
        "timeout": _DURATION,
        "limits": _limits(step=True),
        "diagnostics": _list_of("glob"),
        "network": _list_of("host"),
        "secrets": _list_of("variable"),
        "exclusive": _text("name"),
    }
    described = _object(keys.STEP, common)
    described["properties"] |= {row.name: {**_action(row), "description": row.help} for row in ACTIONS.values()}
    described["oneOf"] = [{"required": [row.name], **_forbidden(row)} for row in ACTIONS.values()]
    return {"anyOf": [described, {"enum": bare}]}


def _forbidden(row: Action) -> Schema:
    """The common keys that an action's step cannot have."""
    if row.name == "pipeline":
        names = [name for name in keys.STEP if name not in keys.PIPELINE_STEP]
    else:
        names = [] if row.open else list(keys.OPEN_STEP)
    return {"properties": dict.fromkeys(names, False)} if names else {}


def _action(row: Action) -> Schema:
    """The full form, and the short form where there is one."""
    properties = {field.name: {**_field(field), "description": field.help} for field in row.fields}
    full: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [field.name for field in row.fields if field.required]
    if required:
        full["required"] = required
    if row.one_of:
        full["oneOf"] = [{"required": [name]} for name in row.one_of]
    together = {one: [other] for name, need in row.together for one, other in ((name, need), (need, name))}
    if together:
        full["dependentRequired"] = together
    forms = [full]
    if row.name == "source":
        forms = _git_forms(full)
    short = next((field for field in row.fields if field.name == row.short), None)
    if short:
        forms.append(_field(short))
    if not required and not row.one_of:
        forms.append({"type": "null"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _git_forms(full: Schema) -> list[Schema]:
    """`git: {url, ref}` says in one key what `git: URL` and `ref:` say in two."""
    pair = {"url": _text("git"), "ref": _text("ref")}
    inner = {"type": "object", "additionalProperties": False, "properties": pair, "required": ["url", "ref"]}
    shape = {"git": inner, "to": full["properties"]["to"]}
    return [full, {"type": "object", "additionalProperties": False, "properties": shape, "required": ["git"]}]


def _field(field: Field) -> Schema:
    if field.choices:
        return {"anyOf": [{"enum": list(field.choices)}, _REFERENCE]}
    if field.many:
        least = 1 if field.required or field.default else 0
        return _list_of(field.kind, least)
    if field.kind == "boolean":
        return {"type": "boolean"}
    if field.kind == "integer":
        return _COUNT
    if field.kind == "values":
        return _map_of({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}, "variable")
    if field.kind == "arguments":
        return _map_of({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}, "argument")
    return _text(field.kind)


def _text(kind: str) -> Schema:
    """A text of a kind; the kinds that loaders read by more than a pattern are plain texts here."""
    if kind in rules.ALPHABETS:
        return {"anyOf": [_named(kind), _REFERENCE]}
    pattern = {
        "sha256": _HEX,
        "path": _RELATIVE,
        "glob": _RELATIVE,
        "url": "^https?://",
        "git": "^(https?://|[^/~])",
        "host": r"^(\*\.)?[A-Za-z0-9_-]+[A-Za-z0-9._-]*(:[0-9]+)?$",
        "package": "^[a-z0-9][a-z0-9+.-]+([:=/].*)?$",
    }.get(kind)
    if pattern is None:
        return _SCALAR if kind != "script" else {"type": "string"}
    return {"anyOf": [{"type": "string", "pattern": pattern}, _REFERENCE]}


def _named(kind: str) -> Schema:
    """A name by its alphabet: the very one that the loader uses. YAML may read `7` or `1.10` as a number."""
    _what, first, further, _words = rules.ALPHABETS[kind]
    pattern = f"^[{_ranges(first)}][{_ranges(further)}]*$"
    return {"anyOf": [{"type": "string", "pattern": pattern, "maxLength": rules.MAX_NAME}, {"type": "number"}]}


def _ranges(characters: str) -> str:
    for span, short in ((rules.LOWER, "a-z"), (rules.UPPER, "A-Z"), (rules.DIGITS, "0-9")):
        characters = characters.replace(span, short)
    return characters[:-1] + "\\-" if characters.endswith("-") else characters


def _list_of(kind: str, least: int = 0) -> Schema:
    item = _text(kind)
    return {"anyOf": [{"type": "array", "minItems": least, "items": item}, item]}


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [{"type": "array", "minItems": 1, "items": item}, item]}


def _map_of(value: Schema, kind: str) -> Schema:
    names = _named(kind)["anyOf"][0]["pattern"]
    return {"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": value}


def _object(described: dict[str, str], schemas: dict[str, Schema]) -> Schema:
    """A mapping with exactly the described keys; a key without a schema, or the reverse, is a KeyError."""
    properties = {name: {**schemas[name], "description": text} for name, text in described.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _limits(*, step: bool) -> Schema:
    kinds = {"size": _SIZE, "duration": _DURATION, "integer": _COUNT}
    described = {name: about for name, (_, _, of_step, about) in keys.LIMITS.items() if of_step or not step}
    return _object(described, {name: kinds[keys.LIMITS[name][1]] for name in described})


def _parameter() -> Schema:
    schemas: dict[str, Schema] = {
        "type": {"enum": list(keys.PARAMETER_TYPES)},
        "default": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
        "help": _SCALAR,
        "choices": _one_or_more(_SCALAR),
        "empty": {"type": "boolean"},
    }
    return {"anyOf": [_object(keys.PARAMETER, schemas), {"type": "null"}]}


def _pipeline() -> Schema:
    schemas: dict[str, Schema] = {
        "parameters": _map_of({"$ref": "#/$defs/parameter"}, "variable"),
        "steps": {"$ref": "#/$defs/steps"},
        "file": _text("path"),
    }
    exclusive = [{"required": ["steps"]}, {"required": ["file"], "not": {"required": ["parameters"]}}]
    return {**_object(keys.PIPELINE, schemas), "oneOf": exclusive}
