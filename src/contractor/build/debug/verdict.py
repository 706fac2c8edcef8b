"""What several attempts at one step say about it: deterministic, flaky, or the infrastructure's fault. Pure.

Each attempt had the same plan, the same workspace and the same tree. In order:

1. An attempt that somebody stopped says nothing.
2. An attempt speaks of the machine, not of the step, when it ended as broken or unavailable; when it failed, and a
   server or the network had failed one of its requests; and when it ran out of time or memory and others did not, whose
   need was near the limit. Time is near when another took half of it. What memory all of a step's processes had
   together is not known, so memory always counts as near.
3. flaky: those that speak of the step do not all end alike.
4. infrastructure: at least one speaks of the machine (and those that speak of the step, if any, agree).
5. undecided: one attempt, or none. deterministic: two or more, and all alike.

Alike is the same outcome with the same exit code or limit; of attempts that succeeded, the same content where it is
known; of those that failed without an exit code, the same message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from contractor.core.errors import EXIT_CODES, Outcome
from contractor.core.fetch import Fetch
from contractor.core.values import Value
from contractor.core.words import count
from contractor.store.records import StepRecord

Kind = Literal["deterministic", "flaky", "infrastructure", "undecided"]

NEAR = 0.5  # of a time limit: who takes this much of it may, on a slow day, take all
FEW = 5  # attempts: as many that are alike may be luck
KILLED = 137  # 128 + SIGKILL
_BUSY = 429  # too many requests
_TIGHT = {
    "time": "the others took half of that time or more: on a busy machine it is too short",
    "memory": "either the limit is close to what the step needs, or it needs more at times",
}


class Attempt(Value, frozen=True):
    """How a step ended once. content: a digest of what it left, empty where that is not known; seconds: how long.

    trouble: a request that a server or the network failed, and how; empty when there was none.
    """

    build: str
    outcome: str
    exit_code: int | None = None
    limit: str = ""
    seconds: float = 0.0
    content: str = ""
    trouble: str = ""
    message: str = ""

    @property
    def way(self) -> tuple[str, str]:
        """How it ended, apart from content: equal for attempts that ended alike."""
        if self.outcome == Outcome.SUCCEEDED:
            return self.outcome, ""
        if self.outcome == Outcome.OUT_OF_LIMITS:
            return self.outcome, self.limit or self.message
        return self.outcome, self.message if self.exit_code is None else str(self.exit_code)

    @property
    def words(self) -> str:
        """ "succeeded", "failed with exit code 1", "out of time"."""
        if self.outcome == Outcome.OUT_OF_LIMITS:
            return f"out of {self.limit}" if self.limit else "out of limits"
        code = f" with exit code {self.exit_code}" if self.outcome == Outcome.FAILED and self.exit_code else ""
        return f"{self.outcome}{code}"


class Verdict(Value, frozen=True):
    """kind, what it is made of (each a sentence without a full stop), and the outcome that its exit code is of."""

    kind: Kind
    reasons: tuple[str, ...]
    outcome: Outcome

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


class _Sorted(NamedTuple):
    """Attempts by what they speak of; hung: those that ran out of time which the others did not come near to."""

    step: tuple[Attempt, ...]
    machine: tuple[Attempt, ...]
    tight: tuple[Attempt, ...]
    hung: tuple[Attempt, ...]


def attempt_of(build: str, step: StepRecord, content: str = "") -> Attempt:
    """What a record says of one."""
    return Attempt(
        build=build,
        outcome=step.outcome,
        exit_code=step.exit_code,
        limit=step.limit,
        seconds=step.seconds,
        content=content,
        trouble=_trouble(step.fetches),
        message=step.message,
    )


def verdict(attempts: Sequence[Attempt]) -> Verdict:
    """The rules above. The order of the attempts does not matter."""
    counted = [attempt for attempt in attempts if attempt.outcome != Outcome.ABORTED]
    if not counted:
        return Verdict("undecided", ("no attempt ran to its end",), Outcome.ABORTED)
    parts = _sorted(counted)
    if _ways(parts.step) > 1:
        return Verdict("flaky", (_tally(counted), *_of_flaky(parts)), Outcome.NOT_REPRODUCIBLE)
    if parts.machine or parts.tight:
        return Verdict("infrastructure", (_tally(counted), *_of_machine(parts)), Outcome.BROKEN)
    outcome = Outcome(counted[0].outcome)
    if len(counted) == 1:
        return Verdict("undecided", (_tally(counted), "one attempt has nothing to be compared with"), outcome)
    return Verdict("deterministic", (_tally(counted), *_of_few(counted)), outcome)


def _sorted(counted: Sequence[Attempt]) -> _Sorted:
    machine = tuple(attempt for attempt in counted if _of_the_machine(attempt))
    rest = [attempt for attempt in counted if not _of_the_machine(attempt)]
    limited = [attempt for attempt in rest if _may_be_slow(attempt)]
    others = [attempt for attempt in rest if not _may_be_slow(attempt)]
    if not others:
        return _Sorted(tuple(limited), machine, (), ())
    longest = max(attempt.seconds for attempt in others)
    hung = tuple(a for a in limited if a.limit == "time" and longest < a.seconds * NEAR)
    tight = tuple(a for a in limited if a not in hung)
    return _Sorted((*others, *hung), machine, tight, hung)


def _of_the_machine(attempt: Attempt) -> bool:
    if attempt.outcome == Outcome.FAILED:
        return bool(attempt.trouble)
    return attempt.outcome in (Outcome.BROKEN, Outcome.UNAVAILABLE)


def _may_be_slow(attempt: Attempt) -> bool:
    return attempt.outcome == Outcome.OUT_OF_LIMITS and attempt.limit in ("time", "memory")


def _ways(attempts: Iterable[Attempt]) -> int:
    """In how many ways they ended; an unknown content is like any."""
    ways = {attempt.way for attempt in attempts}
    contents = {attempt.content for attempt in attempts if attempt.outcome == Outcome.SUCCEEDED and attempt.content}
    return len(ways) + max(0, len(contents) - 1)


def _tally(counted: Sequence[Attempt]) -> str:
    """ "of 4 attempts 3 succeeded, 1 failed with exit code 1"."""
    words = sorted((attempt.words for attempt in counted), key=lambda word: (word != Outcome.SUCCEEDED, word))
    parts = [f"{words.count(word)} {_verb(word, one=words.count(word) == 1)}" for word in dict.fromkeys(words)]
    if len(parts) == 1:
        who = {1: "the one attempt", 2: "both attempts"}.get(len(words), f"all {len(words)} attempts")
        return f"{who} {_verb(words[0], one=len(words) == 1)}"
    return f"of {count(len(counted), 'attempt')} {', '.join(parts)}"


def _verb(words: str, *, one: bool = False) -> str:
    if words.startswith("out of"):
        return f"ran {words}"
    verbs = {"broken": "broke", "rejected": "was rejected" if one else "were rejected"}
    first, _, rest = words.partition(" ")
    return f"{verbs.get(first, first)} {rest}".rstrip()


def _of_flaky(parts: _Sorted) -> Iterable[str]:
    done = [attempt for attempt in parts.step if attempt.outcome == Outcome.SUCCEEDED]
    contents = {attempt.content for attempt in done if attempt.content}
    if len(contents) > 1:
        yield f"those that succeeded left different files, in {len(contents)} ways"
    if parts.hung:
        yield "the others took less than half of that time, so it is no slow machine: the step hangs at times"
    if any(attempt.outcome == Outcome.FAILED and attempt.exit_code == KILLED for attempt in parts.step):
        yield "exit code 137 is a kill: if no program of the step does that, the machine's memory was full"
    if parts.machine:
        yield f"{count(len(parts.machine), 'attempt')} met trouble of the machine or the network: no part of this"


def _of_machine(parts: _Sorted) -> Iterable[str]:
    said = [attempt.message or attempt.words for attempt in parts.machine if attempt.outcome != Outcome.FAILED]
    said += [f"a request failed: {attempt.trouble}" for attempt in parts.machine if attempt.trouble]
    yield from dict.fromkeys(said)
    for limit in sorted({attempt.limit for attempt in parts.tight}):
        yield _TIGHT[limit]
    if parts.step:
        step = parts.step[0]
        own = "" if step.outcome == Outcome.SUCCEEDED else ": that is its own doing"
        yield f"wherever the machine let it, the step {_verb(step.words, one=True)}{own}"


def _of_few(counted: Sequence[Attempt]) -> Iterable[str]:
    if counted[0].outcome == Outcome.SUCCEEDED:
        known = [attempt for attempt in counted if attempt.content]
        if len(known) > 1:
            yield "they left the same files"
        if len(counted) <= FEW:
            odds = round(100 * 0.9 ** len(counted))
            yield f"a step that fails in one of 10 runs would have passed {len(counted)} with a probability of {odds} %"


def _trouble(fetches: Sequence[Fetch]) -> str:
    """The first request that was never answered as it should, and not for the step's own doing."""
    last = {(fetch.method, fetch.url): fetch for fetch in fetches}  # a later answer to the same request counts
    for fetch in last.values():
        if fetch.verdict == "failed" and fetch.reason != "the step ended" and "the client" not in fetch.reason:
            return f"{fetch.url}: {fetch.reason or 'no answer'}"
        if fetch.verdict == "allowed" and (fetch.status >= 500 or fetch.status == _BUSY):
            return f"{fetch.url}: {fetch.status}"
    return ""
