"""Words of a Dockerfile: quotes, escapes and variables, as the shell would read them but without a shell.

Pure. Variables: $name, ${name}, and ${name:-word}, :+, :?, with or without the colon; words may nest.
Source: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*|[0-9]|[@*#?$!-]")
_MAX_DEPTH = 16  # of words inside ${...}
_MAX_SIZE = 1 << 20  # characters that a word may become


class WordError(ValueError):
    """What is wrong with a word, in words."""


class _Reader:
    """One pass over a text. words: white space outside quotes separates; else the text is one word."""

    def __init__(self, text: str, values: Mapping[str, str], escape: str) -> None:
        self.text = text
        self.values = values
        self.escape = escape
        self.at = 0

    def words(self) -> list[str]:
        found: list[str] = []
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at >= len(self.text):
                return found
            found.append(self.word("", spaces=False, depth=0))

    def word(self, until: str, *, spaces: bool, depth: int) -> str:
        """Up to the end, to a character of `until` (which stays), or to white space unless it is part of the word."""
        if depth > _MAX_DEPTH:
            raise WordError(f"${{...}} is nested more than {_MAX_DEPTH} times")
        out: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in until or (not spaces and char.isspace()):
                break
            if char == "'":
                out.append(self._single())
            elif char == '"':
                out.append(self._double(depth))
            elif char == "$":
                out.append(self.variable(depth))
            elif char == self.escape:
                self.at += 1
                out.append(self.text[self.at] if self.at < len(self.text) else "")
                self.at += 1
            else:
                out.append(char)
                self.at += 1
        return _checked("".join(out))

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise WordError("a ' is not closed")
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return inner

    def _double(self, depth: int) -> str:
        self.at += 1
        out: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return "".join(out)
            if char == "$":
                out.append(self.variable(depth))
            elif char == self.escape:
                follower = self.text[self.at + 1 : self.at + 2]
                out.append(follower if follower in ('"', "$", self.escape) else char + follower)
                self.at += 2
            else:
                out.append(char)
                self.at += 1
        raise WordError('a " is not closed')

    def variable(self, depth: int) -> str:
        """At a $: its value; the character itself where no name follows."""
        self.at += 1
        if self.text[self.at : self.at + 1] == "{":
            return self._braced(depth)
        found = _NAME.match(self.text, self.at)
        if found is None:
            return "$"
        self.at = found.end()
        return self.values.get(found[0], "")

    def _braced(self, depth: int) -> str:
        begin = self.at
        found = _NAME.match(self.text, begin + 1)
        if found is None:
            raise WordError(f"{self.text[begin - 1 : begin + 20]!r} names no variable")
        self.at = found.end()
        value = self.values.get(found[0])
        rest = self.text[self.at :]
        if rest.startswith("}"):
            self.at += 1
            return value or ""
        colon = rest.startswith(":")
        kind = rest[colon : colon + 1]
        if kind not in ("-", "+", "?"):
            raise WordError(f"${{{found[0]}{rest[:2]}...}} is not supported: only :- :+ :? and these without the colon")
        self.at += colon + 1
        other = self.word("}", spaces=True, depth=depth + 1)
        if self.text[self.at : self.at + 1] != "}":
            raise WordError("a ${ is not closed")
        self.at += 1
        there = bool(value) if colon else value is not None
        if kind == "+":
            return other if there else ""
        if kind == "?" and not there:
            raise WordError(f"{found[0]}: {other or 'is not set'}")
        return (value or "") if there else other


def _checked(text: str) -> str:
    if len(text) > _MAX_SIZE:
        raise WordError("a word becomes too long")
    return text


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """The text as one word: quotes taken off, variables replaced, white space kept. WordError."""
    return _Reader(text, values, escape).word("", spaces=True, depth=0)


def split(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of a text. WordError."""
    return _Reader(text, values, escape).words()


def content(text: str, values: Mapping[str, str]) -> str:
    """A here-document's content: variables are replaced, quotes mean nothing, a backslash keeps a $ or a backslash."""
    reader = _Reader(text, values, "\\")
    out: list[str] = []
    while reader.at < len(text):
        char = text[reader.at]
        if char == "$":
            out.append(reader.variable(0))
        elif char == "\\" and text[reader.at + 1 : reader.at + 2] in ("$", "\\"):
            out.append(text[reader.at + 1])
            reader.at += 2
        else:
            out.append(char)
            reader.at += 1
    return _checked("".join(out))


def raw_words(text: str, escape: str = "\\") -> list[str]:
    """White space outside quotes separates; quotes, escapes and variables stay as they are (for NAME=value lists)."""
    found: list[str] = []
    word = ""
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'" and at + 1 < len(text):
            word += char + text[at + 1]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            found += [word] if word else []
            word = ""
            at += 1
            continue
        word += char
        at += 1
    return found + ([word] if word else [])
