"""`${NAME}` in fields: where it stands, and what it becomes. `$${` is a literal `${`. Scripts are never touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from contractor.spec.problems import Fault, did_you_mean, shown

TEXT, NAME, BAD = "text", "name", "bad"


def split(text: str) -> list[tuple[str, str]]:
    """The parts of a text in order: (TEXT, literal), (NAME, what is between the braces), (BAD, an unclosed rest)."""
    parts: list[tuple[str, str]] = []
    rest = text
    while rest:
        before, found, after = rest.partition("${")
        if not found:
            parts.append((TEXT, rest))
            break
        if before.endswith("$"):
            parts.append((TEXT, before[:-1] + "${"))
            rest = after
            continue
        if before:
            parts.append((TEXT, before))
        name, closed, rest = after.partition("}")
        parts.append((NAME if closed else BAD, name))
    return parts


def names(text: str) -> list[str]:
    """The names that a text refers to."""
    return [value for kind, value in split(text) if kind == NAME] if "${" in text else []


def only_name(text: str) -> str:
    """The name when the whole text is one reference, else nothing."""
    parts = split(text) if text.startswith("${") else []
    return parts[0][1] if len(parts) == 1 and parts[0][0] == NAME else ""


def check(text: str, known: Collection[str]) -> Fault | None:
    """What is wrong with the references in a text, given the names that there are."""
    if "${" not in text:
        return None
    for kind, value in split(text):
        if kind == BAD:
            return (
                f"the reference {shown('${' + value)} is not closed",
                "write ${NAME}, or $${ for the characters themselves",
            )
        if kind == NAME and value not in known:
            otherwise = (
                "" if known else "there are no parameters and no matrix here; $${ stands for the characters themselves"
            )
            return f"unknown name {shown('${' + value + '}')}", did_you_mean(value, known, otherwise)
    return None


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with every `${NAME}` replaced and `$${` made `${`. Raises KeyError for a name that values lacks."""
    if "${" not in text:
        return text
    return "".join(values[part] if kind == NAME else part for kind, part in split(text) if kind != BAD)
