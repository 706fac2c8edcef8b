"""Which steps of a plan stay as they are locked, which are asked anew, and which are held while some packages move."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from contractor.build.lock.entries import Asking, asking
from contractor.core.errors import Rejected
from contractor.plan.changes import differences
from contractor.plan.lock import Lock, LockedStep
from contractor.plan.locked import Ask, as_older
from contractor.plan.model import Held, Plan
from contractor.store.captured import Captured

How = Literal["keep", "hold", "ask"]


class Update(NamedTuple):
    """What is to move although it is locked. everything; else these packages, and of these bases everything or, with
    packages, these of them."""

    everything: bool = False
    packages: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()


class Choice(NamedTuple):
    """Of one step: stay as the entry says; be asked anew, with the packages of the entry held; or be asked anew."""

    how: How
    entry: LockedStep | None = None
    held: Held = Held()


def choose(plan: Plan, known: Mapping[str, Ask], old: Lock | None, update: Update) -> dict[str, Choice]:
    """By the key of each step that installs packages, of the plan and its bases."""
    steps = list(asking(plan))
    entries = {step.ask: step for step in old.steps} if old is not None else {}
    exact = {step.action.key: entries.get(known[step.action.key].key) for step in steps}
    used = {entry.ask for entry in exact.values() if entry is not None}
    left = [entry for entry in entries.values() if entry.ask not in used]
    suites = {_suite(known[step.action.key].inputs) for step in steps if step.action.kind == "debootstrap"}
    same = suites <= {_suite(entry.asked) for entry in entries.values() if entry.kind == "debootstrap"}
    found: dict[str, Choice] = {}
    for step in steps:
        entry = exact[step.action.key]
        if update.everything or (step.base in update.bases and not update.packages):
            found[step.action.key] = Choice("ask")
        elif entry is None:
            near = _near(step, known[step.action.key], left, same_suites=same)
            found[step.action.key] = Choice("hold", near) if near is not None else Choice("ask")
        elif _moves(step, entry, update):
            found[step.action.key] = Choice("hold", entry)
        else:
            found[step.action.key] = Choice("keep", entry)
    for base in {step.base for step in steps if step.base}:  # what it was answered is known of all of it only
        own = {step.action.key: found[step.action.key] for step in steps if step.base == base}
        for how in ("ask", "hold"):
            if any(choice.how == how for choice in own.values()):
                found.update({key: choice._replace(how=how) if choice.entry else choice for key, choice in own.items()})
                break
    return {key: _with_held(choice, found.values(), update.packages) for key, choice in found.items()}


def _moves(step: Asking, entry: LockedStep, update: Update) -> bool:
    in_scope = step.base in update.bases if update.bases else not step.base
    return in_scope and any(package.name in update.packages for package in entry.packages)


def _near(step: Asking, ask: Ask, left: Iterable[LockedStep], *, same_suites: bool) -> LockedStep | None:
    """The entry of the step as it was before somebody changed what it installs. In another Debian it is no use."""
    allowed = {("action", "packages"), ("action", "include"), ("action", "recommends"), ("epoch", "")}
    allowed |= {("tree", "")} if same_suites else set()
    for entry in left:
        if (entry.kind, entry.base, entry.arch) == (step.action.kind, step.base, step.action.arch):
            changed = {(change.input, change.name) for change in differences(entry.asked, ask.inputs)}
            if changed <= allowed:
                return entry
    return None


def _suite(inputs: Mapping[str, object]) -> tuple[object, object]:
    action = inputs.get("action")
    assert isinstance(action, Mapping)
    return action.get("suite"), action.get("mirror")


def _with_held(choice: Choice, found: Iterable[Choice], moving: frozenset[str]) -> Choice:
    """A held step with the versions that it is held to: its own, and those of the steps that stay."""
    if choice.how != "hold" or choice.entry is None:
        return choice
    stay = [other.entry for other in found if other.how == "keep" and other.entry is not None]
    pins = {package.name: package.version for entry in (*stay, choice.entry) for package in entry.packages}
    pins = {name: version for name, version in sorted(pins.items()) if name not in moving}
    moved = as_older(choice.entry)
    return Choice("hold", moved, Held(pins=pins, older=moved.older, opened=True))


def without_archive(choice: Choice, captured: Captured) -> Choice:
    """A held step when the store has not the index files of its lock: then the mirror must still have the versions."""
    assert choice.entry is not None
    from contractor.build.network import PACKAGE, Replay

    replay = Replay.of(choice.entry.fetches(), "")
    if all(fetch.url.endswith(PACKAGE) for fetch in replay.lost(captured)):
        return choice
    entry = msgspec.structs.replace(choice.entry, answers=(), older=())
    return Choice("hold", entry, Held(pins=choice.held.pins, opened=True))


def require_known(update: Update, old: Lock | None, plans: Iterable[Plan]) -> None:
    """Rejected when a package or a base is named that the lock has not."""
    if not update.packages and not update.bases:
        return
    if old is None:
        raise Rejected("there is no lock yet, so nothing of it can be updated", hint="`contractor lock` writes it")
    bases = {step.base for plan in plans for step in asking(plan) if step.base}
    for base in sorted(update.bases):
        if base not in bases:
            raise Rejected(f"--base {base}: there is no such base here", hint=f"bases: {', '.join(sorted(bases))}")
    inside = {p.name: step.base for step in old.steps for p in step.packages if step.base}
    outside = {p.name for step in old.steps for p in step.packages if not step.base}
    scope = {name for name, base in inside.items() if base in update.bases} if update.bases else outside
    for name in sorted(update.packages - scope):
        if name in inside and not update.bases:
            raise Rejected(
                f"{name} is not installed by a step of the specification, but by its base {inside[name]}",
                hint=f"`--update {name} --base {inside[name]}` moves it there: everything built on the base follows",
            )
        near = difflib.get_close_matches(name, scope, 1)
        where = f"the base {', '.join(sorted(update.bases))}" if update.bases else "the lock"
        raise Rejected(
            f"{where} has no package {name}",
            hint=f"did you mean {near[0]}?" if near else "a specification goes before --update: `contractor lock SPEC`",
        )
