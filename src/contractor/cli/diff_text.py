"""Two compared builds as lines for people: a section for each thing that differs, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contractor.build.compare.builds import BuildDiff, Fact, Output
from contractor.build.compare.members import Members
from contractor.build.compare.steps import FetchChange, PackageChange, StepDiff, StepPackages, Timing
from contractor.cli.change_text import ChangeText, moment
from contractor.cli.console.state import Paper
from contractor.cli.text import duration, human_size, table
from contractor.core.words import count
from contractor.plan import words
from contractor.plan.causes import Chained, Explanation, is_epoch
from contractor.plan.changes import Change
from contractor.plan.reasons import FINISHED

_FACTS = ("outcome", "specification", "plan", "parameters", "matrix", "epoch", "inputs")
_LIMITS = ("limit time", "limit memory", "limit disk", "limit log", "limit file_size")
_NOTABLE = 0.5  # seconds by which a time must differ to be told,
_FACTOR = 1.25  # and how many times the one must be the other
_DIGITS = 12  # of a digest


class DiffText:
    """members: how the archives of an output differ, by its name."""

    def __init__(self, paper: Paper, text: ChangeText, members: Mapping[str, Members]) -> None:
        self._paper = paper
        self._text = text
        self._members = members

    def lines(self, found: BuildDiff) -> list[str]:
        """All sections in which something differs; the verdict is the last line."""
        shared = _shared(found)
        arch = next((fact.b for fact in found.facts if fact.name == "architecture"), "")
        lines: list[str] = []
        for section in _FACTS:
            lines += self._section(section, self._facts(found.facts, section))
        lines += self._section("steps", self._steps(found, shared))
        lines += self._section("packages", [line for step in found.packages for line in self._packages(step, arch)])
        lines += self._section("fetches", self._text.most([self._fetch(fetch) for fetch in found.fetches], ""))
        lines += self._section("environment", [*self._env(shared), *self._facts(found.facts, "environment")])
        lines += self._section("times", self._times(found.timings))
        lines += self._section("outputs", [line for output in found.outputs for line in self._output(output)])
        return [*lines, "", self._paper.style("bold", self.clean(found.verdict))]

    def _section(self, title: str, lines: Sequence[str]) -> list[str]:
        return ["", self._paper.style("bold", title), *("  " + line for line in lines)] if lines else []

    def _facts(self, facts: Iterable[Fact], section: str) -> list[str]:
        rows: list[tuple[str, str]] = []
        for fact in facts:
            if fact.section == section and not fact.same:
                a, b = (self._value(fact, value) for value in (fact.a, fact.b))
                rows.append((self.clean(fact.name), f"{a} -> {b}"))
        return table(rows)

    def _value(self, fact: Fact, value: object) -> str:
        if fact.section == "epoch" and fact.name == "epoch":
            return moment(value)
        if fact.name in _LIMITS:
            return _limit(fact.name, value)
        text = self.clean(words.plain(value), 100)
        return text[:_DIGITS] if fact.section in ("inputs", "plan") and len(text) in (40, 64) else text

    def _steps(self, found: BuildDiff, shared: Mapping[bytes, list[int]]) -> list[str]:
        lines: list[str] = []
        follow: list[int] = []
        epoch = any(is_epoch(msgspec.json.decode(mark, type=Change)) for mark in shared)
        for step in found.steps:
            if _follows(step, shared) and not step.moved:
                follow.append(step.b)
            elif step.how != "same" or step.moved:
                lines += self._step(step, shared)
            elif _fate(step):
                lines.append(self._paper.style("yellow", f"~ {step.b} {self.clean(step.name, 60)}{_fate(step)}"))
        if follow:
            origin = "these" if lines else "the epoch" if epoch else "others"
            verb = "differs" if len(follow) == 1 else "differ"
            lines.append(f"{_numbers(follow)} {verb} only because of {origin}")
        return lines

    def _step(self, step: StepDiff, shared: Mapping[bytes, list[int]]) -> list[str]:
        name = self.clean(step.name, 60)
        if not step.a or not step.b:
            mark = "+" if step.b else "-"
            return [self._text.colour(f"{mark} {step.a or step.b} {name}")]
        number = str(step.b) if step.a == step.b else f"{step.a} -> {step.b}"
        head = f"~ {number} {name}{' (moved)' if step.moved else ''}{_fate(step)}"
        own = tuple(change for change in step.explanation.changes if _mark(change) not in shared)
        based = tuple(_of_bases(step.explanation.chained))
        lines = self._text.explanation(Explanation(own, based))
        if not lines and step.explanation.changes:
            lines = ["its environment (below)"]
        return [self._paper.style("yellow", head), *("    " + line for line in lines)]

    def _packages(self, step: StepPackages, arch: str) -> list[str]:
        number = str(step.b) if step.a == step.b else f"{step.a} -> {step.b}"
        head = f"after step {number} ({self.clean(step.name, 60)}): {_packages(step.changes)}"
        if step.earlier == len(step.changes):
            return [f"{head}, as before"]
        lines = []
        for change in step.changes:
            a, b = self.clean(change.a or "", 60), self.clean(change.b or "", 60)
            name = self.clean(change.name.removesuffix(f":{arch}"), 60)
            if change.a is not None and change.b is not None:
                lines.append(f"{self._paper.style('yellow', '~')} {name} {a} -> {b}")
            else:
                lines.append(self._text.colour(f"{'+' if change.a is None else '-'} {name} {a or b}"))
        return [head, *self._text.most(lines)]

    def _fetch(self, fetch: FetchChange) -> str:
        url = self.clean(f"{fetch.method} {fetch.url}" if fetch.method != "GET" else fetch.url, 160)
        if fetch.how != "changed":
            return self._text.colour(f"{'+' if fetch.how == 'added' else '-'} {url}")
        texts = []
        for name, (a, b) in fetch.what.items():
            if name == "sha256":
                texts += ["other content"] if "size" not in fetch.what else []
            elif name == "size":
                texts.append(
                    f"{human_size(a)} -> {human_size(b)}" if human_size(a) != human_size(b) else "other content"
                )
            else:
                texts.append(f"{name} {a} -> {b}")
        return f"{self._paper.style('yellow', '~')} {url}  {self.clean(', '.join(texts))}"

    def _env(self, shared: Mapping[bytes, list[int]]) -> list[str]:
        lines = []
        for mark, numbers in shared.items():
            change = msgspec.json.decode(mark, type=Change)
            if is_epoch(change):
                continue
            first, *rest = self._text.change(change)
            lines += [f"{first} ({_numbers(numbers)})", *rest]
        return lines

    def _times(self, found: Sequence[Timing]) -> list[str]:
        rows = []
        for timing in found:
            a, b, factor = timing.seconds_a, timing.seconds_b, timing.factor
            name = f"{timing.b or timing.a} {self.clean(timing.name, 60)}" if timing.a or timing.b else "whole build"
            if a is None or b is None:
                ran = b if a is None else a
                if ran is not None and ran >= _NOTABLE and timing.a and timing.b:
                    rows.append((name, f"{_took(a)} -> {_took(b)}", ""))
            elif abs(a - b) >= _NOTABLE and factor is not None and not 1 / _FACTOR < factor < _FACTOR:
                rows.append((name, f"{_took(a)} -> {_took(b)}", _times_as(factor)))
        return table(rows)

    def _output(self, output: Output) -> list[str]:
        name = self.clean(output.name)
        if output.how == "same":
            return []
        if output.a is None or output.b is None:
            return [self._text.colour(f"{'+' if output.a is None else '-'} {name}")]
        a, b = output.a, output.b
        facts = [f"{a.digest[:_DIGITS]} -> {b.digest[:_DIGITS]}"] if a.digest != b.digest else []
        facts += [f"{human_size(a.size)} -> {human_size(b.size)}"] if human_size(a.size) != human_size(b.size) else []
        facts += [f"format {a.format} -> {b.format}"] if a.format != b.format else []
        members = self._members.get(output.name, Members())
        head = f"{self._paper.style('yellow', '~')} {name}  {', '.join(facts)}"
        if members.why_not:
            return [f"{head}; members are not compared: {self.clean(members.why_not)}"]
        if not members.changes:
            return [head] if a.digest == b.digest else [f"{head}; the same members, in another archive"]
        return [f"{head}: {_differ(len(members.changes))}", *self._text.members(members.changes)]

    def clean(self, text: str, columns: int = 200) -> str:
        return self._text.clean(text, columns)


def _shared(found: BuildDiff) -> dict[bytes, list[int]]:
    """What is told once for all steps, with their numbers: variables that changed alike in several, and the epoch."""
    places: dict[bytes, list[int]] = {}
    epoch = any(fact.section == "epoch" and not fact.same for fact in found.facts)
    for step in found.steps:
        for change in words.worth_telling(step.explanation.changes):
            variable = change.input == "env" and change.name != "CONTRACTOR_STEP"
            if variable or (is_epoch(change) and epoch):
                places.setdefault(_mark(change), []).append(step.b)
    return {
        mark: numbers
        for mark, numbers in places.items()
        if len(numbers) > 1 or is_epoch(msgspec.json.decode(mark, type=Change))
    }


def _numbers(steps: Sequence[int]) -> str:
    """ "step 4", "steps 4-6, 9"; ascending."""
    ranges: list[list[int]] = []
    for number in steps:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return f"step{'s' * (len(steps) > 1)} {', '.join('-'.join(map(str, part)) for part in ranges)}"


def _follows(step: StepDiff, shared: Mapping[bytes, list[int]]) -> bool:
    """Only other steps, or the epoch that is told above, made it another."""
    own = step.explanation.changes
    epoch = all(is_epoch(change) and _mark(change) in shared for change in own)
    return step.how == "follows" or (step.how == "changed" and bool(own) and epoch)


def _of_bases(found: Iterable[Chained]) -> list[Chained]:
    """Only what began in a base: the other causes are steps that are told themselves."""
    kept = [msgspec.structs.replace(one, causes=tuple(cause for cause in one.causes if cause.base)) for one in found]
    return [one for one in kept if one.causes]


def _mark(change: Change) -> bytes:
    return msgspec.json.encode(change)


def _fate(step: StepDiff) -> str:
    """How it ended in each, where it ended well in one of them only."""
    ends = (step.outcome_a, step.outcome_b)
    if "not run" in ends or sum(end in FINISHED for end in ends) != 1:
        return ""
    return f": {step.outcome_a} -> {step.outcome_b}"


def _limit(name: str, value: object) -> str:
    """As the specification writes it."""
    from contractor.spec.quantities import duration_text, size_text

    if not isinstance(value, int | float):
        return words.plain(value)
    return ("unlimited" if not value else duration_text(value)) if name == "limit time" else size_text(int(value))


def _packages(changes: Sequence[PackageChange]) -> str:
    """ "3 new, 1 gone, 2 of another version"."""
    new, gone = (sum(getattr(change, side) is None for change in changes) for side in ("a", "b"))
    parts = ((new, "new"), (gone, "gone"), (len(changes) - new - gone, "of another version"))
    return ", ".join(f"{number} {what}" for number, what in parts if number)


def _differ(members: int) -> str:
    return f"{count(members, 'member')} differ{'s' if members == 1 else ''}"


def _times_as(factor: float) -> str:
    many = max(factor, 1 / factor) if factor else 0.0
    number = f"{many:.0f}" if many >= 10 else f"{many:.1f}"
    return f"{number} times as {'long' if factor >= 1 else 'fast'}"


def _took(seconds: float | None) -> str:
    return "found" if seconds is None else duration(seconds)
