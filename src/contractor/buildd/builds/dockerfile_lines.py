"""A Dockerfile's text as instructions: continuations, comments, the escape directive, flags and here-documents.

Pure. Source: https://docs.docker.com/reference/dockerfile/ (format, parser directives, here-documents).
"""

from __future__ import annotations

import re

from contractor.core.errors import Rejected
from contractor.core.values import Value

MAX_BYTES = 1 << 20
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.*?)\s*\Z")
_HEREDOC = re.compile(r"""(?<![<\w])(\d*)<<(-?)(["']?)([a-zA-Z_][a-zA-Z0-9_.]*)\3(?=\s|\Z|[;&|)>])""")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|\Z)")
_WITH_HEREDOC = ("RUN", "COPY", "ADD")
_WITH_FLAGS = ("RUN", "COPY", "ADD", "FROM", "HEALTHCHECK")


class DockerfileError(Rejected):
    """The Dockerfile cannot be built; the message names line and instruction."""


class Heredoc(Value, frozen=True):
    """name: the word that ends it. expand: variables in it are replaced (the word was not quoted)."""

    name: str
    content: str
    expand: bool


class Instruction(Value, frozen=True):
    """line: where it begins, from 1. name: in capitals. text: all behind the flags, continuations joined."""

    line: int
    name: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    def error(self, why: str) -> DockerfileError:
        return DockerfileError(f"line {self.line}: {self.name}: {why}")


class Source(Value, frozen=True):
    """escape: the character that continues a line and keeps the next from being read, a backslash or a backtick."""

    instructions: tuple[Instruction, ...]
    escape: str = "\\"


def read(data: bytes) -> Source:
    """The instructions of a Dockerfile; DockerfileError for what is no Dockerfile."""
    if len(data) > MAX_BYTES:
        raise DockerfileError(f"the Dockerfile has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DockerfileError(f"line {line}: the Dockerfile is not UTF-8") from error
    if "\0" in text:
        raise DockerfileError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: there is a NUL character")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    escape = _escape(lines)
    instructions = []
    at = 0
    while at < len(lines):
        found, at = _logical(lines, at, escape)
        if found is not None:
            made, at = _instruction(*found, lines, at)
            instructions.append(made)
    if not instructions:
        raise DockerfileError("the Dockerfile has no instruction")
    return Source(tuple(instructions), escape)


def _escape(lines: list[str]) -> str:
    """Parser directives stand before everything else, each once at most."""
    escape = "\\"
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        found = _DIRECTIVE.match(line.strip())
        name = found[1].lower() if found else ""
        if found is None or name not in ("escape", "syntax", "check"):
            break
        if name in seen:
            raise DockerfileError(f"line {number}: the parser directive {name} comes twice")
        seen.add(name)
        if name == "escape":
            if found[2] not in ("\\", "`"):
                raise DockerfileError(f"line {number}: escape must be \\ or `, not {found[2][:20]!r}")
            escape = found[2]
    return escape


def _logical(lines: list[str], at: int, escape: str) -> tuple[tuple[int, str] | None, int]:
    """The next line with its continuations, (number, text) or None for an empty line or a comment; and where to go on.

    Comments and empty lines between continuations are left out.
    """
    first = at
    parts: list[str] = []
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.lstrip().startswith("#") or (parts and not line.strip()):
            if not parts:
                return None, at
            continue
        bare = line.rstrip()
        if not bare.endswith(escape):
            parts.append(line)
            break
        parts.append(bare[: -len(escape)])
    text = "".join(parts).strip()
    return ((first + 1, text) if text else None), at


def _instruction(number: int, text: str, lines: list[str], at: int) -> tuple[Instruction, int]:
    word, *rest = text.split(None, 1)
    name = word.upper()
    remaining = rest[0] if rest else ""
    flags: list[tuple[str, str]] = []
    while name in _WITH_FLAGS and (flag := _FLAG.match(remaining)):
        flags.append((flag[1], flag[2] or ""))
        remaining = remaining[flag.end() :]
    made = Instruction(number, name, remaining, tuple(flags))
    if not name.isalpha():
        raise DockerfileError(f"line {number}: {word[:40]!r} is no instruction")
    if name in _WITH_HEREDOC and not remaining.startswith("["):
        heredocs, at = _heredocs(made, lines, at)
        made = Instruction(number, name, remaining, tuple(flags), heredocs)
    return made, at


def _heredocs(instruction: Instruction, lines: list[str], at: int) -> tuple[tuple[Heredoc, ...], int]:
    found = []
    for opened in _HEREDOC.finditer(instruction.text):
        strip, quote, word = opened[2] == "-", opened[3], opened[4]
        content = []
        while True:
            if at >= len(lines):
                raise instruction.error(f"the here-document has no closing {word}")
            line = lines[at].lstrip("\t") if strip else lines[at]
            at += 1
            if line == word:
                break
            content.append(f"{line}\n")
        found.append(Heredoc(word, "".join(content), not quote))
    return tuple(found), at


def without_heredocs(text: str) -> str:
    """What stands beside the openings of here-documents."""
    return _HEREDOC.sub("", text).strip()


def heredoc_words(text: str) -> str:
    """The text with each opening replaced by one word, <<NAME, so that it can be split into words."""
    return _HEREDOC.sub(lambda opened: f"<<{opened[4]}", text)
