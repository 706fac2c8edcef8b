"""A node of a specification's YAML: what was written and where, with getters that tell problems instead of raising.

Every getter returns the value, or None after adding a problem; so a loader goes on, and all problems are told at once.
"""

from __future__ import annotations

from collections.abc import Collection

from contractor.spec.model import Place
from contractor.spec.problems import Fault, Problems, did_you_mean, shown
from contractor.spec.quantities import parse_duration, parse_size

SCALAR, LIST, MAPPING, BROKEN = "text", "list", "mapping", "broken"
NULLS = ("", "~", "null", "Null", "NULL")
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOLEANS = ("yes", "no", "on", "off", "y", "n")  # YAML 1.1's: 1 and 0 are not guessed either
MAX_INTEGER = (1 << 63) - 1


class Node:
    """kind is SCALAR, LIST, MAPPING or BROKEN (told already). text is a scalar's own; plain means not quoted.

    children are a list's items; entries a mapping's, key -> (key's node, value's node).
    """

    __slots__ = ("children", "column", "entries", "file", "kind", "line", "plain", "problems", "text")

    def __init__(self, kind: str, text: str, line: int, column: int, file: str, problems: Problems) -> None:
        self.kind = kind
        self.text = text
        self.line = line
        self.column = column
        self.file = file
        self.problems = problems
        self.plain = False
        self.children: list[Node] = []
        self.entries: dict[str, tuple[Node, Node]] = {}

    @property
    def place(self) -> Place:
        return Place(self.file, self.line, self.column)

    @property
    def is_null(self) -> bool:
        """True when nothing was written after the key, or `null`."""
        return self.kind == SCALAR and self.plain and self.text in NULLS

    def at(self, line: int, column: int) -> Node:
        """An empty node elsewhere in the same file."""
        return Node(SCALAR, "", line, column, self.file, self.problems)

    def problem(self, message: str, hint: str = "") -> None:
        """Tell a problem at this place."""
        self.problems.add(self.place, message, hint)

    def fault(self, fault: Fault | None) -> bool:
        """Tell what a rule found here; True if it found anything."""
        self.problems.add_fault(self.place, fault)
        return fault is not None

    def string(self, what: str) -> str | None:
        """A scalar's own text, as written: 1.10 stays 1.10 and `no` stays no. `what` names it in the problem."""
        if self.kind == SCALAR and not self.is_null:
            return self.text
        if self.kind == SCALAR:
            hint = (
                "write a value, or leave the key out" if not self.text else f"quote it to mean the text: '{self.text}'"
            )
            self.problem(f"{what} has no value", hint)
        elif self.kind != BROKEN:
            self.problem(f"{what} must be a text, not a {self.kind}", "write one value")
        return None

    def strings(self, what: str) -> list[Node]:
        """The nodes of a list's texts; a single text is a list of one. Items that are no texts are told, not given."""
        if self.kind == MAPPING:
            self.problem(f"{what} must be a list of texts, not a mapping", "write [A, B], or a line `- A` each")
            return []
        items = self.children if self.kind == LIST else [self]
        return [item for item in items if item.string(f"{what}" if item is self else f"an item of {what}") is not None]

    def integer(self, what: str, least: int = 0) -> int | None:
        """A whole decimal number."""
        text = self.string(what)
        if text is None:
            return None
        value = parse_integer(text)
        if value is None or not least <= value <= MAX_INTEGER:
            rule = f"from {least} on" if value is not None else "no dots, no leading zeros"
            self.problem(f"{what} must be a whole number, not {shown(text)}", f"write digits, {rule}")
            return None
        return value

    def boolean(self, what: str) -> bool | None:
        """true or false; YAML 1.1's yes, no, on and off are refused with the right word in the hint."""
        text = self.string(what)
        if text is None or text in BOOLEANS:
            return BOOLEANS.get(text or "")
        hint = "write true or false"
        if text.lower() in _OLD_BOOLEANS:
            hint = "write true" if text.lower() in ("yes", "on", "y") else "write false"
        self.problem(f"{what} must be true or false, not {shown(text)}", hint)
        return None

    def size(self, what: str) -> int | None:
        """Bytes: `4G`, `100M`, `512KiB` or a number."""
        text = self.string(what)
        value = None if text is None else parse_size(text)
        if isinstance(value, tuple):
            self.problem(f"{what}: {value[0]}", value[1])
            return None
        return value

    def duration(self, what: str) -> float | None:
        """Seconds: `30m`, `1h30m`, `90s` or a number."""
        text = self.string(what)
        value = None if text is None else parse_duration(text)
        if isinstance(value, tuple):
            self.problem(f"{what}: {value[0]}", value[1])
            return None
        return value

    def mapping(self, what: str, allowed: Collection[str] | None = None) -> dict[str, tuple[Node, Node]]:
        """A mapping's entries; with `allowed`, other keys are told and left out. Nothing at all is an empty mapping."""
        if self.kind == MAPPING:
            if allowed is None:
                return self.entries
            known = {}
            for name, (key, value) in self.entries.items():
                if name in allowed:
                    known[name] = (key, value)
                else:
                    key.unknown("key", allowed, f" in {what}")
            return known
        if self.kind != BROKEN and not self.is_null:
            self.problem(
                f"{what} must be a mapping, not a {self.kind}", "write KEY: VALUE on lines of their own, indented"
            )
        return {}

    def unknown(self, kind: str, known: Collection[str], where: str = "", otherwise: str = "") -> None:
        """Tell that this text is no known word of its kind, and which one was probably meant."""
        hint = "" if self.problems.full else did_you_mean(self.text, known, otherwise)
        self.problem(f"unknown {kind} {shown(self.text)}{where}", hint)


def parse_integer(text: str) -> int | None:
    """The number of a decimal text, or None: 010 may be eight or ten, so it is neither."""
    digits = text.removeprefix("-")
    if not digits or len(digits) > 19 or digits.strip("0123456789") or (digits[0] == "0" and len(digits) > 1):
        return None
    return int(text)
