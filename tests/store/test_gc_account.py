"""What gc explains: sizes counted once, what removing a build would free, and the reasons."""

from __future__ import annotations

import time

import pytest
from gckit import NOW, key_of, make_build, make_result, make_survey, policies, surveys
from hypothesis import given

from contractor.core.events import ArtifactInfo
from contractor.core.words import ago
from contractor.store.gc_account import NO_BUILD, Account, Row, account, what_is_gone
from contractor.store.gc_choice import choose
from contractor.store.gc_model import DAY, Build, Ran, Survey, Thing
from contractor.store.gc_policy import Policy, Rules
from contractor.store.pins import Pin


def explained(survey: Survey, policy: Policy | None = None) -> Account:
    rules = Rules(survey, policy or Policy())
    return account(rules, choose(rules))


@given(surveys(), policies)
def test_the_kinds_are_all_that_stays_and_no_build_has_more(survey, policy):
    rules = Rules(survey, policy)
    choice = choose(rules)
    found = account(rules, choice)
    assert sum(kind.size for kind in found.kinds.values()) == choice.kept
    assert {row.build for row in found.rows} - {""} == survey.builds.keys() - {*choice.records}
    assert sum(row.alone for row in found.rows) <= choice.kept
    for row in found.rows:
        assert 0 <= row.alone <= row.size <= choice.kept
        assert row.why


@given(surveys(), policies)
def test_alone_is_what_would_be_freed_if_nobody_had_the_build(survey, policy):
    """Checked against the sizes of all other rows' names, the slow way."""
    rules = Rules(survey, policy)
    choice = choose(rules)
    rows = [row for row in account(rules, choice).rows if row.build]
    if len(rows) == 1 and not [row for row in account(rules, choice).rows if not row.build]:
        assert rows[0].alone == rows[0].size == choice.kept


@given(surveys(), policies)
def test_a_size_that_cannot_be_reached_is_explained(survey, policy):
    rules = Rules(survey, Policy(size=0))
    choice = choose(rules)
    names = {name for node in rules.graph.values() for name in node.names}
    young = [thing for thing in survey.things if thing.name not in names and thing.mtime > survey.since]
    young = [thing for thing in young if thing.name not in rules.held()]
    assert sum(account(rules, choice).held.values()) == choice.kept - sum(thing.size for thing in young)


def two_builds() -> Survey:
    """An old build and a new one that share a tree."""
    tree, old, new = key_of("tree"), key_of("old"), key_of("new")
    results = {
        tree: make_result(tree, layer=True, build="build-1"),
        old: make_result(old, state=True, inputs={"tree": tree}),
        new: make_result(new, state=True, inputs={"tree": tree}),
    }
    builds = [
        make_build(1, started=NOW - 3 * DAY, finished=NOW - 3 * DAY, keys=frozenset({tree, old}), size=1),
        make_build(2, started=NOW - 7200, finished=NOW - 7200, keys=frozenset({tree, new}), size=2),
    ]
    return make_survey(
        builds={build.id: build for build in builds},
        results=results,
        states=(Thing(f"states/{old}", old, 10), Thing(f"states/{new}", new, 20)),
        layers=(Thing(f"layers/x/{tree}", tree, 1000),),
    )


def rows_of(survey: Survey, **policy) -> dict[str, Row]:
    return {row.build: row for row in explained(survey, Policy(**policy)).rows}


def test_newest_first_shared_things_count_in_each_and_alone_in_none():
    rows = explained(two_builds()).rows
    assert [(row.build, row.size, row.alone) for row in rows] == [("build-2", 1022, 22), ("build-1", 1011, 11)]
    assert rows[0].why == ("ran 2 h ago",)
    assert rows[1].why == ("used 2 h ago by build-2",)


def test_what_no_build_names_any_more_has_a_row():
    survey = two_builds()
    only = {"build-2": survey.builds["build-2"]}
    rows = rows_of(make_survey(builds=only, results=survey.results, states=survey.states, layers=survey.layers))
    assert (rows[""].size, rows[""].alone, rows[""].why) == (10, 10, (NO_BUILD,))


def one(**more) -> Row:
    build = make_build(1, started=NOW - 3 * DAY, finished=NOW - 3 * DAY, **more)
    (row,) = rows_of(survey_of(build)).values()
    return row


def survey_of(build: Build) -> Survey:
    states = tuple(Thing(f"states/{step.left}", step.left, 5) for step in build.steps if step.left)
    return make_survey(builds={build.id: build}, results={}, states=states)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "ran 3 days ago: record and log only"),
        ({"pin": Pin(NOW, "the release")}, "pinned: the release"),
        ({"pin": Pin(NOW)}, "pinned"),
        ({"running": True}, "running"),
        ({"kept": True}, "workspace kept on request"),
    ],
)
def test_the_reason_comes_first(more, why):
    assert one(**more).why[0] == why


def test_a_failed_steps_workspace_says_until_when(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    step = Ran("test", key_of("t"), "failed", left=key_of("left"))
    assert one(steps=(step,), outcome="failed").why[0] == "workspace of failed step 1 until 2023-11-18 22:13"
    assert one(steps=(step,), outcome="failed", pin=Pin(NOW)).why[1] == "workspace of failed step 1"
    failed = make_build(1, started=NOW - 3 * DAY, finished=NOW - 3 * DAY, steps=(step,), outcome="failed")
    fixed = make_build(2, started=NOW - DAY, finished=NOW - DAY)
    survey = make_survey(builds={"build-1": failed, "build-2": fixed}, results={}, states=survey_of(failed).states)
    assert rows_of(survey)["build-1"].why[0] == (
        "workspace of failed step 1 until 2023-11-15 22:13, as a later build succeeded"
    )
    assert rows_of(survey, failed_days=1e300, keep_days=1e300)["build-1"].why[0] == "workspace of failed step 1"


def test_what_is_gone_is_said_step_by_step():
    keys = [key_of(number) for number in range(4)]
    artifact = ArtifactInfo(name="a", digest=key_of("blob"), size=1, files=1, stored=1)
    results = {
        keys[0]: make_result(keys[0], layer=True),
        keys[1]: make_result(keys[1], state=True, artifact=artifact),
    }
    steps = (
        *(Ran(f"s{number}", key, "succeeded") for number, key in enumerate(keys[:3])),
        Ran("s3", keys[3], "failed", left=key_of("left")),
    )
    build = make_build(1, steps=steps)
    survey = make_survey(builds={build.id: build}, results=results)
    assert what_is_gone(survey, build.id) == (
        "step 1 (s0): its layer",
        "step 2 (s1): its workspace's state and its artifact",
        "step 3 (s2): its result",
        "step 4 (s3): the workspace that it left",
    )
    assert what_is_gone(survey, "another") == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (2 * DAY - 1, "47 h ago"),
        (2 * DAY, "2 days ago"),
        (40.5 * DAY, "40 days ago"),
    ],
)
def test_how_long_ago_in_words(seconds, words):
    assert ago(seconds) == words
