"""The reference pages, made from the code: `make docs` writes them, tests/unit/test_docs.py compares them.

Nothing here is written by hand but the introductions: tables come from the same values that the program works with.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from contractor.cli import main
from contractor.cli.complete import complete
from contractor.cli.complete import table as complete_table
from contractor.core import errors, events
from contractor.core.errors import EXIT_CODES, ContractorError, Outcome
from contractor.core.fetch import Fetch
from contractor.plan import environment
from contractor.spec import keys, quantities, rules
from contractor.spec.actions import ACTIONS, Action, Field
from contractor.spec.model import Limits
from contractor.store import records, results

REFERENCE = Path(__file__).parent / "reference"
_MADE = "<!-- made by docs/generate.py: change the code, then run `make docs` -->"


def pages() -> dict[str, str]:
    """File name -> text of every reference page."""
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "actions.md": actions,
        "specification.md": specification,
        "commands.md": commands,
        "events.md": event_classes,
        "outcomes.md": outcomes,
        "record.md": record,
    }
    return {name: f"{_MADE}\n{_spaced(maker())}\n" for name, maker in makers.items()}


def write() -> None:
    """Write every page whose text changed, and the table that shell completion reads."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/reference/{name}\n")
    table = complete_table.encode(complete_table.make_table(main.COMMANDS))
    if not complete.TABLE.exists() or complete.TABLE.read_text(encoding="utf-8") != table:
        complete.TABLE.write_text(table, encoding="utf-8")
        sys.stdout.write("wrote the commands that completion knows\n")


# --- actions ---------------------------------------------------------------------------------------------------------


def actions() -> Iterator[str]:
    yield from _title(
        "Actions",
        "A step is a mapping with exactly one of these actions, and any of the [common keys](specification.md#a-step).",
        "`contractor actions` prints the same table.",
    )
    rows = [
        (f"[{row.name}](#{row.name})", _code(row.form), row.place, row.network, _list(row.reads), _list(row.writes))
        for row in ACTIONS.values()
    ]
    yield from _table(("action", "short form", "runs in", "network", "reads", "writes"), rows)
    yield "The kinds of the fields below are in [names](specification.md#names); a default of nothing is left empty."
    yield ""
    yield "- **contractor**: Contractor itself does it; nothing of the project's is run."
    yield "- **bwrap on host tree**: a program of the host, in a sandbox, on a read-only view of the host's `/usr`."
    yield "- **bwrap on systree**: a program of the system tree that the step before made, in a sandbox."
    yield ""
    for action in ACTIONS.values():
        yield from _action(action)


def _action(action: Action) -> Iterator[str]:
    yield f"## {action.name}"
    yield ""
    yield f"{_sentence(action.help)} Short form: {_code(action.form)}."
    yield ""
    if action.fields:
        rows = [(_code(f.name), _kind(f), _default(f), _cell(f.help)) for f in action.fields]
        yield from _table(("field", "kind", "default", "meaning"), rows)
    if action.one_of:
        yield f"Give exactly one of {_words(action.one_of)}."
        yield ""
    for field, other in action.together:
        yield f"`{field}` goes with `{other}`."
        yield ""
    if action.open:
        yield "The step may also have `network` and `secrets`."
        yield ""


def _kind(field: Field) -> str:
    kind = ", ".join(map(_code, field.choices)) if field.choices else field.kind
    return f"list of {kind}" if field.many else kind


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default in (None, "", ()):
        return ""
    if isinstance(field.default, bool):
        return _code(str(field.default).lower())
    return _code(" ".join(field.default) if isinstance(field.default, tuple) else str(field.default))


# --- specification ---------------------------------------------------------------------------------------------------


def specification() -> Iterator[str]:
    yield from _title(
        "The specification",
        "A specification is one YAML file, by default `contractor.yaml`. It is data: there are no templates in it, and",
        "no code but the scripts of its steps. Unknown keys are refused. `contractor schema` prints a JSON Schema",
        "of it, for editors.",
    )
    open_keys = f"{_words(keys.OPEN_STEP)}: only of shell and custom steps."
    for heading, about, table in (
        ("The top", "`contractor`, `name` and `steps` are required.", keys.TOP),
        ("A step", f"A step has one [action](actions.md), and any of these. {open_keys}", keys.STEP),
        ("A parameter", f"Under `parameters:`, by name. Types: {_words(keys.PARAMETER_TYPES)}.", keys.PARAMETER),
        ("A pipeline", "Under `pipelines:`, by name: steps that `pipeline: NAME` runs.", keys.PIPELINE),
    ):
        yield from (f"## {heading}", "", about, "")
        yield from _table(("key", "meaning"), [(_code(name), _cell(text)) for name, text in table.items()])
    yield from ("## Limits", "", "Under `limits:` at the top, and some of them at a step.", "")
    yield from _table(("limit", "default", "a step may set it", "meaning"), list(_limits()))
    yield f"- A size: {quantities.SIZE_HINT}. It counts in 1024s."
    yield f"- A duration: {quantities.DURATION_HINT}."
    yield ""
    yield from ("## Names", "", "What the kinds of text may hold.", "")
    alphabets = [(kind, what, words) for kind, (what, _first, _further, words) in rules.ALPHABETS.items()]
    yield from _table(("kind", "what", "characters"), alphabets)
    yield from ("## Values in fields", "", "`${NAME}` in a field stands for a parameter or a matrix value.")
    yield "Scripts are never changed: they read parameters as variables of the environment, and matrix values as"
    yield from ("`CONTRACTOR_MATRIX_NAME`.", "")
    yield from ("## The environment of a shell step", "", "Made from nothing: the same on every machine.", "")
    yield from _table(("variable", "value"), list(_environment()))
    yield f"A step with `network` also has {_words(environment.PROXY)}."


def _limits() -> Iterator[tuple[str, str, str, str]]:
    defaults = Limits()
    for name, (field, kind, of_step, text) in keys.LIMITS.items():
        value = getattr(defaults, field)
        say = {"duration": quantities.duration_text, "size": quantities.size_text}.get(kind, str)
        yield _code(name), _code(say(value)), "yes" if of_step else "no", text


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in environment.FIXED.items():
        yield _code(name), _code(value)
    yield "`SOURCE_DATE_EPOCH`", "the build's epoch"
    yield "`CONTRACTOR_NAME`, `CONTRACTOR_STEP`, `CONTRACTOR_ARCH`", "names of the build and the step, the architecture"
    yield "`CONTRACTOR_MATRIX_NAME`", "a value of the matrix, for each key"
    yield "each parameter", "its value; a list's items are joined by spaces"
    yield "each key of `env`", "its value"


# --- commands --------------------------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    yield from _title(
        "Commands",
        "Data goes to standard output, talk to standard error. The exit codes are in [outcomes](outcomes.md).",
        "Every command has `--help`, and `--store DIR` for another [store](../how-to/store.md) than",
        "`$CONTRACTOR_STORE` or `~/.local/share/contractor`.",
    )
    rows = [(f"[{name}](#{name})", text) for name, text in main.COMMANDS.items()]
    yield from _table(("command", "what it does"), rows)
    for name, text in main.COMMANDS.items():
        parser = parser_of(name)
        yield from (f"## {name}", "", f"{_sentence(parser.description or text)}", "")
        yield from ("```text", _usage(parser), "```", "")
        yield from _options(parser)
        for part, sub in parts_of(parser).items():
            yield from (f"### {name} {part}", "", f"{_sentence(sub.description or '')}", "")
            yield from ("```text", _usage(sub), "```", "")
            yield from _options(sub)


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command, as the command itself uses it."""
    module = import_module(f"contractor.cli.commands.{command.replace('-', '_')}")
    parser: argparse.ArgumentParser = module.parser()
    return parser


def parts_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Parts of a command, such as `artifacts get`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _usage(parser: argparse.ArgumentParser) -> str:
    text = " ".join(parser.format_usage().removeprefix("usage: ").split())
    return text.replace(" [-h]", "").replace(" [--store DIR]", "")


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.dest == "store":
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        names = ", ".join(_code(option + value) for option in action.option_strings) or _code(action.dest)
        rows.append((names, _cell(action.help or "")))
    if rows:
        yield from _table(("argument", "meaning"), rows)


# --- events ----------------------------------------------------------------------------------------------------------


def event_classes() -> Iterator[str]:
    yield from _title(
        "Events",
        "`contractor build --events FILE` writes what happens as lines of JSON, while it happens. The same events, but",
        "the output of steps, are kept as `events.jsonl` beside the [record](record.md).",
    )
    yield from _prose((events.__doc__ or "").partition("\n\n")[2])
    yield f'Every line begins with `{{"v":{events.VERSION},"event":`. Every event has `at` and `build`.'
    yield ""
    comments = _comments(events)
    for kind in (kind for kind in vars(events).values() if _is_event(kind)):
        yield from (f"## {kind.__struct_config__.tag}", "")
        yield from _prose(_own_doc(kind))
        own = [name for name in kind.__struct_fields__ if name not in ("at", "build")]
        if own:
            yield from _fields(kind, own, comments)
    yield from ("## Values in events", "")
    for kind in (events.StepInfo, events.ArtifactInfo):
        yield from (f"### {kind.__name__}", "")
        yield from _prose(_own_doc(kind))
        yield from _fields(kind, kind.__struct_fields__, comments)


def _is_event(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event


# --- outcomes --------------------------------------------------------------------------------------------------------

_WHO = {
    Outcome.SUCCEEDED: "nobody",
    Outcome.FAILED: "the project's author",
    Outcome.REJECTED: "the project's author",
    Outcome.NOT_REPRODUCIBLE: "the project's author",
    Outcome.OUT_OF_LIMITS: "the project's author",
    Outcome.UNAVAILABLE: "who runs the machine",
    Outcome.BROKEN: "who runs the machine, or nobody: it may work later",
    Outcome.ABORTED: "nobody",
}


def outcomes() -> Iterator[str]:
    yield from _title(
        "Outcomes and exit codes",
        "An outcome says whose turn it is. Records, events and `--json` have its name; the command ends with its exit",
        "code, and with the highest of all builds where there is a matrix.",
    )
    meanings = {kind.outcome: _own_doc(kind) for kind in errors.ERRORS_BY_OUTCOME.values()}
    meanings[Outcome.SUCCEEDED] = "Every step succeeded, and every declared output is there."
    rows = [
        (_code(outcome.value), str(code), _cell(" ".join(meanings[outcome].split())), _WHO[outcome])
        for outcome, code in EXIT_CODES.items()
    ]
    yield from _table(("outcome", "exit code", "meaning", "who acts"), rows)
    yield "A step can also be `cached` (it did not have to run) or `not run` (the build ended before it)."
    yield ""
    yield "Every error has a message, details, and a hint: what to do next."
    yield from ("", "```text", *_example(), "```")


def _example() -> Iterator[str]:
    from contractor.cli.text import render_error

    error: ContractorError = errors.Rejected("there is no build x", hint="`contractor list` shows the builds")
    yield render_error(error).rstrip()


# --- records ---------------------------------------------------------------------------------------------------------


def record() -> Iterator[str]:
    yield from _title(
        "The build record",
        "Each build has a folder in the [store](../how-to/store.md). `contractor show --json` prints its `record.json`",
        f"and its state. The record's `version` is {records.RECORD_VERSION}. Times are seconds since 1970, durations",
        "seconds, sizes bytes.",
    )
    yield from ("```text", *_layout(records), "```", "")
    comments = {**_comments(records), **_comments(events), **_comments(results)}
    for kind in (records.Record, records.StepRecord, Fetch, events.ArtifactInfo):
        yield from (f"## {kind.__name__}", "")
        yield from _prose(_own_doc(kind))
        yield from _fields(kind, kind.__struct_fields__, comments)


def _layout(module: ModuleType) -> list[str]:
    """The indented lines of a module's docstring: what it keeps on the disk."""
    lines = (module.__doc__ or "").split("\n")
    return [line[4:] for line in lines if line.startswith("    ")]


# --- parts -----------------------------------------------------------------------------------------------------------


def _fields(kind: Any, names: Sequence[str], comments: dict[tuple[str, str], str]) -> Iterator[str]:
    """A table of a class's fields: types as they are written, and the comments beside them."""
    hints = inspect.get_annotations(kind)
    for base in kind.__mro__:
        hints = {**inspect.get_annotations(base), **hints}
    rows = [(_code(name), _type(str(hints[name])), _cell(comments.get((kind.__name__, name), ""))) for name in names]
    if any(row[2] for row in rows):
        yield from _table(("field", "type", "meaning"), rows)
    else:
        yield from _table(("field", "type"), [row[:2] for row in rows])


_TYPES = {"str": "text", "bytes": "bytes", "int": "number", "float": "number", "bool": "true or false"}


def _type(written: str) -> str:
    """A type as JSON has it: `tuple[StepInfo, ...]` is a list of StepInfo."""
    if written.startswith("tuple["):
        return f"list of {_type(written[6:].removesuffix(', ...]'))}"
    if written.startswith("dict["):
        return f"{_type(written[5:-1].partition(', ')[2])} by name"
    first, bar, _none = written.partition(" | ")
    if bar:
        return f"{_type(first)} or null"
    return {"Any": "value", "Outcome": "[outcome](outcomes.md)", **_TYPES}.get(written, written)


def _comments(module: ModuleType) -> dict[tuple[str, str], str]:
    """(class, field) -> the comment at the end of the field's line."""
    source = inspect.getsource(module)
    lines = source.split("\n")
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    comment = lines[part.lineno - 1].partition("  # ")[2]
                    found[node.name, part.target.id] = comment
    return found


def _own_doc(kind: type) -> str:
    """A class's own docstring; msgspec and enum make none up."""
    return inspect.cleandoc(kind.__dict__.get("__doc__") or "")


def _prose(text: str | None) -> Iterator[str]:
    if text:
        yield from inspect.cleandoc(text).split("\n")
        yield ""


def _title(title: str, *text: str) -> Iterator[str]:
    yield from (f"# {title}", "", *text, "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(text: str) -> str:
    """Text for a cell: names in capitals and braces stay, bars do not end the cell."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)


def _spaced(lines: Iterable[str]) -> str:
    """Lines as text, with never more than one empty line at a place."""
    text = "\n".join(lines).strip()
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def _words(items: Iterable[str]) -> str:
    *most, last = map(_code, items)
    return f"{', '.join(most)} and {last}" if most else last


def _sentence(text: str) -> str:
    text = _cell(text.strip())
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


if __name__ == "__main__":
    write()
