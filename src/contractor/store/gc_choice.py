"""What of the store goes: a pure choice over what is there. The effects are in gc.py.

A result needs what its content is on top of: the state before it and the layer below its own; so these stay with it.
The artifact that a system tree was made of is not needed any more once the tree is there.

What goes first is what no result names (a crash left it). Then results by the rules given: with keep_days or
keep_builds, one stays when any of the two keeps it; with a size, the least recently used go until the rest fits.
Whatever a running build has in use stays, whatever the rules say.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from contractor.core.digest import is_digest
from contractor.core.values import Value
from contractor.store.results import Result

YOUNG = 3600.0  # seconds: what nobody names yet may be about to get its name


class Thing(Value, frozen=True):
    """A state, a layer or a blob. path: below the store's root; name: the key or digest that it is filed under."""

    path: str
    name: str
    size: int = 0
    mtime: float = 0.0


class Survey(Value, frozen=True):
    """What is in a store. used: when each key was last used by a build; live: keys and digests of running builds."""

    now: float
    results: dict[str, Result]
    used: dict[str, float]
    states: tuple[Thing, ...] = ()
    layers: tuple[Thing, ...] = ()
    blobs: tuple[Thing, ...] = ()
    live: frozenset[str] = frozenset()
    recent: dict[int, frozenset[str]] = {}  # n -> keys of the n newest builds, for the n that was asked for
    other: int = 0  # bytes of records and logs: they count, and stay


class Policy(Value, frozen=True):
    """size: bytes that the store may have; keep_days: since the last use; keep_builds: how many of the newest."""

    size: int | None = None
    keep_days: float | None = None
    keep_builds: int | None = None


class Choice(Value, frozen=True):
    """results: keys that go. things: what goes with its reason. kept: bytes that stay, records included."""

    results: tuple[str, ...]
    things: tuple[tuple[Thing, str], ...]
    kept: int
    kept_results: int

    @property
    def freed(self) -> int:
        return sum(thing.size for thing, _why in self.things)


def needs(result: Result) -> tuple[str, ...]:
    """The keys of the results that this one cannot do without."""
    found = (result.before, result.inputs.get("tree", ""))
    return tuple(key for key in found if key and isinstance(key, str))


def digests(result: Result) -> frozenset[str]:
    """Every digest that a result names: its artifact, its source, its download. A blob of that name stays with it."""
    own = {result.artifact.digest} if result.artifact is not None else set()
    return frozenset(own | {fetch.sha256 for fetch in result.fetches if fetch.sha256} | digests_in(result.inputs))


def names(result: Result) -> set[str]:
    """All that a result names, and so keeps: keys of states and layers, digests of blobs."""
    return {result.key, *needs(result), *digests(result)}


def digests_in(value: Any) -> set[str]:
    """All strings in a JSON value that are digests."""
    if isinstance(value, str):
        return {value} if is_digest(value) else set()
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return set()
    return set().union(*(digests_in(item) for item in value))


def closed(keys: Iterable[str], results: Mapping[str, Result]) -> set[str]:
    """The keys that have a result, with all that they need, and what those need."""
    found: set[str] = set()
    waiting = [key for key in keys if key in results]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += [other for other in needs(results[key]) if other in results]
    return found


def choose(survey: Survey, policy: Policy) -> Choice:
    """What goes; see the module's docstring for the rules."""
    stays = closed(_kept_by_rules(survey, policy) | set(survey.live), survey.results)
    shelf = _Shelf(survey, stays)
    if policy.size is not None:
        shelf.shrink(policy.size)
    gone = set(survey.results) - shelf.stays
    things = tuple((thing, shelf.why(thing)) for thing in shelf.things() if not shelf.wanted(thing))
    return Choice(tuple(sorted(gone)), things, shelf.size, len(shelf.stays))


def _kept_by_rules(survey: Survey, policy: Policy) -> set[str]:
    if policy.keep_days is None and policy.keep_builds is None:
        return set(survey.results)
    kept: set[str] = set()
    if policy.keep_days is not None:
        oldest = survey.now - policy.keep_days * 86400
        kept |= {key for key in survey.results if last_use(survey, key) >= oldest}
    if policy.keep_builds is not None:
        kept |= survey.recent[policy.keep_builds]
    return kept


def last_use(survey: Survey, key: str) -> float:
    return max(survey.results[key].finished, survey.used.get(key, 0.0))


class _Shelf:
    """The results that stay, who needs whom, and the bytes of it all: what `shrink` takes from."""

    def __init__(self, survey: Survey, stays: set[str]) -> None:
        self.stays = stays
        self._survey = survey
        self._named = {name for result in survey.results.values() for name in names(result)}
        self._counts: dict[str, int] = {}  # how many staying results name a state, layer or blob
        self._needed: dict[str, int] = {}  # how many staying results need a result
        self._by_name: dict[str, list[Thing]] = {}
        for thing in self.things():
            self._by_name.setdefault(thing.name, []).append(thing)
        for key in stays:
            self._count(key, 1)
        self.size = survey.other + sum(thing.size for thing in self.things() if self.wanted(thing))

    def things(self) -> tuple[Thing, ...]:
        return (*self._survey.states, *self._survey.layers, *self._survey.blobs)

    def _count(self, key: str, step: int) -> None:
        result = self._survey.results[key]
        for name in names(result):
            self._counts[name] = self._counts.get(name, 0) + step
        for other in needs(result):
            self._needed[other] = self._needed.get(other, 0) + step

    def wanted(self, thing: Thing) -> bool:
        if self._counts.get(thing.name) or thing.name in self._survey.live:
            return True
        return thing.name not in self._named and thing.mtime > self._survey.now - YOUNG

    def why(self, thing: Thing) -> str:
        return "least recently used" if thing.name in self._named else "no result names it"

    def shrink(self, size: int) -> None:
        """Take results away, the longest unused first and never one that another needs, until the rest fits."""
        live = closed(self._survey.live, self._survey.results)
        free = [(last_use(self._survey, key), key) for key in self.stays - live if not self._needed.get(key)]
        heapq.heapify(free)
        while self.size > size and free:
            _when, key = heapq.heappop(free)
            named = names(self._survey.results[key])
            things = [thing for name in named for thing in self._by_name.get(name, ())]
            before = sum(thing.size for thing in things if self.wanted(thing))
            self.stays.discard(key)
            self._count(key, -1)
            self.size -= before - sum(thing.size for thing in things if self.wanted(thing))
            for other in set(needs(self._survey.results[key])):
                if other in self.stays and other not in live and not self._needed[other]:
                    heapq.heappush(free, (last_use(self._survey, other), other))
