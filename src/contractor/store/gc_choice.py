"""What of the store goes, and why: a pure choice over what is there. The rules are gc_policy.py's, the effects gc.py's.

Records first, for a workspace that a failed step left goes with its record. Then results and those workspaces by the
rules; with a size, the least recently used until the rest fits, never one that another needs. What pinned or running
builds need stays whatever the rules say. Things go when nothing that stays names them.
"""

from __future__ import annotations

import heapq

from contractor.core.values import Value
from contractor.core.words import ago
from contractor.store.gc_model import Node, Thing, closed
from contractor.store.gc_policy import Rules


class Choice(Value, frozen=True):
    """results: keys that go; workspaces: names of states that failed steps left; records: builds. things: what goes
    from the disk, with its reason. stays: names of the nodes that stay. kept: bytes that stay, records included.
    """

    results: tuple[str, ...]
    workspaces: tuple[str, ...]
    records: tuple[str, ...]
    things: tuple[tuple[Thing, str], ...]
    stays: frozenset[str]
    kept: int

    @property
    def freed(self) -> int:
        return sum(thing.size for thing, _why in self.things)


def choose(rules: Rules) -> Choice:
    """What goes; see the module's docstring for the order."""
    survey = rules.survey
    shelf = _Shelf(rules)
    if rules.policy.size is not None:
        shelf.shrink(rules.policy.size)
    gone = sorted(set(rules.graph) - shelf.stays)
    records = sorted(set(survey.builds) - rules.records)
    things = [(thing, shelf.why(thing)) for thing in survey.things if not shelf.wanted(thing)]
    return Choice(
        results=tuple(name for name in gone if rules.graph[name].result),
        workspaces=tuple(name for name in gone if not rules.graph[name].result),
        records=tuple(records),
        things=(*(_record(rules, build) for build in records), *things),
        stays=frozenset(shelf.stays),
        kept=shelf.size,
    )


def _record(rules: Rules, build: str) -> tuple[Thing, str]:
    found = rules.survey.builds[build]
    why = f"its build ended {ago(rules.survey.now - found.ended)} (--records-days {rules.policy.records_days:g})"
    return Thing(f"builds/{build}", build, found.size), why


class _Shelf:
    """The nodes that stay, who needs whom, and the bytes of it all: what `shrink` takes from."""

    def __init__(self, rules: Rules) -> None:
        survey = rules.survey
        self._rules = rules
        self._graph = rules.graph
        self._now = survey.now
        self._held = rules.held()
        self._fixed = closed(self._held, self._graph)
        kept = {name for name, node in self._graph.items() if rules.keeps(node)}
        self.stays = closed(kept, self._graph) | self._fixed
        self._squeezed: set[str] = set()
        self._naming: dict[str, list[Node]] = {}  # of a state, layer or blob
        for node in self._graph.values():
            for name in node.names:
                self._naming.setdefault(name, []).append(node)
        self._counts: dict[str, int] = {}  # how many staying nodes name a thing
        self._needed: dict[str, int] = {}  # how many staying nodes need a node
        self._by_name: dict[str, list[Thing]] = {}
        for thing in survey.things:
            self._by_name.setdefault(thing.name, []).append(thing)
        for name in self.stays:
            self._count(name, 1)
        self.size = sum(survey.builds[build].size + survey.builds[build].workspace for build in rules.records)
        self.size += sum(thing.size for thing in survey.things if self.wanted(thing))

    def _count(self, name: str, step: int) -> None:
        node = self._graph[name]
        for thing in node.names:
            self._counts[thing] = self._counts.get(thing, 0) + step
        for other in node.needs:
            self._needed[other] = self._needed.get(other, 0) + step

    def wanted(self, thing: Thing) -> bool:
        if self._counts.get(thing.name) or thing.name in self._held:
            return True
        return thing.name not in self._naming and thing.mtime > self._rules.survey.since

    def shrink(self, size: int) -> None:
        """Take nodes away, the longest unused first and never one that another needs, until the rest fits."""
        free = [(self._graph[name].used, name) for name in self.stays - self._fixed if not self._needed.get(name)]
        heapq.heapify(free)
        while self.size > size and free:
            _when, name = heapq.heappop(free)
            node = self._graph[name]
            things = [thing for named in node.names for thing in self._by_name.get(named, ())]
            before = sum(thing.size for thing in things if self.wanted(thing))
            self.stays.discard(name)
            self._squeezed.add(name)
            self._count(name, -1)
            self.size -= before - sum(thing.size for thing in things if self.wanted(thing))
            for other in set(node.needs):
                if other in self.stays and other not in self._fixed and not self._needed[other]:
                    heapq.heappush(free, (self._graph[other].used, other))

    def why(self, thing: Thing) -> str:
        """The rule that decided about a thing that goes: about the node of its name, else the last that named it."""
        naming = self._naming.get(thing.name)
        if naming is None:
            return "nothing names it"
        node = self._graph.get(thing.name) or max(naming, key=lambda node: (node.used, node.name))
        if node.name in self._squeezed:
            return "least recently used (--size)"
        return self._why_passing(node) if node.build else self._why_result(node)

    def _why_result(self, node: Node) -> str:
        policy = self._rules.policy
        texts = []
        if policy.keep_days is not None:
            texts.append(f"last used {ago(self._now - node.used)} (--keep-days {policy.keep_days:g})")
        if policy.keep_builds is not None:
            texts.append(f"of none of the newest builds (--keep-builds {policy.keep_builds})")
        return ", ".join(texts)

    def _why_passing(self, node: Node) -> str:
        rules = self._rules
        left = f"{'tainted, of' if node.result else 'left by'} step {node.step + 1} of {node.build}"
        if node.build not in rules.records:
            return f"{left}, whose record goes"
        left = f"{left}, which ended {ago(self._now - node.used)}"
        if self._now <= rules.until(node):
            policy = rules.policy
            limits = (("--keep-days", policy.keep_days), ("--keep-builds", policy.keep_builds))
            return f"{left} ({', '.join(f'{name} {value:g}' for name, value in limits if value is not None)})"
        if node.build in rules.later and self._now > rules.until_superseded(node):
            when, build = rules.later[node.build]
            return f"{left}; {build} succeeded {ago(self._now - when)} (--superseded-days {rules.superseded_days:g})"
        return f"{left} (--failed-days {rules.failed_days:g})"
