"""Differences of steps as lines for people: what `why` and `diff` print. Everything foreign is cleaned here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from contractor.build.compare.members import MemberChange, Members
from contractor.cli.console.state import Paper
from contractor.cli.text import clip
from contractor.core.words import count
from contractor.plan import changes, words
from contractor.plan.causes import Cause, Chained, Explanation, is_epoch
from contractor.plan.changes import Change

Sources = Mapping[tuple[str, str], Members]

MOST = 20  # members, items of a list, and what else may be long
_DIFF_LINES = 60  # of a script's diff
_CAUSES = 5
_VALUE = 60  # columns of a value that stands in the line of its name
_LONGEST = 500  # columns of any line: what is longer is no text
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class ChangeText:
    """sources: which files differ between two digests of a source, where that is known."""

    def __init__(self, paper: Paper, sources: Sources) -> None:
        self._paper = paper
        self._sources = sources

    def explanation(self, found: Explanation) -> list[str]:
        """All that differs, and below each input that other steps made the steps where its change began."""
        lines = [line for change in words.worth_telling(found.changes) for line in self.change(change)]
        told = {_mark(found.changes): "the same change"} if found.changes else {}
        groups: dict[bytes, list[Chained]] = {}
        for chained in found.chained:
            groups.setdefault(_mark(chained.causes), []).append(chained)
        for group in groups.values():
            lines += self._chained(group, told)
        return lines

    def _chained(self, group: Sequence[Chained], told: dict[bytes, str]) -> list[str]:
        causes = group[0].causes
        lines = [self.clean("; ".join(words.because(group)), _LONGEST)]
        many = len(causes) > 1
        for cause in causes[:_CAUSES]:
            if not cause.changes:
                lines += [f"  {self.clean(words.called(cause))}: {_HOW[cause.how]}"] if many else []
                continue
            lines += [f"  {self.clean(words.called(cause))}"] if many else []
            indent = "    " if many else "  "
            mark = _mark(cause.changes)
            if mark in told:
                lines.append(f"{indent}{told[mark]}")
                continue
            told[mark] = f"the same change as in {self.clean(words.called(cause))}"
            own = words.worth_telling(cause.changes)
            own = [change for change in own if not is_epoch(change)] or own
            lines += [indent + line for change in own for line in self.change(change)]
        return lines + ([f"  and {len(causes) - _CAUSES} more steps"] if len(causes) > _CAUSES else [])

    def change(self, change: Change) -> list[str]:
        """One field: a line, and below it what does not fit in one."""
        before, after = change.before, change.after
        name = self.clean(words.label(change))
        if change.name == "script" and isinstance(before, str) and isinstance(after, str):
            return [f"{name} {words.script_words(before, after)}", *self._script(before, after)]
        if isinstance(before, list) and isinstance(after, list):
            return self._list(name, before, after)
        if change.input == "source":
            return self._source(change)
        if is_epoch(change):
            return [f"epoch {moment(before)} -> {moment(after)}"]
        if change.input == "env" and change.name != "CONTRACTOR_STEP":
            return self._values(name, change)
        if change.input == "action":
            return self._values(name, change)
        return [self.clean(words.brief(change), _LONGEST)]

    def _values(self, name: str, change: Change) -> list[str]:
        """In one line where that is short, else one below the other."""
        before, after = (self.clean(words.plain(value), _LONGEST) for value in (change.before, change.after))
        if change.how == "added":
            return [f"{name} added: {after}"]
        if change.how == "removed":
            return [f"{name} removed: it was {before}"]
        if max(len(before), len(after)) <= _VALUE:
            return [f"{name} {before} -> {after}"]
        return [f"{name} changed", "  " + self.colour(f"- {before}"), "  " + self.colour(f"+ {after}")]

    def _list(self, name: str, before: Sequence[str], after: Sequence[str]) -> list[str]:
        added, removed = changes.items(list(before), list(after))
        head = self.clean(f"{name} {words.list_words(list(before), list(after))}", _LONGEST)
        if len(added) + len(removed) <= 6:
            return [head]
        every = [*(f"+ {item}" for item in added), *(f"- {item}" for item in removed)]
        return [head, *self.most([self.colour(self.clean(item, _LONGEST)) for item in every])]

    def _script(self, before: str, after: str) -> list[str]:
        lines = changes.unified(before, after)
        shown = ["  " + self.colour(line[:1] + self.clean(line[1:], _LONGEST)) for line in lines[:_DIFF_LINES]]
        return shown + ([f"  ... {len(lines) - _DIFF_LINES} more lines"] if len(lines) > _DIFF_LINES else [])

    def _source(self, change: Change) -> list[str]:
        head = self.clean(words.brief(change), _LONGEST)
        members = self._sources.get((change.before, change.after))
        if members is None or members.why_not:
            return [head]
        return [f"{head}: {_differ(len(members.changes))}", *self.members(members.changes)]

    def members(self, found: Sequence[MemberChange]) -> list[str]:
        """The first members that differ, and how many more do."""
        return self.most([self._member(change) for change in found])

    def most(self, lines: Sequence[str], indent: str = "  ") -> list[str]:
        """The first lines, indented, and how many more there are."""
        shown = [f"{indent}{line}" for line in lines[:MOST]]
        return shown + ([f"{indent}... {len(lines) - MOST} more"] if len(lines) > MOST else [])

    def _member(self, change: MemberChange) -> str:
        path = self.clean(change.path, 200)
        if change.how != "changed":
            return self.colour(f"{'+' if change.how == 'added' else '-'} {path}")
        return f"{self._paper.style('yellow', '~')} {path}  {self.clean(', '.join(_aspects(change)))}"

    def clean(self, text: str, columns: int = 200) -> str:
        return clip(self._paper.clean(text), columns)

    def colour(self, line: str) -> str:
        """A line in the colour of its first character: + - @."""
        kind = _COLOURS.get(line[:1])
        return self._paper.style(kind, line) if kind else line


_HOW = {"added": "it is new", "removed": "it is gone", "moved": "it is in another place", "changed": "changed"}


def _mark(value: Sequence[Cause] | Sequence[Change]) -> bytes:
    """The same for what is the same; JSON values need not be hashable."""
    return msgspec.json.encode(value)


def _aspects(change: MemberChange) -> list[str]:
    """How a member differs, in words; a size that differs says that the content does."""
    texts = []
    for name, (before, after) in change.what.items():
        if name == "content" and before and after:
            texts.append("content")
        elif name == "size":
            texts.append(f"size {before} -> {after}")
        elif name == "mtime":
            texts.append(f"mtime {moment(before)} -> {moment(after)}")
        elif name in ("mode", "owner", "kind", "link"):
            texts.append(f"{name} {before} -> {after}")
        elif name != "content":
            texts.append(name)
    return texts


def _differ(number: int) -> str:
    return (
        f"{count(number, 'file')} differ{'s' if number == 1 else ''}" if number else "the same files, of another time"
    )


def moment(value: object) -> str:
    """Seconds since the epoch with the date that they are, in UTC."""
    text = words.plain(value)
    try:
        return f"{text} ({time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(int(text)))})"
    except (ValueError, OverflowError, OSError):
        return text
