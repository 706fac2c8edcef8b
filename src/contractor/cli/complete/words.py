"""What stands on a shell's line, and how a completed word is written there: bash's quoting, both ways. Pure.

https://www.gnu.org/software/bash/manual/bash.html#Quoting
"""

from __future__ import annotations

from typing import NamedTuple

_SPECIAL = frozenset(" \t\"'\\$`&|;<>(){}[]*?!#~")  # some only matter in places; a backslash never harms
_IN_DOUBLE = frozenset('"\\$`')


class Typed(NamedTuple):
    """The words before the cursor, without their quotes; the last is the one that is completed, perhaps empty.

    keep: the beginning of the last word that the shell leaves as it is. quote: the quote that is open there, or "".
    tilde: the last word begins with a ~ that the shell expands.
    """

    words: tuple[str, ...]
    keep: str
    quote: str
    tilde: bool = False


def typed(line: str, text: str) -> Typed:
    """line: a bash command line up to the cursor. text: the end of it that bash will replace."""
    words: list[str] = []
    cut = len(line) - len(text) if line.endswith(text) else len(line)
    word, keep, quote, at, begun, tilde = "", "", "", 0, False, False
    while at < len(line):
        if at <= cut:
            keep = word
        character = line[at]
        at += 1
        if quote == "'":
            quote, word = ("", word) if character == "'" else (quote, word + character)
        elif character == "\\" and (not quote or line[at : at + 1] in ("", "\n", *_IN_DOUBLE)):
            if line[at : at + 1] != "\n":
                word += line[at : at + 1]
            at, begun = at + 1, True
        elif quote:
            quote, word = ("", word) if character == '"' else (quote, word + character)
        elif character in "\"'":
            quote, begun = character, True
        elif character in " \t\n":
            if begun:
                words.append(word)
            word, begun, tilde = "", False, False
        else:
            tilde = tilde or (character == "~" and not begun)
            word, begun = word + character, True
    if len(line) <= cut:
        keep = word
    return Typed((*words, word), keep if word.startswith(keep) else "", quote, tilde)


def written(value: str, place: Typed) -> str | None:
    """What replaces bash's text so that the word becomes the value; None when that cannot be written there."""
    if not value.startswith(place.keep) or not showable(value):
        return None
    rest = value[len(place.keep) :]
    if place.quote == "'":
        return rest.replace("'", "'\\''")
    if place.quote == '"':
        # An interactive bash expands "!" also here, and keeps the backslash that would prevent it.
        return None if "!" in rest else "".join(f"\\{c}" if c in _IN_DOUBLE else c for c in rest)
    tilde = "~" if place.tilde and not place.keep and rest.startswith("~") else ""
    return tilde + "".join(f"\\{c}" if c in _SPECIAL else c for c in rest[len(tilde) :])


def showable(value: str) -> bool:
    """Whether a value can be one line of an answer: no control characters, no bytes that are no UTF-8."""
    return not any(c < " " or "\x7f" <= c < "\xa0" or "\ud800" <= c <= "\udfff" or c in "\u2028\u2029" for c in value)
