"""Documents that are run: the files that they show are written, their commands are typed, what they show is compared.

    `NAME`:            and a block after it      a file of that name, with that content
    $ command          in a console block        a command, run by bash at a terminal
    contractor 3 /x $  in a console block        the prompt of a shell in a sandbox, and what is typed there
    ...                in a console block        something is left out here; so may be any line

What is compared is what does not change from run to run: no times, sizes, identifiers, digests, numbers of processes.
To see what a document's commands print now: tests/acceptance/documents.py FILE (in an empty folder).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyte

from person import Person

_BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+)`[^`]*:$")
_PROMPT = re.compile(r"(contractor \d+ /\S* [$#] ?)(.*)")
_COLUMNS, _WIDEST, _ROWS = 92, 300, 400  # of the terminal; what is kept of it, where nothing is folded
_CHANGING = (
    (re.compile(r"\d{8}-\d{6}-[\w.+-]+?-[0-9a-f]{4}"), "ID"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "DIGEST"),
    (re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?"), "DATE"),
    (re.compile(r"(\b\d+(\.\d+)? (ms|s|min|h|d)\b ?)+(ago)?|just now"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? [kMG]?B\b"), "SIZE"),
    (re.compile(r"\b\d{4,} files\b"), "FILES"),  # of a system: its archive may have a newer package any day
    (re.compile(r"[ \t]+"), " "),
)


class File(NamedTuple):
    name: str
    content: str


class Command(NamedTuple):
    """A command line, what is typed at the prompts of its shell, and the lines that it should show."""

    line: str
    typed: tuple[tuple[str, str], ...]
    shown: tuple[str, ...]


def parts(text: str) -> Iterator[File | Command]:
    """A document's files and commands, in order."""
    for block in _BLOCK.finditer(text):
        if block["kind"] == "console":
            yield from _commands(block["body"].replace("\\\n", ""))
        elif named := _FILE.search(block["before"]):
            yield File(named[1], block["body"])


def _commands(body: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, *shown = part.splitlines()
        prompts = [found for found in map(_PROMPT.fullmatch, shown) if found]
        typed = tuple((found[1].rstrip() + " ", found[2]) for found in prompts)
        yield Command(line, typed, tuple(shown))


class Reader:
    """Who follows a document: in a folder, with an environment, at a terminal."""

    def __init__(self, folder: Path, environment: Mapping[str, str], **start: object) -> None:
        """start: how programs are started, as for Person."""
        self._folder = folder
        self._environment = {**environment, "TERM": "xterm-256color"}
        self._start = start
        self.names: dict[str, str] = {}  # what places are called in the document

    def run(self, command: Command) -> list[str]:
        """What is on the screen when it has ended."""
        argv = ["/bin/bash", "-c", command.line]
        with Person(argv, size=(_COLUMNS, 40), cwd=self._folder, env=self._environment, **self._start) as person:
            for prompt, text in command.typed:
                person.sees(prompt)
                person.line(text)
            person.leaves(300)
        return self._screen(person)

    def _screen(self, person: Person) -> list[str]:
        screen = pyte.Screen(_WIDEST, _ROWS)
        pyte.ByteStream(screen).feed(bytes(person.raw))
        lines = [line.rstrip() for line in screen.display]
        while lines and not lines[-1]:
            lines.pop()
        for place, name in self.names.items():
            lines = [line.replace(place, name) for line in lines]
        return lines


def lacking(shown: tuple[str, ...], screen: list[str]) -> str:
    """The first line of a document that is not on the screen, after those before it; "" when all are."""
    seen = [constant(line) for line in screen]
    for line in shown:
        wanted = constant(line)
        if wanted in ("", "..."):
            continue
        if wanted not in seen:
            return line
        seen = seen[seen.index(wanted) + 1 :]
    return ""


def constant(line: str) -> str:
    for changing, name in _CHANGING:
        line = changing.sub(name, line)
    return line.strip()


def follow(text: str, reader: Reader, write: Callable[[File], None]) -> Iterator[tuple[Command, list[str]]]:
    """Write the files, run the commands; each with what it showed."""
    for part in parts(text):
        if isinstance(part, File):
            write(part)
        else:
            yield part, reader.run(part)


def main() -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "CONTRACTOR_STORE")}
    reader = Reader(Path.cwd(), environment)
    for command, screen in follow(Path(sys.argv[1]).read_text(), reader, lambda file: _write(file)):
        print(f"$ {command.line}", *screen, sep="\n")


def _write(file: File) -> None:
    Path(file.name).write_text(file.content)


if __name__ == "__main__":
    main()
