"""A plan under a lock: its bytes in the keys, what the replays answer, and what the lock does not cover. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from contractor.plan.causes import CHAINED
from contractor.plan.changes import Change, differences
from contractor.plan.key import action_key
from contractor.plan.lock import LOCKED_KINDS, OLDER, Answered, Lock, LockedStep
from contractor.plan.model import Action, Held, Plan
from contractor.plan.planner import base_artifact
from contractor.plan.rekey import Changed, rekey
from contractor.plan.words import brief
from contractor.spec.model import Fetch, Source

_RELEASE = re.compile(r"(?P<archive>http://.+)/dists/(?P<suite>.+)/(In)?Release\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


class Ask(NamedTuple):
    """What an action asks for, the same on every machine, and with or without a lock: its key, and the key's inputs."""

    key: str
    inputs: Mapping[str, Any]


def asks(plan: Plan) -> dict[str, Ask]:
    """By key, of a plan without a lock and of its bases: whether files can have owners is left out of it."""
    found: dict[str, Ask] = {}
    for base in plan.bases.values():
        found.update(asks(base))
    for action in plan.actions:
        inputs = {
            field: found[value].key if field in CHAINED and isinstance(value, str) and value in found else value
            for field, value in action.inputs.items()
            if field != "ids"
        }
        key = action.key if inputs == action.inputs else action_key(inputs)
        found[action.key] = Ask(key, inputs)
    return found


def locked_plan(plan: Plan, lock: Lock, path: str = "") -> Plan:
    """The plan with the lock's bytes in its keys. `unlocked` says what the lock does not cover. path: of its file."""
    return _Locking(lock, asks(plan), path).plan(plan)


class _Locking:
    def __init__(self, lock: Lock, known: Mapping[str, Ask], path: str) -> None:
        self._lock = lock
        self._known = known
        self._path = path
        self._steps = {step.ask: step for step in lock.steps}

    def plan(self, plan: Plan, base: str = "") -> Plan:
        bases: dict[str, Plan] = {}
        missing: list[str] = []
        others: dict[str, str] = {}
        for name, other in plan.bases.items():
            bases[name] = self.plan(other, name)
            others[base_artifact(other).key] = base_artifact(bases[name]).key
            missing += bases[name].unlocked
        entries = {position: self._steps.get(self._known[a.key].key) for position, a in enumerate(plan.actions)}
        covered = {position: entry for position, entry in entries.items() if entry is not None}
        moved = bool(missing)  # what is below has been told: that a tree is another follows from it
        for position, action in enumerate(plan.actions):
            if action.kind in LOCKED_KINDS and position not in covered:
                missing.append(self._drift(action, base, moved=moved))
                moved = True
            elif text := self._unlocked_source(action) or self._unlocked_download(action):
                missing.append(text)
        extra = {position: {"lock": entry.digest} for position, entry in covered.items()}
        made = rekey(plan, Changed(others=others, extra=extra))
        keys = {position: made.actions[position].key for position in covered}
        sources = [action.key for action in made.actions if self._is_locked_source(action)]
        return msgspec.structs.replace(
            made,
            bases=bases,
            lock=self._path,
            locked=(*keys.values(), *sources),
            unlocked=tuple(missing),
            replays={keys[position]: entry.fetches() for position, entry in covered.items()},
            held={keys[position]: held(entry) for position, entry in covered.items()},
            expected=self._expected(plan),
            expected_tools=self._lock.tools,
        )

    def _expected(self, plan: Plan) -> dict[str, str]:
        """The digests of the bases; without owners of files they are others."""
        if any("ids" in action.inputs for action in plan.actions):
            return {}
        return {name: digest for name in plan.bases if (digest := self._lock.base(name, plan.arch))}

    def _is_locked_source(self, action: Action) -> bool:
        given = action.step.action
        return isinstance(given, Source) and bool(given.git) and bool(self._lock.commit_of(given.git, given.ref))

    def _unlocked_source(self, action: Action) -> str:
        """A commit that the specification names is as much a part of the lock as a branch is."""
        given = action.step.action
        if not isinstance(given, Source) or not given.git or self._lock.commit_of(given.git, given.ref):
            return ""
        what = "commit" if _COMMIT.match(given.ref) else "git reference"
        known = [source.ref for source in self._lock.sources if source.url == given.git]
        has = f", which has {', '.join(known)} of that repository" if known else ""
        return f"the {what} {given.ref} of {given.git} is not in the lock{has}"

    def _unlocked_download(self, action: Action) -> str:
        given = action.step.action
        if not isinstance(given, Fetch | Source) or not given.url:
            return ""
        if any((file.url, file.sha256) == (given.url, given.sha256) for file in self._lock.files):
            return ""
        before = [file.sha256 for file in self._lock.files if file.url == given.url]
        if before:
            return f"the download {given.url} is sha256:{given.sha256} here, and sha256:{before[0]} in the lock"
        moved = [file.url for file in self._lock.files if file.sha256 == given.sha256]
        return f"the download {given.url} is not in the lock{f', which has it from {moved[0]}' if moved else ''}"

    def _drift(self, action: Action, base: str, *, moved: bool) -> str:
        """How a step differs from the one in the lock that it is most likely to be."""
        what = f"the base {base}: " if base else ""
        what += f"step {action.step.name!r}"
        of_kind = [step for step in self._lock.steps if (step.kind, step.base) == (action.kind, base)]
        if base and not of_kind:
            known = list(dict.fromkeys(step.base for step in self._lock.steps if step.base))
            return f"the base {base} is not in the lock" + (f", which has {', '.join(known)}" if known else "")
        used = {self._known[key].key for key in self._known}
        near = [step for step in of_kind if step.ask not in used]
        near.sort(key=lambda step: step.name != action.step.name)
        if not near:
            return f"{what} is not in the lock"
        found = differences(near[0].asked, self._known[action.key].inputs)
        texts = [_brief(change, moved=moved) for change in found]
        return f"{what}: {'; '.join(dict.fromkeys(filter(None, texts)))}"


def _brief(change: Change, *, moved: bool) -> str:
    if change.input == "arch":
        return f"the lock is for {change.before}, this build for {change.after}"
    if change.input in CHAINED:
        return f"another {change.input} below it than when it was locked" + (", see above" if moved else "")
    return brief(change)


def held(entry: LockedStep) -> Held:
    return Held(pins=entry.pins, older=entry.older, packages=entry.installed())


def as_older(entry: LockedStep) -> LockedStep:
    """An entry whose archives are all below OLDER, so that today's state of them can be asked beside it.

    Its `older` has a line for each archive that it was answered from.
    """
    generation = f"{OLDER}{entry.digest[:16]}/"

    def moved(url: str) -> str:
        return url if url.startswith(OLDER) else generation + url.removeprefix("http://")

    answers = tuple(msgspec.structs.replace(answer, url=moved(answer.url)) for answer in entry.answers)
    fresh = [answer for answer in answers if answer.url.startswith(generation)]
    older = (*_archives(fresh), *(line for line in entry.older if _in_use(line, answers)))
    left = tuple(line.split(" ")[1] + "/" for line in older)
    kept = tuple(answer for answer in answers if answer.url.startswith((generation, *left)))
    return msgspec.structs.replace(entry, answers=kept, older=older)


def _in_use(line: str, answers: tuple[Answered, ...]) -> bool:
    """Whether a package came from an earlier state of the archive: else nothing is lost without it."""
    archive = line.split(" ")[1]
    return any(answer.url.startswith(f"{archive}/") and answer.url.endswith(".deb") for answer in answers)


def _archives(answers: list[Answered]) -> tuple[str, ...]:
    """The lines of sources.list that make apt ask for these."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for answer in answers:
        match = _RELEASE.match(answer.url)
        if match and answer.status == 200:
            found.setdefault((match["archive"], match["suite"]), {})
    for archive, suite in found:
        component = re.compile(re.escape(f"{archive}/dists/{suite}/") + r"(?P<name>[^/]+(/[^/]+)*?)/binary-[a-z0-9-]+/")
        for answer in answers:
            if match := component.match(answer.url):
                found[archive, suite][unquote(match["name"])] = None
    return tuple(f"deb {archive} {suite} {' '.join(names)}" for (archive, suite), names in found.items() if names)
