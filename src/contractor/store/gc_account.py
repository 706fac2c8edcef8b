"""What gc keeps, explained: by build, newest first, and by kind. Pure.

A thing that several builds share counts in the size of each; `alone` is what only this build names, so what would be
freed if it were not there. What no build names any more has a row of its own, with an empty id.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contractor.core.values import Value
from contractor.core.words import ago
from contractor.store.gc_choice import Choice
from contractor.store.gc_model import DAY, Build, Node, Survey, Thing, closed, own_names
from contractor.store.gc_policy import Rules
from contractor.store.results import Result

_FAR = 36500 * DAY  # seconds: nobody wants to know the day
NO_BUILD = "of no build that is here any more"


class Row(Value, frozen=True):
    """A build that stays. size: all that it names, with its record; why: the rules that keep it; gone: what it lacks.

    started: seconds since the epoch; sizes: bytes on the disk.
    """

    build: str
    outcome: str
    started: float
    size: int
    alone: int
    why: tuple[str, ...]
    gone: tuple[str, ...] = ()
    pinned: bool = False


class Kind(Value, frozen=True):
    """How many of a kind stay, and their bytes: each counted once."""

    count: int
    size: int


class Account(Value, frozen=True):
    """held: bytes that no limit can free, by what holds them; of what two hold, the first has it."""

    rows: tuple[Row, ...]
    kinds: dict[str, Kind]
    held: dict[str, int]


def account(rules: Rules, choice: Choice) -> Account:
    """Explain what a choice keeps."""
    survey = rules.survey
    gone = {thing.path for thing, _why in choice.things}
    kept = [thing for thing in survey.things if thing.path not in gone]
    builds = [survey.builds[build] for build in rules.records]
    ledger = _Ledger(rules, choice.stays, kept)
    for build in builds:
        ledger.enter(build.id, own_names(build))
    ledger.enter_rest()
    order = sorted(builds, key=lambda build: (build.started, build.id), reverse=True)
    present = Present.of(survey)
    rows = [_row(build, ledger, rules, present) for build in order]
    if ledger.names[""]:
        size = ledger.size("")
        locks = [path for path, digests in survey.locked.items() if digests & ledger.names[""]]
        rows.append(Row("", "", 0.0, size, ledger.alone(""), (NO_BUILD, *(f"locked by {path}" for path in locks))))
    return Account(tuple(rows), _kinds(kept, builds), _held(rules, kept))


def _row(build: Build, ledger: _Ledger, rules: Rules, present: Present) -> Row:
    own = build.size + build.workspace
    return Row(
        build=build.id,
        outcome=build.outcome,
        started=build.started,
        size=own + ledger.size(build.id),
        alone=own + ledger.alone(build.id),
        why=tuple(_why(build, ledger.stays, rules)),
        gone=missing_steps(build, present),
        pinned=build.pin is not None,
    )


class _Ledger:
    """Which build names which things, of those that stay."""

    def __init__(self, rules: Rules, stays: frozenset[str], kept: Iterable[Thing]) -> None:
        self.stays = stays
        self.names: dict[str, set[str]] = {}
        self._graph = {name: rules.graph[name] for name in stays}
        self._sizes: dict[str, int] = {}
        self._owners: dict[str, int] = {}
        for thing in kept:
            self._sizes[thing.name] = self._sizes.get(thing.name, 0) + thing.size

    def enter(self, build: str, names: Iterable[str]) -> None:
        """A build with its nodes. What is named without a node (a plan's key that has no result) is its own, too."""
        wanted = set(names)
        named = wanted.union(*(self._graph[name].names for name in closed(wanted, self._graph)))
        self.names[build] = named & self._sizes.keys()
        for name in self.names[build]:
            self._owners[name] = self._owners.get(name, 0) + 1

    def enter_rest(self) -> None:
        """What stays and that no build has entered."""
        rest = self._sizes.keys() - self._owners.keys()
        self.names[""] = set(rest)
        self._owners.update(dict.fromkeys(rest, 1))

    def size(self, build: str) -> int:
        return sum(self._sizes[name] for name in self.names[build])

    def alone(self, build: str) -> int:
        return sum(self._sizes[name] for name in self.names[build] if self._owners[name] == 1)


def _why(build: Build, stays: frozenset[str], rules: Rules) -> Iterable[str]:
    now = rules.survey.now
    if build.running:
        yield "running"
    if build.pin is not None:
        yield f"pinned: {build.pin.reason}" if build.pin.reason else "pinned"
    if build.kept:
        yield "workspace kept on request"
    if not rules.record_stays(build) and build.id in rules.log_of:
        yield f"its log is part of {rules.log_of[build.id]}"
    for number, step in enumerate(build.steps, 1):
        if step.left in stays and step.left not in rules.survey.results:
            yield f"workspace of failed step {number}{_until(rules, rules.graph[step.left])}"
    tainted = [rules.graph[step.key] for step in build.steps if step.tainted and step.key in stays]
    for node in [node for node in tainted if node.build == build.id][:1]:
        yield f"tainted by a shell{_until(rules, node)}"
    here = build.keys & stays
    if not here:
        yield f"{_ended(build, now)}: record and log only"
        return
    when, who = max(rules.last[key] for key in here)
    used = _ended(build, now) if who == build.id else f"used {ago(now - when)} by {who}"
    if build.id in rules.newest:
        used += f", among the newest {rules.policy.keep_builds} builds (--keep-builds)"
    yield used


def _ended(build: Build, now: float) -> str:
    return f"ran {ago(now - build.ended)}"


def _until(rules: Rules, node: Node) -> str:
    build = rules.survey.builds[node.build]
    end = rules.until(node)
    if build.pin is not None or end > rules.survey.now + _FAR:
        return ""
    if end < rules.survey.now:
        return ", in use"
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(end))
    later = node.build in rules.later and end == rules.until_superseded(node)
    return f" until {day}" + (", as a later build succeeded" if later else "")


class Present(NamedTuple):
    """What there is to be found: results by key, and names."""

    results: Mapping[str, Result]
    states: frozenset[str]
    layers: frozenset[str]
    blobs: frozenset[str]

    @classmethod
    def of(cls, survey: Survey) -> Present:
        things = (survey.states, survey.layers, survey.blobs)
        return cls(survey.results, *(frozenset(thing.name for thing in group) for group in things))


def what_is_gone(survey: Survey, build: str) -> tuple[str, ...]:
    """The same as a row says, of one build that has a record."""
    return missing_steps(survey.builds[build], Present.of(survey)) if build in survey.builds else ()


def missing_steps(build: Build, present: Present) -> tuple[str, ...]:
    """What a build's steps left and is not in the store any more, in words; a base's steps leave its artifact only."""
    found = []
    for number, step in enumerate(build.steps, 1):
        lost = ["the workspace that it left"] if step.left and step.left not in present.states else []
        if step.outcome in ("succeeded", "cached"):
            lost += _lost(step.key, present, base=bool(build.parent))
        if lost:
            found.append(f"step {number} ({step.name}): {' and '.join(lost)}")
    return tuple(found)


def _lost(key: str, present: Present, *, base: bool) -> list[str]:
    result = present.results.get(key)
    if result is None:
        return [] if base else ["its result"]
    lost = ["its layer"] if result.layer and key not in present.layers else []
    lost += ["its workspace's state"] if result.state and key not in present.states else []
    if result.artifact is not None and result.artifact.digest not in present.blobs:
        lost.append("its artifact")
    return lost


def _kinds(kept: Iterable[Thing], builds: Iterable[Build]) -> dict[str, Kind]:
    found: dict[str, Kind] = dict.fromkeys(("layers", "states", "blobs", "captured"), Kind(0, 0))
    for thing in kept:
        before = found[thing.kind]
        found[thing.kind] = Kind(before.count + 1, before.size + thing.size)
    records = [build.size for build in builds]
    spaces = [build.workspace for build in builds if build.kept]
    return {
        **found,
        "records": Kind(len(records), sum(records)),
        "workspaces": Kind(len(spaces), sum(spaces)),
    }


def _held(rules: Rules, kept: Iterable[Thing]) -> dict[str, int]:
    builds = rules.survey.builds.values()
    pinned = frozenset().union(*(own_names(build) for build in builds if build.pin is not None))
    left = list(kept)
    found = {}
    locked = frozenset[str]().union(*rules.survey.locked.values())
    for who, names in (("pinned", pinned), ("locked", locked), ("running", rules.survey.live)):
        named = _named(names, rules.graph)
        found[who] = sum(thing.size for thing in left if thing.name in named)
        left = [thing for thing in left if thing.name not in named]
    stay = [build for build in builds if build.id in rules.records]
    found["records"] = sum(build.size for build in stay)
    found["workspaces"] = sum(build.workspace for build in stay)
    return found


def _named(names: frozenset[str], graph: Mapping[str, Node]) -> set[str]:
    return set(names).union(*(graph[name].names for name in closed(names, graph)))
