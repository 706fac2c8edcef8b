"""What the YAML parser says, in words that help: its messages speak of tokens, people have lines and quotes."""

from __future__ import annotations

from typing import Any

_SINGLE = "use single quotes: in them a backslash is a backslash"
_NO_LIST = ("a - stands where no list may begin", "begin the list on a line of its own")
_IN_MAPPING = "this line does not fit the mapping around it"
_IN_LIST = ("this line does not fit the list around it", "items of one list start with - in one column")
_OPEN = "is not closed, or lacks a comma"
_BLOCK_HINT = "begin the text on the next line"
_COLON = (
    "a second colon, or a line indented too far",
    'quote a text that holds ": "; keys of a mapping share a column',
)

# A part of the parser's message (libyaml's or PyYAML's) -> our message and hint; the first that fits is taken.
_WORDS: tuple[tuple[str, tuple[str, str]], ...] = (
    ("tab character", ("a tab stands where YAML wants spaces", "indent with spaces")),
    ("mapping values are not allowed", _COLON),
    ("while scanning an alias", ("a value begins with *, which YAML takes for an alias", "quote it: '*.deb'")),
    ("while scanning an anchor", ("a value begins with &, which YAML takes for an anchor", "quote it")),
    (
        "found unexpected end of stream",
        ("the quote that begins here is never closed", "close it; in '...' write a ' twice"),
    ),
    ("escape", ("a wrong escape in a double-quoted text", _SINGLE)),
    (
        "expected ',' or ']'",
        (f"the list that begins here {_OPEN}", "end it with ]; quote items with commas or brackets"),
    ),
    (
        "expected ',' or '}'",
        (f"the mapping that begins here {_OPEN}", "end it with }; quote values with commas or braces"),
    ),
    (
        "while parsing a block mapping",
        (_IN_MAPPING, "keys of a mapping share a column; is a colon or a quote missing?"),
    ),
    ("while parsing a block collection", _IN_LIST),
    ("expected '-' indicator", _IN_LIST),
    ("could not find expected ':'", ("a key without a colon", "write KEY: VALUE; indent the further lines of a text")),
    ("tag", ("tags (!) are not allowed", "quote a value that begins with !")),
    ("directive", ("a line that begins with % is a YAML directive", "leave it out, or quote the value")),
    ("incompatible YAML", ("the %YAML line asks for another YAML", "leave it out")),
    ("expected <document start>", ("something follows the end of the specification", "is a line indented too little?")),
    ("entries are not allowed", _NO_LIST),
    ("indentation indicator", ("after | or > only a digit, + or - may stand", _BLOCK_HINT)),
    ("expected comment or line break", ("after | or > the text must begin on the next line", _BLOCK_HINT)),
)
_AT_CONTEXT = (
    "never closed",
    "begins here",
    "without a colon",
)  # problems whose cause is where the construct began, not where it broke


def syntax_problem(error: Any, text: str) -> tuple[int, int, str, str]:
    """Line, column (from 1), message and hint of a yaml.YAMLError that was raised for this text."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context_mark = getattr(error, "context_mark", None)
    said = (
        f"{getattr(error, 'context', None) or ''}: {getattr(error, 'problem', None) or getattr(error, 'reason', error)}"
    )
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if "cannot start any token" in said:
        return line + 1, column + 1, *_bad_start(text, line, column)
    message, hint = _in_words(said)
    if context_mark is not None and any(part in message for part in _AT_CONTEXT):
        line, column = context_mark.line, context_mark.column
    return line + 1, column + 1, message, hint


def _bad_start(text: str, line: int, column: int) -> tuple[str, str]:
    """libyaml does not say which character it was."""
    lines = text.splitlines()
    character = lines[line][column : column + 1] if line < len(lines) else ""
    if character in ("@", "`", "%"):
        return f"a value begins with {character}, which YAML keeps for itself", "quote it"
    return "a tab stands where YAML wants spaces", "indent with spaces"


def _in_words(said: str) -> tuple[str, str]:
    for part, words in _WORDS:
        if part in said:
            return words
    printable = "".join(c if c.isprintable() else "?" for c in said)[:200]
    return f"this is not YAML: {printable.strip(': ')}", "compare the indentation and quotes with the lines above"
