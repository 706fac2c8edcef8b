"""contractor actions: the table of actions, or one action with its fields; made from the code's own table."""

from __future__ import annotations

from typing import Any

from contractor.cli.options import Parser
from contractor.cli.output import put, put_json
from contractor.cli.text import table
from contractor.core.errors import Rejected
from contractor.spec.actions import ACTIONS, Action, Field

JSON_VERSION = 1


def parser() -> Parser:
    made = Parser("actions", "Print the table of actions, or the fields of one.")
    made.add_argument("name", nargs="?", help="an action")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    chosen = list(ACTIONS.values()) if args.name is None else [_named(args.name)]
    if args.json:
        put_json({"version": JSON_VERSION, "actions": [as_json(action) for action in chosen]})
    elif args.name is not None:
        put(_one(chosen[0]))
    else:
        rows = [(action.name, action.form, action.place, action.network, action.help) for action in chosen]
        put(table([("action", "short form", "runs in", "network", "what it does"), *rows]))
    return 0


def _named(name: str) -> Action:
    if name in ACTIONS:
        return ACTIONS[name]
    import difflib

    near = difflib.get_close_matches(name, ACTIONS, 1)
    hint = f"did you mean {near[0]}?" if near else f"actions: {', '.join(ACTIONS)}"
    raise Rejected(f"there is no action {name!r}", hint=hint)


def _one(action: Action) -> list[str]:
    rows = [
        ("short form", action.form),
        ("runs in", action.place),
        ("network", action.network),
        ("reads", ", ".join(action.reads) or "nothing"),
        ("writes", ", ".join(action.writes) or "nothing"),
    ]
    if action.one_of:
        rows.append(("exactly one of", ", ".join(action.one_of)))
    rows += [(f"{field} goes with", other) for field, other in action.together]
    fields = [(field.name, _kind(field), _default(field), field.help) for field in action.fields]
    return [
        f"{action.name}: {action.help}",
        *("  " + line for line in table(rows)),
        "",
        *("  " + line for line in table([("field", "is", "default", "meaning"), *fields])),
    ]


def _kind(field: Field) -> str:
    kind = " | ".join(field.choices) if field.choices else field.kind
    return f"list of {kind}" if field.many else kind


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default in (None, "", ()):
        return "-"
    if isinstance(field.default, bool):
        return "true" if field.default else "false"
    return " ".join(field.default) if isinstance(field.default, tuple) else str(field.default)


def as_json(action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "help": action.help,
        "form": action.form,
        "place": action.place,
        "network": action.network,
        "reads": list(action.reads),
        "writes": list(action.writes),
        "short": action.short,
        "one_of": list(action.one_of),
        "together": [list(pair) for pair in action.together],
        "fields": [
            {
                "name": field.name,
                "kind": field.kind,
                "list": field.many,
                "required": field.required,
                "default": field.default,
                "choices": list(field.choices),
                "help": field.help,
            }
            for field in action.fields
        ],
    }
