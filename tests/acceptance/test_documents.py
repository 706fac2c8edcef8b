"""Documents are right: the commands that they show exist, with every option; and some documents are run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import documents
import pytest
from accounts import Account
from world import World

from contractor.cli.main import COMMANDS

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = [path for path in (_ROOT / "README.md", _ROOT / "docs" / "tutorial.md") if path.exists()]
_RUN = [_ROOT / "docs" / "how-to" / name for name in ("debug.md", "lock.md", "verify.md")]
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def shown_commands(text: str) -> list[list[str]]:
    """Each `$ contractor ...` of the text's console blocks, as words; a line's end may be escaped."""
    found = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.lstrip().startswith("$ contractor"):
                words = shlex.split(line.lstrip().removeprefix("$ contractor"), comments=True)
                end = next(
                    (i for i, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";", "<", "--")), len(words)
                )
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


@pytest.mark.parametrize("path", _RUN, ids=lambda path: path.name)
def test_a_document_shows_what_happens(path: Path, accounts: dict[str, Account]) -> None:
    world = World(accounts["user"], path.stem)
    for build in world.store.glob("builds/*-words-*"):  # of a store that is kept for the next run of the tests
        shutil.rmtree(build)
    read(world, path.read_text(), world.top / "words")


def test_how_to_run_a_builder_shows_what_happens(accounts: dict[str, Account]) -> None:
    """What the document starts in other terminals runs here, on ports that are free."""
    world = World(accounts["user"], "run-a-builder")
    text = (_ROOT / "docs" / "how-to" / "run-a-builder.md").read_text()
    builder, web = (shlex.split(line) for line in re.findall(r"^```sh\n(.*)\n```$", text, re.MULTILINE))
    assert (builder, web[-1]) == (["contractor", "buildd", "serve"], "8000"), "it does not say what to start"
    folder = world.top / "words"
    folder.mkdir()
    cache = ["--store", str(world.store), "--filecache", str(world.top / "filecache")]
    with (
        in_another_terminal(world, [*world.account.command, *builder[1:], *cache, "--bindport", "0"]) as port,
        in_another_terminal(world, [web[0], "-u", *web[1:-1], "0", "--directory", str(folder)]) as port_of_web,
    ):
        text = re.sub(r"localhost(?!:)", f"localhost:{port}", text)
        for shown, ours in (("localhost:8221", f"localhost:{port}"), ("localhost:8000", f"localhost:{port_of_web}")):
            text = text.replace(shown, ours)
        read(world, text, folder)


@contextlib.contextmanager
def in_another_terminal(world: World, argv: list[str]) -> Iterator[str]:
    """A server that says its address; its port."""
    log = world.top / f"{len(list(world.top.iterdir()))}.log"
    with log.open("wb") as output:
        server = world.account.popen(argv, stdout=output, stderr=output)
    try:
        until = time.monotonic() + 30
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text())):
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        server.terminate()
        code = server.wait(60)
    assert code in (0, -signal.SIGTERM), log.read_text()


def read(world: World, text: str, folder: Path) -> None:
    """Follow a document as an ordinary user, in an empty folder of the name that the reader's has."""
    programs = world.top / "bin"
    for made in (folder, programs):
        made.mkdir(exist_ok=True)
    (folder / ".run").write_text(world.token)  # a source that the store has never seen
    wrapper = programs / "contractor"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(world.account.command)} "$@"\n')
    wrapper.chmod(0o755)
    world.account.own(world.top)
    environment = {**world.account.environment, "CONTRACTOR_STORE": str(world.store)}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    reader = documents.Reader(folder, environment, popen=world.account.popen)
    reader.names[str(world.store)] = "/home/ada/.local/share/contractor"

    def write(file: documents.File) -> None:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_text(file.content)
        world.account.own(folder)

    ran = 0
    for command, screen in documents.follow(text, reader, write):
        lacks = documents.lacking(command.shown, screen)
        assert not lacks, "\n".join([f"$ {command.line}", f"does not show: {lacks}", "but:", *screen])
        ran += 1
    assert ran == len(re.findall(r"^\$ ", text, re.MULTILINE)), "a command was not found"


def test_what_a_document_shows_must_be_there_and_in_its_order() -> None:
    screen = ["built in 2.5 s", "  a 1 kB", "20261121-095259-words-ae22 is deadbeef01 now"]
    assert documents.lacking(("built in 0.1 s", "...", "20251121-095259-words-1234 is 0123456789ab now"), screen) == ""
    assert documents.lacking(("a 1 kB", "built in 0.1 s"), screen) == "built in 0.1 s"
    assert documents.lacking(("a 1 kB", "b"), screen) == "b"
    file = "The file `a.c`:\n\n```c\nint a;\n```\n"
    text = f"{file}\n```console\n$ ls\na.c\n$ contractor shell\ncontractor 2 /x # id\n0\n```\n"
    assert list(documents.parts(text)) == [
        documents.File("a.c", "int a;\n"),
        documents.Command("ls", (), ("a.c",)),
        documents.Command("contractor shell", (("contractor 2 /x # ", "id"),), ("contractor 2 /x # id", "0")),
    ]
