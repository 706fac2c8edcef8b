"""The documents: reference pages are the code's, links lead somewhere, commands exist, specifications load."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from contractor.cli.main import COMMANDS
from contractor.core.errors import ContractorError
from contractor.spec.load import load_spec

TOP = Path(__file__).parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", TOP / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generate()


def blocks(language: str) -> list[object]:
    """Every fenced block of a language, with a name that leads to it."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page.relative_to(TOP)}:{line}"))
    return found


def anchors(page: Path) -> set[str]:
    """The names that links can have after #, as GitHub makes them of headings."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    plain = (re.sub(r"[`*]", "", heading).lower() for heading in _HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("name", list(GENERATE.pages()))
def test_reference_page_is_what_the_code_says(name: str) -> None:
    text = (TOP / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert text == GENERATE.pages()[name], "run `make docs`"


def test_no_reference_page_is_left_over() -> None:
    assert {path.name for path in (TOP / "docs" / "reference").iterdir()} == set(GENERATE.pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{page.name}: no {target}"
        assert not anchor or anchor in anchors(other), f"{page.name}: no heading for {target}"


@pytest.mark.parametrize("page", sorted((TOP / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    seen, todo = set(), [TOP / "README.md"]
    while todo:
        here = todo.pop()
        if here in seen or here.suffix != ".md" or not here.exists():
            continue
        seen.add(here)
        for target in _LINK.findall(here.read_text(encoding="utf-8")):
            if "://" not in target:
                todo.append((here.parent / target.partition("#")[0]).resolve())
    assert page in seen


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_whole_specification_loads(text: str) -> None:
    if not re.search(r"^contractor: ", text, re.MULTILINE):
        pytest.skip("a part of a specification")
    load_spec(text)


@pytest.mark.parametrize("text", blocks("console"))
def test_documented_commands_exist(text: str) -> None:
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            check_line(line[2:])


def check_line(line: str) -> None:
    """Every `contractor` of a shell line is a command that its own parser takes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    words = [*lexer]
    for place, word in enumerate(words):
        if word != "contractor" or (place and not _starts_a_command(words[:place])):
            continue
        assert len(words) > place + 1 and words[place + 1] in COMMANDS, line
        parser = GENERATE.parser_of(words[place + 1])
        ends = (at for at, word in enumerate(words) if at > place and set(word) <= set(";|&<>"))
        given = [word for word in words[place + 2 : next(ends, None)] if word != "..."]
        given = given[: given.index("--")] if "--" in given else given  # what follows is a command inside
        try:
            _parsed, unknown = parser.parse_known_args(given)
        except ContractorError as error:
            raise AssertionError(f"{line}: {error.message}") from error
        assert not unknown, f"{line}: {unknown}"


def _starts_a_command(before: list[str]) -> bool:
    """`A=b contractor` and `systemd-run ... contractor` start one; `tar ... contractor` names a folder."""
    return before[0] == "systemd-run" or all("=" in word for word in before)


def test_the_check_of_commands_finds_mistakes() -> None:
    check_line("CONTRACTOR_STORE=/x contractor build --plain -o out")
    for wrong in ("contractor biuld", "contractor build --outputs x", "contractor artifacts got last -o x"):
        with pytest.raises((AssertionError, ContractorError)):
            check_line(wrong)
