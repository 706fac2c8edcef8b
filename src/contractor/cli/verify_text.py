"""A verdict as lines for people: the conditions, each artifact that differs and where, and what was found. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contractor.build.verify.verify import Difference, Verdict
from contractor.cli.text import sanitize
from contractor.core.errors import EXIT_CODES, Outcome
from contractor.core.words import count

_WIDTH = 100
_SHOWN = 20  # members that differ, an artifact
_LINES = 60  # of diffoscope's text, an artifact


def exit_code(verdict: Verdict) -> int:
    """0 for reproduced, 3 for not, else that of how the second build ended."""
    return 0 if verdict.reproduced else EXIT_CODES[Outcome(verdict.outcome)]


def lines(verdict: Verdict) -> list[str]:
    """All of it, the verdict last."""
    found = [*_wrapped("varied", verdict.varied), *_wrapped("not varied", verdict.constant)]
    found += _wrapped("other tools", [f"{name} {then} -> {now}" for name, (then, now) in verdict.tools.items()])
    for difference in verdict.differences:
        found += ["", *of_difference(difference)]
    return [*found, "", *_end(verdict)]


def _wrapped(name: str, items: Sequence[str]) -> list[str]:
    """The items after a name, in as many lines as they need."""
    from textwrap import wrap

    text = sanitize("; ".join(items))
    lines = wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"{'' if number else name:<13}{line}" for number, line in enumerate(lines)]


def _end(verdict: Verdict) -> Iterator[str]:
    total = len(verdict.same) + len(verdict.differences)
    if not verdict.conclusive:
        yield f"NOT VERIFIED: the second build ended as {verdict.outcome}: {sanitize(verdict.message)}"
        yield f"see: contractor log {verdict.again}"
        return
    if verdict.signed:
        yield f"signed: {sanitize(verdict.signed)}"
    if verdict.reproduced:
        yield f"reproduced: {len(verdict.same)} of {count(total, 'artifact')} of {verdict.build}, bit for bit"
    elif verdict.message:
        yield f"NOT REPRODUCIBLE: the second build of {verdict.build} failed: {sanitize(verdict.message)}"
        yield f"see: contractor log {verdict.again}; `contractor verify --vary ''` varies no more than it must"
    else:
        yield f"NOT REPRODUCIBLE: {len(verdict.differences)} of {count(total, 'artifact')} of {verdict.build}"
        yield f"see: contractor {'show' if verdict.elsewhere else f'diff {verdict.build}'} {verdict.again}"


def of_difference(difference: Difference) -> list[str]:
    """An artifact that is not the same, and where: by diffoscope, or member by member."""
    name = sanitize(difference.name)
    if not difference.before or not difference.after:
        return [f"{name}: only in the {'first' if difference.before else 'second'} build"]
    found = [f"{name}: sha256:{difference.before} -> sha256:{difference.after}"]
    members = difference.members
    if members is not None:
        found += [f"  {members.why_not}"] if members.why_not else []
        for change in members.changes[:_SHOWN]:
            what = ", ".join(_aspect(aspect, *values) for aspect, values in change.what.items())
            found.append(f"  {change.how} {sanitize(change.path)}" + (f": {sanitize(what)}" if what else ""))
        if len(members.changes) > _SHOWN:
            found.append(f"  ... and {len(members.changes) - _SHOWN} more: --json has all")
    text = difference.explained.splitlines()
    found += [f"    {sanitize(line)}" for line in text[:_LINES]]
    return found + ([f"    ... and {len(text) - _LINES} more lines: --json has all"] if len(text) > _LINES else [])


def _aspect(name: str, before: str | int, after: str | int) -> str:
    """Digests are no use to people."""
    return "other content" if name == "content" and before and after else f"{name} {before or '-'} -> {after or '-'}"
