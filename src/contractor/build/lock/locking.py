"""Write a lock: run what has to be run to know which packages a specification gets, and say what they are.

Each step that installs packages stays as it is locked, or its mirrors are asked (choice.py). Steps run under keys
of their own where nothing can be taken over from earlier builds; what they made is then filed under the keys that the
lock gives them (adopt.py), so that the next build finds it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from contractor.build.lock.adopt import adopt
from contractor.build.lock.choice import Choice, Update, choose, require_known, without_archive
from contractor.build.lock.entries import asking, bases_of, entry_of, files_of, is_whole, kept_under, sources_of
from contractor.build.lock.follow import followers
from contractor.build.lock.running import Refused, execute_for_lock
from contractor.build.options import Emit, Options
from contractor.build.tools import tool_versions
from contractor.plan.lock import LOCKED_KINDS, Lock, LockedStep
from contractor.plan.locked import Ask, asks, held, locked_plan
from contractor.plan.model import Held, Plan
from contractor.plan.planner import base_artifact
from contractor.plan.rekey import Changed, rekey
from contractor.sandbox.local import LocalSandbox
from contractor.store.layout import Store
from contractor.store.results import Results

__all__ = ["Update", "Wanted", "lost", "make_lock", "up_to_date"]

_MOST_TURNS = 20  # of finding out what else has to move


class Wanted(NamedTuple):
    """plans: of the specification, without a lock. old: the lock that is there. part: only some of the matrix."""

    plans: list[Plan]
    old: Lock | None = None
    update: Update = Update()
    part: bool = False


def make_lock(
    wanted: Wanted,
    store: Store,
    sandbox: LocalSandbox,
    options: Options,
    *,
    emit: Emit,
    say: Callable[[str], object],
) -> Lock:
    """The new lock. Rejected, Broken: what the steps that had to run ended with. say: told what moves besides."""
    require_known(wanted.update, wanted.old, wanted.plans)
    for _ in range(_MOST_TURNS):
        try:
            return _make(wanted, store, sandbox, options, emit)
        except Refused as refused:
            more = followers(refused.said, _pinned(wanted))
            if not more:
                raise refused.error from None
            for name, why in more.items():
                say(f"{why}: {name} moves with it")
            packages = wanted.update.packages | more.keys()
            wanted = wanted._replace(update=wanted.update._replace(packages=packages))
            last = refused.error
    raise last


def _pinned(wanted: Wanted) -> set[str]:
    """The packages that are locked and not named, when some are to move."""
    moving = wanted.update.packages
    if not moving or wanted.old is None:
        return set()
    return {package.name for step in wanted.old.steps for package in step.packages} - moving


def _make(wanted: Wanted, store: Store, sandbox: LocalSandbox, options: Options, emit: Emit) -> Lock:
    results = Results(store, sandbox.ids)
    runs = [_Run(plan, wanted, results, store) for plan in wanted.plans]
    for run in runs:
        if run.asks_anybody:
            execute_for_lock(run.plan, store, sandbox, options, emit)
    lock = _collect(runs, wanted, results, store)
    for run in runs:
        adopt(run.plan, locked_plan(run.given, lock), run.session, results, store)
    return lock


def up_to_date(wanted: Wanted) -> tuple[str, ...]:
    """What a new lock would have otherwise, as far as that is known without asking anybody; in words."""
    old = wanted.old or Lock("")
    missing: list[str] = []
    used: set[str] = set()
    for plan in wanted.plans:
        missing += locked_plan(plan, old).unlocked
        used |= {ask.key for ask in asks(plan).values()}
    gone = [] if wanted.part or missing else [step for step in _of_same_arch(old, wanted.plans) if step.ask not in used]
    texts = [f"the locked step {step.name!r}" for step in gone]
    if not (wanted.part or missing or any(step.arch not in {plan.arch for plan in wanted.plans} for step in old.steps)):
        texts += _unasked_inputs(old, wanted.plans)
    return tuple(dict.fromkeys(missing + [f"nothing asks for {text} any more" for text in texts]))


def _unasked_inputs(lock: Lock, plans: list[Plan]) -> list[str]:
    """What the lock has of repositories and downloads, and these plans do not take."""
    sources = {(source.url, source.ref) for plan in plans for source in sources_of(plan)}
    files = {(file.url, file.sha256) for plan in plans for file in files_of(plan)}
    texts = [f"{each.ref} of {each.url}" for each in lock.sources if (each.url, each.ref) not in sources]
    return texts + [f"the download {each.url}" for each in lock.files if (each.url, each.sha256) not in files]


def _of_same_arch(lock: Lock, plans: list[Plan]) -> list[LockedStep]:
    arches = {plan.arch for plan in plans}
    return [step for step in lock.steps if step.arch in arches]


class _Run:
    """A plan as it is run to lock it. given: without a lock; session: is in the keys of what is asked anew."""

    def __init__(self, given: Plan, wanted: Wanted, results: Results, store: Store) -> None:
        self.given = given
        self.known: Mapping[str, Ask] = asks(given)
        self.session = os.urandom(16).hex()
        self.choices = choose(given, self.known, wanted.old, wanted.update)
        self._results = results
        self._store = store
        self._anew = wanted.update != Update()
        self._before = {step.ask: step for step in wanted.old.steps} if wanted.old is not None else {}
        self.plan = self._keyed(given)

    @property
    def asks_anybody(self) -> bool:
        return any(choice.how != "keep" for choice in self.choices.values())

    def _keyed(self, plan: Plan, base: str = "") -> Plan:
        """The plan, and its bases', under the keys that it is run with."""
        bases = {name: self._keyed(other, name) for name, other in plan.bases.items()}
        others = {base_artifact(plan.bases[name]).key: base_artifact(made).key for name, made in bases.items()}
        choices = {n: self._ready(self.choices[a.key]) for n, a in enumerate(plan.actions) if a.kind in LOCKED_KINDS}
        extra = {position: self._extra(choice) for position, choice in choices.items()}
        made = rekey(plan, Changed(others=others, extra=extra))
        for position in [position for position, choice in choices.items() if choice.how == "ask" and not self._anew]:
            key = kept_under(made, made.actions[position], base)
            if not self._is_known(key):
                extra[position] = {"lock": f"asked {self.session}"}
                made = rekey(plan, Changed(others=others, extra=extra))
        keys = {position: made.actions[position].key for position in choices}
        entries = {position: choice.entry for position, choice in choices.items() if choice.entry is not None}
        return msgspec.structs.replace(
            made,
            bases=bases,
            replays={keys[position]: entry.fetches() for position, entry in entries.items()},
            held={
                keys[position]: choices[position].held if choices[position].how == "hold" else held(entry)
                for position, entry in entries.items()
            },
        )

    def _ready(self, choice: Choice) -> Choice:
        if choice.how == "ask":
            return Choice("ask")
        return without_archive(choice, self._store.captured) if choice.how == "hold" else choice

    def _extra(self, choice: Choice) -> dict[str, str]:
        if choice.how == "keep":
            assert choice.entry is not None
            return {"lock": choice.entry.digest}
        return {"lock": f"asked {self.session}"} if choice.how == "hold" or self._anew else {}

    def _is_known(self, key: str) -> bool:
        """Whether a result is there with all that it was answered."""
        result = self._results.find(key)
        return (
            result is not None
            and is_whole(result)
            and all(os.path.exists(self._store.captured.path(f.sha256)) for f in result.fetches if f.kept)
        )

    def entries(self) -> list[LockedStep]:
        """What the lock says of each step, in order."""
        found = []
        for given, step in zip(asking(self.given), asking(self.plan), strict=True):
            choice, ask = self.choices[given.action.key], self.known[given.action.key]
            before = self._before.get(ask.key)
            if choice.how == "keep" and before is not None:
                found.append(before)
                continue
            entry = entry_of(step, ask, _held_of(self.plan, step.action.key), self._results)
            stays = before is not None and _same_packages(before, entry) and not lost(before, self._store)
            found.append(before if stays and before is not None else entry)
        return found


def lost(entry: LockedStep, store: Store) -> set[str]:
    """The digests of what an entry names that is not in the store."""
    names = {answer.sha256 for answer in entry.answers}
    return {name for name in names if not os.path.exists(store.captured.path(name))}


def _same_packages(one: LockedStep, other: LockedStep) -> bool:
    """Whether nothing moved. Then the entry stays: that an index was signed anew is no reason to change a lock."""
    sets = [{(p.name, p.version, p.architecture, p.sha256) for p in step.packages} for step in (one, other)]
    return bool(sets[0]) and sets[0] == sets[1]


def _held_of(plan: Plan, key: str) -> Held:
    for each in (plan, *plan.bases.values()):
        if key in each.held:
            return each.held[key]
    return next((found for base in plan.bases.values() if (found := _held_of(base, key)) != Held()), Held())


def _collect(runs: list[_Run], wanted: Wanted, results: Results, store: Store) -> Lock:
    """The lock of what has been run; of what was not, what the old one says."""
    old = wanted.old or Lock("")
    plans = [run.plan for run in runs]
    steps = {step.ask: step for run in runs for step in run.entries()}
    sources = {(source.url, source.ref): source for plan in plans for source in sources_of(plan)}
    files = {(file.url, file.sha256): file for plan in plans for file in files_of(plan)}
    bases = {(base.name, base.arch): base for plan in plans for base in bases_of(plan, results)}
    arches = {plan.arch for plan in plans}
    elsewhere = [step for step in old.steps if wanted.part or step.arch not in arches]
    if elsewhere or wanted.part:
        steps = {**{step.ask: step for step in elsewhere}, **steps}
        sources = {**{(source.url, source.ref): source for source in old.sources}, **sources}
        files = {**{(file.url, file.sha256): file for file in old.files}, **files}
    names = {name for plan in plans for name in _base_names(plan)}
    for base in old.bases:
        if base.arch not in arches or wanted.part or base.name in names:
            bases.setdefault((base.name, base.arch), base)
    return Lock(
        name=runs[0].given.name,
        steps=tuple(steps.values()),
        sources=tuple(sources.values()),
        files=tuple(files.values()),
        bases=tuple(sorted(bases.values(), key=lambda base: (base.name, base.arch))),
        tools=tool_versions(store) if any(run.asks_anybody for run in runs) or wanted.old is None else old.tools,
    )


def _base_names(plan: Plan) -> set[str]:
    return set().union(plan.bases, *(_base_names(base) for base in plan.bases.values()))
