"""What is wrong with a specification: problems, each with place, message and hint, and the error that carries them."""

from __future__ import annotations

from collections.abc import Iterable

from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.spec.model import Place

MAX_PROBLEMS = 100  # more than these are only counted: a person reads the first few
Fault = tuple[str, str]  # message and hint, of something whose place the caller knows


class Problem(Value, frozen=True):
    """One thing to put right. place is None for what was given on the command line."""

    place: Place | None
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class SpecError(Rejected):
    """The specification, or what was asked of it, is wrong: problems holds all of it, in the order of the text.

    One problem is the message itself (with its hint); of several, details holds each one's line and `  hint:` line.
    """

    def __init__(self, problems: Iterable[Problem], *, name: str, untold: int = 0) -> None:
        self.problems = tuple(sorted(problems, key=_order))
        count = len(self.problems) + untold
        if count == 1:
            only = self.problems[0]
            super().__init__(str(only), hint=only.hint)
            return
        lines: list[str] = []
        for problem in self.problems:
            lines.append(str(problem))
            if problem.hint:
                lines.append(f"  hint: {problem.hint}")
        if untold:
            lines.append(f"and {untold} more")
        super().__init__(f"{name} has {count} problems", details=tuple(lines))


class Problems:
    """Collects problems of one specification, so that all of them are told at once."""

    __slots__ = ("_name", "_seen", "_told", "_untold")

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: list[Problem] = []
        self._seen: set[Problem] = set()
        self._untold = 0

    def __len__(self) -> int:
        return len(self._told) + self._untold

    @property
    def full(self) -> bool:
        """True when further problems are only counted: no need to think of a good hint any more."""
        return len(self._told) >= MAX_PROBLEMS

    def add(self, place: Place | None, message: str, hint: str = "") -> None:
        """Remember a problem; the same one at the same place is told once (a pipeline may be used many times)."""
        problem = Problem(place, message, hint)
        if problem in self._seen:
            return
        if self.full:
            self._untold += 1
            return
        self._seen.add(problem)
        self._told.append(problem)

    def add_fault(self, place: Place | None, fault: Fault | None) -> None:
        """Remember what a rule found, if it found anything."""
        if fault is not None:
            self.add(place, *fault)

    def check(self) -> None:
        """Raise SpecError when there is any problem."""
        if self._told:
            raise SpecError(self._told, name=self._name, untold=self._untold)


def shown(text: str, limit: int = 60) -> str:
    """A text from outside as it may stand in a message: one short line, no control characters (they move terminals)."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    if short.isprintable():
        return f'"{short}"'
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in short) + '"'


def closest(word: str, words: Iterable[str]) -> str:
    """The word that was probably meant, or nothing."""
    if not word or len(word) > 64:  # difflib takes quadratic time
        return ""
    import difflib  # only when there is a problem: start-up time

    known = list(words)[:1000]
    folded = {known_word.lower(): known_word for known_word in known}
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def did_you_mean(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """A hint for an unknown word: the closest known one, else what may be said instead."""
    known = tuple(words)
    match = closest(word, known)
    if match:
        return f"did you mean {match}?"
    if otherwise:
        return otherwise
    return f"known here: {listed(known)}" if known else ""


def listed(words: Iterable[str], limit: int = 12) -> str:
    """Words for a message, with commas; a long list is cut."""
    every = tuple(words)
    text = ", ".join(word if word.isprintable() and len(word) <= 60 else shown(word) for word in every[:limit])
    return text if len(every) <= limit else f"{text} and {len(every) - limit} more"


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)
