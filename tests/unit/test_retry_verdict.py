"""What several attempts say about a step: the rules as examples, and what holds for any attempts."""

from __future__ import annotations

import msgspec
import pytest
from cli_store import step
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.debug.verdict import Attempt, attempt_of, verdict
from contractor.core.fetch import Fetch

GOOD = Attempt("b", "succeeded", exit_code=0, seconds=2.0, content="aa")
OTHER = msgspec.structs.replace(GOOD, content="bb")
UNKNOWN = msgspec.structs.replace(GOOD, content="")
BAD = Attempt("b", "failed", exit_code=1, seconds=2.0)
WORSE = msgspec.structs.replace(BAD, exit_code=2)
MIRROR = msgspec.structs.replace(BAD, trouble="http://mirror/x: 503")
BROKEN = Attempt("b", "broken", message="the mirror did not answer")
SLOW = Attempt("b", "out-of-limits", exit_code=137, limit="time", seconds=3.0)
HUNG = msgspec.structs.replace(SLOW, seconds=60.0)
HUNGRY = Attempt("b", "out-of-limits", exit_code=137, limit="memory", seconds=1.0)
FULL = Attempt("b", "out-of-limits", exit_code=1, limit="disk", seconds=1.0)
STOPPED = Attempt("b", "aborted")


@pytest.mark.parametrize(
    ("attempts", "kind", "code"),
    [
        ([GOOD, GOOD], "deterministic", 0),
        ([GOOD, UNKNOWN, GOOD], "deterministic", 0),
        ([BAD, BAD, BAD], "deterministic", 1),
        ([SLOW, SLOW], "deterministic", 4),
        ([FULL, FULL], "deterministic", 4),
        ([GOOD, BAD], "flaky", 3),
        ([BAD, WORSE], "flaky", 3),
        ([GOOD, OTHER], "flaky", 3),
        ([GOOD, FULL], "flaky", 3),
        ([SLOW, HUNGRY], "flaky", 3),
        ([BROKEN, GOOD, BAD], "flaky", 3),
        ([BROKEN, BROKEN], "infrastructure", 6),
        ([BROKEN], "infrastructure", 6),
        ([BROKEN, GOOD], "infrastructure", 6),
        ([BROKEN, BAD, BAD], "infrastructure", 6),
        ([MIRROR, GOOD, GOOD], "infrastructure", 6),
        ([MIRROR, MIRROR], "infrastructure", 6),
        ([SLOW, GOOD], "infrastructure", 6),
        ([HUNG, GOOD], "flaky", 3),
        ([HUNGRY, GOOD, GOOD], "infrastructure", 6),
        ([HUNGRY, GOOD, BAD], "flaky", 3),
        ([GOOD], "undecided", 0),
        ([BAD, STOPPED], "undecided", 1),
        ([STOPPED], "undecided", 130),
        ([], "undecided", 130),
    ],
)
def test_rules(attempts: list[Attempt], kind: str, code: int) -> None:
    found = verdict(attempts)
    assert (found.kind, found.exit_code) == (kind, code), found.reasons


def test_failures_without_an_exit_code_are_alike_by_what_they_say() -> None:
    lacks = Attempt("b", "failed", message="the artifact lacks files")
    assert verdict([lacks, lacks]).kind == "deterministic"
    assert verdict([lacks, msgspec.structs.replace(lacks, message="it would be empty")]).kind == "flaky"


@pytest.mark.parametrize(
    ("attempts", "words"),
    [
        ([GOOD, GOOD, BAD], "of 3 attempts 2 succeeded, 1 failed with exit code 1"),
        ([BAD, BAD], "both attempts failed with exit code 1"),
        ([SLOW, SLOW, SLOW], "all 3 attempts ran out of time"),
        ([GOOD, OTHER], "those that succeeded left different files, in 2 ways"),
        ([HUNG, GOOD], "the step hangs at times"),
        ([BAD, msgspec.structs.replace(BAD, exit_code=137)], "exit code 137 is a kill"),
        ([SLOW, GOOD], "on a busy machine it is too short"),
        ([MIRROR, GOOD], "a request failed: http://mirror/x: 503"),
        ([BROKEN, BAD], "wherever the machine let it, the step failed with exit code 1: that is its own doing"),
        ([GOOD, GOOD, GOOD], "would have passed 3 with a probability of 73 %"),
    ],
)
def test_reasons_in_words(attempts: list[Attempt], words: str) -> None:
    assert any(words in reason for reason in verdict(attempts).reasons), verdict(attempts).reasons


def fetch(**more) -> Fetch:
    return Fetch(**{"method": "GET", "url": "http://mirror/x", "verdict": "allowed", "status": 200, **more})


@pytest.mark.parametrize(
    ("fetches", "trouble"),
    [
        ([fetch(status=503)], "http://mirror/x: 503"),
        ([fetch(status=429)], "http://mirror/x: 429"),
        ([fetch(verdict="failed", status=502, reason="no address")], "http://mirror/x: no address"),
        ([fetch(status=404)], ""),
        ([fetch(verdict="refused", status=403, reason="not allowed")], ""),
        ([fetch(status=503), fetch()], ""),
        ([fetch(verdict="failed", reason="the step ended")], ""),
        ([fetch(verdict="failed", reason="sending to the client failed: Broken pipe")], ""),
    ],
)
def test_what_counts_as_trouble_of_the_network(fetches: list[Fetch], trouble: str) -> None:
    assert attempt_of("b", step("Fetch", "failed", exit_code=1, fetches=tuple(fetches))).trouble == trouble


ATTEMPTS = st.builds(
    Attempt,
    build=st.just("b"),
    outcome=st.sampled_from(
        ["succeeded", "failed", "rejected", "out-of-limits", "unavailable", "broken", "aborted", "not-reproducible"]
    ),
    exit_code=st.sampled_from([None, 0, 1, 2, 137]),
    limit=st.sampled_from(["", "time", "memory", "disk", "processes"]),
    seconds=st.floats(0, 100),
    content=st.sampled_from(["", "aa", "bb"]),
    trouble=st.sampled_from(["", "http://mirror/x: 503"]),
    message=st.sampled_from(["", "no", "not at all"]),
)
MANY = st.lists(ATTEMPTS, max_size=6)


@given(MANY, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(attempts: list[Attempt], random) -> None:
    shuffled = random.sample(attempts, len(attempts))
    one, other = verdict(attempts), verdict(shuffled)
    assert (one.kind, one.outcome, set(one.reasons)) == (other.kind, other.outcome, set(other.reasons))


@given(MANY)
def test_a_stopped_attempt_says_nothing(attempts: list[Attempt]) -> None:
    assert verdict([*attempts, STOPPED]) == verdict(attempts)


@given(ATTEMPTS, st.integers(2, 6))
def test_the_same_again_and_again_is_never_flaky(attempt: Attempt, times: int) -> None:
    assert verdict([attempt] * times).kind in ("deterministic", "infrastructure", "undecided")


@given(MANY)
def test_deterministic_means_that_all_ended_alike(attempts: list[Attempt]) -> None:
    if verdict(attempts).kind == "deterministic":
        counted = [attempt for attempt in attempts if attempt.outcome != "aborted"]
        assert len({attempt.way for attempt in counted}) == 1 < len(counted)
        assert len({attempt.content for attempt in counted if attempt.content} if counted[0].way[1] == "" else "") <= 1


@given(MANY, st.integers(1, 3))
def test_trouble_of_the_machine_never_makes_a_step_flaky_nor_heals_it(attempts: list[Attempt], times: int) -> None:
    before, after = verdict(attempts).kind, verdict([*attempts, *[BROKEN] * times]).kind
    assert after == ("flaky" if before == "flaky" else "infrastructure")


@given(MANY)
def test_there_is_always_a_reason_and_a_code_of_the_table(attempts: list[Attempt]) -> None:
    found = verdict(attempts)
    assert all(found.reasons)
    assert found.exit_code in (0, 1, 2, 3, 4, 6, 130)
    assert (found.kind == "flaky") == (found.exit_code == 3) or found.outcome == "not-reproducible"
    assert found.kind != "infrastructure" or found.exit_code == 6
