"""What gc works with: what is in a store, and who needs what. Values and functions of them; nothing is read here.

    Survey   all of a store: its builds, its results, and the things on the disk
    Thing    what is filed under a name: a state, a layer, a blob, a body that was fetched
    Node     a result, or the workspace that a step left when it did not succeed: what holds things

A passing node is of use to one build only: such a workspace, and what was made after a shell had changed something.

A node needs what its content is on top of: the states before it and the layers below it; so these stay with it.
The artifact that a system tree was made of is not needed any more once the tree is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from contractor.core.digest import is_digest
from contractor.core.values import Value
from contractor.store.pins import Pin
from contractor.store.results import Result

DAY = 86400.0


class Thing(Value, frozen=True):
    """A state, a layer, a blob, or what was fetched. path: below the store's root; name: what it is filed under."""

    path: str
    name: str
    size: int = 0
    mtime: float = 0.0

    @property
    def kind(self) -> str:
        return self.path.partition("/")[0]


class Ran(Value, frozen=True):
    """A step of a build. before, layers: what it stood on; left: the state of its workspace, if it did not succeed.

    tainted: a shell had changed what it read, so nobody else will ever find its result.
    """

    name: str
    key: str
    outcome: str
    left: str = ""
    made_by: str = ""
    before: str = ""
    layers: tuple[str, ...] = ()
    tainted: bool = False


class Build(Value, frozen=True):
    """A build's record, as far as gc looks at it. Times are seconds since the epoch, sizes bytes on the disk.

    whole: all of its plan, and untouched; keys: of its actions and of what they stood on; workspace: the size of
    the one that was kept on request.
    """

    id: str
    name: str
    outcome: str
    started: float
    finished: float = 0.0
    parent: str = ""
    matrix: dict[str, str] = {}
    whole: bool = True
    keys: frozenset[str] = frozenset()
    steps: tuple[Ran, ...] = ()
    bases: tuple[str, ...] = ()
    pin: Pin | None = None
    running: bool = False
    size: int = 0
    kept: bool = False
    workspace: int = 0

    @property
    def ended(self) -> float:
        return max(self.started, self.finished)


class Survey(Value, frozen=True):
    """What is in a store. live: keys and digests that running builds have in use, or may look up.

    since: what is younger may be about to get its name; seconds since the epoch, as `now`. locked: digests that locks
    name, by the path of the lock.
    """

    now: float
    since: float
    builds: dict[str, Build]
    results: dict[str, Result]
    states: tuple[Thing, ...] = ()
    layers: tuple[Thing, ...] = ()
    blobs: tuple[Thing, ...] = ()
    captured: tuple[Thing, ...] = ()
    locked: dict[str, frozenset[str]] = {}
    live: frozenset[str] = frozenset()

    @property
    def things(self) -> tuple[Thing, ...]:
        return (*self.states, *self.layers, *self.blobs, *self.captured)


class Node(Value, frozen=True):
    """What holds things. needs: other nodes, by name; names: of things; build, step: of a passing one, whose it is."""

    name: str
    needs: tuple[str, ...]
    names: frozenset[str]
    used: float
    build: str = ""
    step: int = 0
    result: bool = True


def needs(result: Result) -> tuple[str, ...]:
    """The keys of the results that this one cannot do without."""
    found = (result.before, result.inputs.get("tree", ""))
    return tuple(key for key in found if key and isinstance(key, str))


def digests(result: Result) -> frozenset[str]:
    """Every digest that a result names: its artifact, its source, what it fetched. What has that name stays with it."""
    own = {result.artifact.digest} if result.artifact is not None else set()
    fetched = {fetch.sha256 for fetch in result.fetches if fetch.sha256}
    return frozenset(own | fetched | {*result.blobs} | digests_in(result.inputs))


def digests_in(value: Any) -> set[str]:
    """All strings in a JSON value that are digests."""
    if isinstance(value, str):
        return {value} if is_digest(value) else set()
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return set()
    return set().union(*(digests_in(item) for item in value))


def nodes(survey: Survey) -> dict[str, Node]:
    """Everything that holds things, by its name."""
    used = last_uses(survey.builds.values())
    found: dict[str, Node] = {}
    for key, result in survey.results.items():
        needed = needs(result)
        moment = max(result.finished, used[key][0] if key in used else 0.0)
        found[key] = Node(key, needed, frozenset({key, *needed, *digests(result)}), moment)
    there = {thing.name for thing in survey.states}
    for build in survey.builds.values():
        for number, step in enumerate(build.steps):
            if step.left in there and step.left not in survey.results:
                needed = tuple(name for name in (step.before, *step.layers) if name)
                names = frozenset({step.left, *needed})
                found[step.left] = Node(step.left, needed, names, build.ended, build.id, number, result=False)
            for key in _tainted(build, step, survey.results):
                found[key] = msgspec.structs.replace(found[key], build=build.id, step=number)
    return found


def _tainted(build: Build, step: Ran, results: Mapping[str, Result]) -> Iterator[str]:
    """The step's own result, and the state that a shell left for it, which was made of nothing that is in a key."""
    for key in (step.key, step.before) if step.tainted else ():
        if key in results and results[key].build == build.id and (key == step.key or not results[key].inputs):
            yield key


def last_uses(builds: Iterable[Build]) -> dict[str, tuple[float, str]]:
    """When the newest build with each key in its plan started, and which one that is."""
    found: dict[str, tuple[float, str]] = {}
    for build in builds:
        for key in build.keys:
            found[key] = max(found.get(key, (0.0, "")), (build.started, build.id))
    return found


def closed(names: Iterable[str], graph: Mapping[str, Node]) -> set[str]:
    """The nodes of these names, with all that they need, and what those need."""
    found: set[str] = set()
    waiting = [name for name in names if name in graph]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in graph[name].needs if other in graph]
    return found


def own_names(build: Build) -> frozenset[str]:
    """The nodes that are a build's: the results of its plan, and the workspaces that its steps left."""
    return build.keys | {step.left for step in build.steps if step.left}


def newest(survey: Survey, number: int) -> frozenset[str]:
    """The newest builds, and the bases that were built for them."""
    tops = sorted((b for b in survey.builds.values() if not b.parent), key=lambda b: (b.started, b.id), reverse=True)
    chosen = {build.id for build in tops[:number]}
    grown = -1
    while grown != len(chosen):
        grown = len(chosen)
        chosen |= {build.id for build in survey.builds.values() if build.parent in chosen}
    return frozenset(chosen)


def succeeded_later(survey: Survey) -> dict[str, tuple[float, str]]:
    """For builds with something passing: when a later one of the same name and matrix first succeeded, and which."""
    made: dict[str, list[Build]] = {}
    for build in survey.builds.values():
        if build.outcome == "succeeded" and build.whole:
            made.setdefault(build.name, []).append(build)
    found: dict[str, tuple[float, str]] = {}
    for build in survey.builds.values():
        if any(step.left or step.tainted for step in build.steps):
            later = [b for b in made.get(build.name, ()) if b.matrix == build.matrix and b.started > build.started]
            if later:
                found[build.id] = min((b.ended, b.id) for b in later)
    return found
