"""What gc keeps and for how long: the one place where the defaults are, and the rules in words.

    results                 stay, unless a limit is given: then those used in the last --keep-days days, or by one of
                            the newest --keep-builds builds; with --size the least recently used go until the rest fits
    workspaces that         --failed-days days (7), and --superseded-days (2) from when a later build of the same name
    failed steps left       succeeded; with --keep-days or --keep-builds these decide, as for results. The same holds
                            for what was made after a shell had changed something: no other build finds that
    records and logs        stay, unless --records-days is given; with a record goes what its failed steps left
    pinned builds           stay with all that they need, whatever the other rules say
    what runs               stays with all that it needs
    what a lock names       stays as long as the lock that was written with this store is there (lock_roots.py)
    what nothing names      goes after an hour, or when the builds have ended that ran when it was made: until then it
                            may be about to get its name

What stays keeps what it needs, so each rule can only be told for what it decides about itself.
"""

from __future__ import annotations

from contractor.core.values import Value
from contractor.spec.quantities import size_text
from contractor.store.gc_model import (
    DAY,
    Build,
    Node,
    Survey,
    closed,
    last_uses,
    newest,
    nodes,
    own_names,
    succeeded_later,
)

FAILED_DAYS = 7.0
SUPERSEDED_DAYS = 2.0
YOUNG = 3600.0  # seconds: what nobody names yet may be about to get its name


class Policy(Value, frozen=True):
    """size: bytes that the store may have. The others are numbers of days or builds; None: not given."""

    size: int | None = None
    keep_days: float | None = None
    keep_builds: int | None = None
    failed_days: float | None = None
    superseded_days: float | None = None
    records_days: float | None = None

    @property
    def keeps_some(self) -> bool:
        """Whether something is said about which results are to stay."""
        return self.keep_days is not None or self.keep_builds is not None

    @property
    def options(self) -> str:
        """As one would give it to `contractor gc`."""
        given = {
            "--keep-days": self.keep_days,
            "--keep-builds": self.keep_builds,
            "--failed-days": self.failed_days,
            "--superseded-days": self.superseded_days,
            "--records-days": self.records_days,
        }
        words = [f"{name} {value:g}" for name, value in given.items() if value is not None]
        return " ".join(([f"--size {size_text(self.size)}"] if self.size is not None else []) + words)


class Rules:
    """A policy applied to what is in a store. graph: all nodes by name; records: the builds whose record stays."""

    def __init__(self, survey: Survey, policy: Policy) -> None:
        self.survey = survey
        self.policy = policy
        self.graph = nodes(survey)
        self.later = succeeded_later(survey)
        self.newest = newest(survey, policy.keep_builds) if policy.keep_builds is not None else frozenset()
        self._recent = frozenset().union(*(survey.builds[build].keys for build in self.newest))
        self.failed_days = self._days(policy.failed_days, FAILED_DAYS)
        self.superseded_days = self._days(policy.superseded_days, SUPERSEDED_DAYS)
        self.running = closed(survey.live, self.graph)
        self.log_of: dict[str, str] = {}  # a build that shows another's log as that of its own step
        self.records = self._records()
        self.last = last_uses(survey.builds[build] for build in self.records)

    def _days(self, given: float | None, default: float) -> float:
        """The default holds as long as nothing else is said about what stays."""
        return given if given is not None else float("inf") if self.policy.keeps_some else default

    def _records(self) -> frozenset[str]:
        """The builds whose record stays: also those that ran the steps of another that stays, for their logs."""
        builds = self.survey.builds
        used = {self.survey.results[key].build for key in self.running if key in self.survey.results}
        waiting = [build.id for build in builds.values() if self.record_stays(build) or build.id in used]
        found: set[str] = set()
        while waiting:
            build = waiting.pop()
            if build in builds and build not in found:
                found.add(build)
                others = [*builds[build].bases, *(step.made_by for step in builds[build].steps)]
                self.log_of.update(dict.fromkeys(others, build))
                waiting += others
        return frozenset(found)

    def record_stays(self, build: Build) -> bool:
        """Whether a build's record stays for its own sake."""
        days = self.policy.records_days
        stays = build.running or build.pin is not None or build.kept
        return stays or days is None or build.ended >= self.survey.now - days * DAY

    def held(self) -> frozenset[str]:
        """The names that stay whatever the limits: what pinned builds, running ones and locks need."""
        pinned = [own_names(build) for build in self.survey.builds.values() if build.pin is not None]
        return self.survey.live.union(*pinned, *self.survey.locked.values())

    def keeps(self, node: Node) -> bool:
        """Whether a node stays for its own sake; what others need stays as well."""
        if node.build:
            return self._keeps_passing(node)
        if not self.policy.keeps_some:
            return True
        return self.within(node) or node.name in self._recent

    def within(self, node: Node) -> bool:
        """Whether it was used in the days that were given."""
        days = self.policy.keep_days
        return days is not None and node.used >= self.survey.now - days * DAY

    def _keeps_passing(self, node: Node) -> bool:
        if node.build not in self.records or self.survey.now > self.until(node):
            return False
        return not self.policy.keeps_some or self.within(node) or node.build in self.newest

    def until(self, node: Node) -> float:
        """When the days of something passing end, in seconds since the epoch; infinite without such a rule."""
        end = node.used + self.failed_days * DAY
        return min(end, self.until_superseded(node)) if node.build in self.later else end

    def until_superseded(self, node: Node) -> float:
        """The same for one that a later build made up for, by the rule for those alone."""
        return self.later[node.build][0] + self.superseded_days * DAY
