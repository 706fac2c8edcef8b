"""Commands that the documents show exist: their subcommand, and every option."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from contractor.cli.main import COMMANDS

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = [path for path in (_ROOT / "README.md", _ROOT / "docs" / "tutorial.md") if path.exists()]
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def shown_commands(text: str) -> list[list[str]]:
    """Each `$ contractor ...` of the text's console blocks, as words; a line's end may be escaped."""
    found = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.lstrip().startswith("$ contractor"):
                words = shlex.split(line.lstrip().removeprefix("$ contractor"), comments=True)
                end = next((i for i, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";", "<")), len(words))
                found.append(words[:end])
    return found


def complaint(words: list[str]) -> str:
    """What is wrong with a command line; nothing when its parser takes it."""
    if not words or words[0].startswith("-"):
        return "" if words and words[0] in ("--version", "--help", "-V", "-h") else "there is no such option"
    if words[0] not in COMMANDS:
        return f"there is no command {words[0]}"
    module = importlib.import_module(f"contractor.cli.commands.{words[0].replace('-', '_')}")
    if words[1:] in (["--help"], ["-h"]):
        return ""
    try:
        module.parser().parse_args(words[1:])
    except Exception as error:  # whatever the parser raises is the complaint
        return str(error)
    return ""


def test_the_finder_finds_commands_and_mistakes() -> None:
    text = (
        "```console\n$ contractor build examples/x --keep \\\n  -o out | less\n$ ls\n```\n```\n$ contractor no\n```\n"
    )
    assert shown_commands(text) == [["build", "examples/x", "--keep", "-o", "out"]]
    assert complaint(["build", "examples/x", "--keep", "-o", "out"]) == ""
    assert "unrecognized" in complaint(["build", "--no-such-option"])
    assert "no command" in complaint(["bulid"])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_parser(name: str) -> None:
    module = importlib.import_module(f"contractor.cli.commands.{name}")
    assert isinstance(module.parser(), argparse.ArgumentParser)


@pytest.mark.parametrize("path", _DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(path: Path) -> None:
    commands = shown_commands(path.read_text())
    assert commands, f"{path.name} shows no command in a console block"
    for words in commands:
        assert complaint(words) == "", f"{path.name}: contractor {shlex.join(words)}"
