"""contractor __complete: what the shells' completion scripts ask (data/completion/): what the last word can be.

    __complete bash LINE TEXT     the line up to the cursor, and the end of it that bash will replace
    __complete zsh|fish WORDS...  the words after `contractor`, without quotes; the last is the one that is completed

The first line of the answer says who finishes it: "words" (the answer is all), "nospace" (for bash: no space after it),
"files", "dirs", for zsh "specs" (the shell knows best). Each further line is a value, for zsh and fish with a tab and a
help text.
It is asked at every press of a key: so it is quick, never fails, prints nothing else, and changes nothing anywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from contractor.cli.complete.values import Candidate, Given, values
from contractor.cli.complete.words import showable, typed, written

if TYPE_CHECKING:
    from contractor.cli.complete.table import Argument, Command, Option

TABLE = Path(__file__).parents[2] / "data" / "completion" / "commands.json"
_HELP = 60  # characters of a help text
_COMMON = ("--store", "--help")


class Answer(NamedTuple):
    """who: as in the first line; candidates: not narrowed to what has been typed."""

    who: str = "words"
    candidates: Sequence[Candidate] = ()


def run(argv: list[str]) -> int:
    """Print an answer. Always 0, and silent in any trouble."""
    try:
        lines = _bash(*argv[1:3]) if argv[0] == "bash" else _other(argv[1:])
        sys.stdout.buffer.write(os.fsencode("".join(line + "\n" for line in lines)))
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt):  # whatever it is: a shell's prompt is no place to tell it
        return 0
    return 0


def _bash(line: str, text: str) -> Iterator[str]:
    """Values as they stand on the line, only those that go on with what is typed."""
    place = typed(line, text)
    found = answer(place.words[1:])
    now = place.words[-1]
    fitting = [it for it in found.candidates if it.value.startswith(now)]
    shown = [(it, word) for it in fitting if (word := written(it.value, place)) is not None]
    yield "nospace" if len(shown) == 1 and shown[0][0].more else found.who
    yield from (word for _it, word in shown)


def _other(words: list[str]) -> Iterator[str]:
    """Values and help; which of them fit what is typed, and how they are quoted, is the shell's to say."""
    found = answer(words)
    yield found.who
    for value, text, _more in found.candidates:
        if showable(value):
            yield f"{value}\t{_short(text)}"


def _short(text: str) -> str:
    """A help text in a line, cut at a word."""
    text = " ".join(text.split())
    if len(text) > _HELP:
        text = text[:_HELP].rpartition(" ")[0] + " ..."
    return text if showable(text) else ""


def answer(words: Sequence[str]) -> Answer:
    """words: those after `contractor`; the last one is being completed."""
    from contractor.cli.complete.table import decode

    table = decode(TABLE.read_bytes())
    if len(words) <= 1:
        first = [Candidate("--help"), Candidate("--version")] if words and words[0].startswith("-") else []
        return Answer(candidates=[*first, *(Candidate(name, command.help) for name, command in table.items())])
    command = table.get(words[0])
    return _Line(command, words[1:]).answer() if command else Answer()


class _Line:
    """A command's words, read as its parser will read them."""

    def __init__(self, command: Command, words: Sequence[str]) -> None:
        self._command = command
        self._options = {name: option for option in command.options for name in option.names}
        self._arguments: list[str] = []
        self._values: dict[str, str] = {}  # of options, by their first name
        self._used: set[str] = set()
        self._open: Option | None = None  # its value is what comes next
        self._only_arguments = False
        self._now = words[-1]
        for word in words[:-1]:
            self._read(word)

    def _read(self, word: str) -> None:
        if self._open is not None:
            self._values[self._open.names[0]] = word
            self._open = None
        elif self._only_arguments or not word.startswith("-") or word == "-":
            self._argument(word)
        elif word == "--":
            self._only_arguments = True
        else:
            name, equals, value = word.partition("=")
            option = self._options.get(name)
            if option is None:
                return
            self._used.add(option.names[0])
            if option.kinds is not None and equals:
                self._values[option.names[0]] = value
            elif option.kinds is not None:
                self._open = option

    def _argument(self, word: str) -> None:
        if self._command.parts and not self._arguments and word in self._command.parts:
            self._command = self._command.parts[word]
            self._options |= {name: option for option in self._command.options for name in option.names}
        else:
            self._arguments.append(word)

    def answer(self) -> Answer:
        if self._open is not None:
            return self._of_kinds(self._open.kinds or (), self._open.words, self._now)
        if not self._only_arguments and self._now.startswith("-"):
            name, equals, value = self._now.partition("=")
            option = self._options.get(name)
            if equals and option is not None and option.kinds:
                return self._of_kinds(option.kinds, option.words, value, f"{name}=")
            return Answer(candidates=self._unused())
        if self._command.parts:
            return Answer(candidates=[Candidate(name, part.help) for name, part in self._command.parts.items()])
        argument = self._next_argument()
        if argument is None:
            return Answer(candidates=[] if self._only_arguments or self._now else self._unused())
        return self._of_kinds(argument.kinds, argument.words, self._now)

    def _next_argument(self) -> Argument | None:
        at, known = len(self._arguments), self._command.arguments
        if at >= len(known):
            return known[-1] if known and known[-1].many else None
        if known[at].optional and at + 1 < len(known):
            return msgspec.structs.replace(known[at], kinds=(*known[at].kinds, *known[at + 1].kinds))
        return known[at]

    def _unused(self) -> list[Candidate]:
        """Options that may still be given, by their long names; those that every command has come last."""
        seen = {option.names[0]: option for option in self._options.values()}
        free = [Candidate(name, it.help) for name, it in seen.items() if it.many or name not in self._used]
        return sorted(free, key=lambda it: it.value in _COMMON)

    def _of_kinds(self, kinds: Sequence[str], words: Sequence[str], now: str, lead: str = "") -> Answer:
        """A value, after `lead` where it is one word with its option."""
        for kind in kinds:
            if kind in ("dir", "file"):
                return Answer(f"{kind}s")
            if (kind == "secret" and "=" in now) or (kind == "path" and "/" in now):
                return Answer("files")
        given = self._given(now)
        found = [Candidate(word) for word in words]
        for kind in kinds:
            try:
                found += values(kind, given)
            except Exception:  # noqa: S112  # a specification with mistakes, a store that is none: nothing to offer
                continue
        return Answer("specs" if "spec" in kinds else "words", [it._replace(value=lead + it.value) for it in found])

    def _given(self, now: str) -> Given:
        from contractor.cli import config

        named = dict(zip((kind for it in self._command.arguments for kind in it.kinds), self._arguments, strict=False))
        return Given(
            store=os.path.abspath(self._values.get("--store") or config.load().store),
            build=named.get("build") or self._values.get("--build", ""),
            spec=named.get("spec", ""),
            now=now,
            of_spec="--build" not in self._values and any("spec" in it.kinds for it in self._command.arguments),
        )
