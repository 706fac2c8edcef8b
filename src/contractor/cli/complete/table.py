"""The commands as completion needs them: made from the parsers by `make docs`, read by `contractor __complete`.

Making the parsers imports the commands, which takes longer than anybody may wait for a completion; so the table is kept
in data/completion/commands.json, and a test compares it with the parsers.

A value's kind is taken from its metavar, so that a new option is completed by being named as the others are: BUILD,
STEP, DIR, FILE, NAME=VALUE. "words" are the choices of the parser; an empty kind is a value that cannot be guessed.
"""

from __future__ import annotations

import argparse
from importlib import import_module

import msgspec

from contractor.core.values import Value

_KINDS = {
    "build": "build",
    "builds": "build",
    "step": "step",
    "spec": "spec",
    "dir": "dir",
    "folder": "dir",
    "file": "file",
    "name=value": "parameter",
    "key=value": "matrix",
    "name=file": "secret",
}
_SPECIAL = {
    ("diff", "a"): ("build",),
    ("diff", "b"): ("build",),
    ("compare", "a"): ("build", "path"),
    ("compare", "b"): ("build", "path"),
    ("artifacts verify", "what"): ("build",),
    ("artifacts get", "name"): ("artifact",),
    ("actions", "name"): ("action",),
}


class Option(Value, frozen=True):
    """names: --long and -s. kinds: of its value, None where it takes none. many: it may be given again."""

    names: tuple[str, ...]
    help: str = ""
    kinds: tuple[str, ...] | None = None
    words: tuple[str, ...] = ()
    many: bool = False


class Argument(Value, frozen=True):
    """many: all that follow are of this kind, too. optional: the word may already be the argument after it."""

    kinds: tuple[str, ...]
    words: tuple[str, ...] = ()
    many: bool = False
    optional: bool = False


class Command(Value, frozen=True):
    """parts: of a command such as `artifacts get`, by name."""

    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    parts: dict[str, Command] = {}


def make_table(commands: dict[str, str]) -> dict[str, Command]:
    """commands: name -> what it does, as in cli/main.py."""
    return {name: _command(name, text, _parser(name)) for name, text in commands.items()}


def encode(table: dict[str, Command]) -> str:
    """The file's text: a line a command, so that changes can be read."""
    lines = [f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(it).decode()}" for name, it in table.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def decode(data: bytes) -> dict[str, Command]:
    return msgspec.json.decode(data, type=dict[str, Command])


def _parser(command: str) -> argparse.ArgumentParser:
    module = import_module(f"contractor.cli.commands.{command.replace('-', '_')}")
    parser: argparse.ArgumentParser = module.parser()
    return parser


def _command(name: str, text: str, parser: argparse.ArgumentParser) -> Command:
    options, arguments, parts = [], [], {}
    for action in parser._actions:
        words = tuple(map(str, action.choices or ()))
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            parts = {part: _command(f"{name} {part}", helps.get(part, ""), sub) for part, sub in action.choices.items()}
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            kinds = None if action.nargs == 0 else _kinds(name, action)
            names = tuple(sorted(action.option_strings, key=len, reverse=True))
            many = isinstance(action, argparse._AppendAction)
            options.append(Option(names, _first(action.help or ""), kinds, words, many))
        else:
            many = action.nargs in ("*", "+")
            arguments.append(Argument(_kinds(name, action), words, many, optional=action.nargs == "?"))
    return Command(text, tuple(options), tuple(arguments), parts)


def _kinds(command: str, action: argparse.Action) -> tuple[str, ...]:
    """What a value may be: usually one kind."""
    if action.choices:
        return ("words",)
    if special := _SPECIAL.get((command, action.dest)):
        return special
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    return tuple(_KINDS[word] for word in metavar.lower().split("|") if word in _KINDS)


def _first(text: str) -> str:
    """The first part of a help text: there is one line for it."""
    return text.partition(" (")[0].partition("; ")[0].partition(": ")[0]
