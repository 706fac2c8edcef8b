"""The choice of gc: whatever the rules, nothing goes that something which stays needs."""

from __future__ import annotations

import pytest
from gckit import NOW, key_of, make_build, make_result, make_survey, policies, surveys
from hypothesis import given
from hypothesis import strategies as st

from contractor.store.gc_choice import Choice, choose
from contractor.store.gc_model import DAY, Ran, Survey, Thing, closed, digests, needs, nodes, own_names
from contractor.store.gc_policy import FAILED_DAYS, SUPERSEDED_DAYS, Policy, Rules
from contractor.store.pins import Pin


def chosen(survey: Survey, policy: Policy) -> Choice:
    return choose(Rules(survey, policy))


def gone_names(choice: Choice) -> set[str]:
    return {thing.name for thing, _why in choice.things if thing.kind != "builds"}


@given(surveys(), policies)
def test_nothing_that_a_kept_result_names_goes(survey, policy):
    choice = chosen(survey, policy)
    gone = gone_names(choice)
    kept = {key: result for key, result in survey.results.items() if key not in choice.results}
    for key, result in kept.items():
        assert key not in gone
        assert not digests(result) & gone
        for other in needs(result):
            assert other not in gone
            assert other in kept or other not in survey.results


@given(surveys(), policies)
def test_a_failed_steps_workspace_stays_with_what_it_is_on_top_of_or_goes_itself(survey, policy):
    choice = chosen(survey, policy)
    gone = gone_names(choice)
    for build in survey.builds.values():
        for step in build.steps:
            if step.left:
                assert (step.left in gone) == (step.left in choice.workspaces)
            if step.left and step.left not in gone:
                below = [step.before, *step.layers]
                assert not gone.intersection(below)
                assert not set(choice.results).intersection(closed(below, nodes(survey)))


@given(surveys(), policies)
def test_what_pinned_builds_need_stays_whatever_the_rules(survey, policy):
    choice = chosen(survey, policy)
    graph = nodes(survey)
    for build in survey.builds.values():
        if build.pin is not None:
            assert build.id not in choice.records
            assert not {step.made_by for step in build.steps}.intersection(choice.records)
            names = own_names(build)
            needed = closed(names, graph)
            assert not needed.intersection([*choice.results, *choice.workspaces])
            assert not names.union(*(graph[name].names for name in needed)) & gone_names(choice)


@given(surveys(), policies)
def test_what_a_running_build_uses_stays_with_all_that_it_needs(survey, policy):
    choice = chosen(survey, policy)
    assert not survey.live & gone_names(choice)
    assert closed(survey.live, nodes(survey)) <= choice.stays
    assert not {build.id for build in survey.builds.values() if build.running or build.kept} & {*choice.records}


@given(surveys(), policies)
def test_the_log_of_a_step_stays_with_the_builds_that_show_it(survey, policy):
    gone = {*chosen(survey, policy).records}
    for build in survey.builds.values():
        if build.id not in gone:
            assert not gone.intersection(step.made_by for step in build.steps)


@given(surveys(), policies)
def test_the_sizes_add_up(survey, policy):
    choice = chosen(survey, policy)
    everything = sum(thing.size for thing in survey.things) + sum(build.size for build in survey.builds.values())
    assert choice.kept + choice.freed == everything
    assert choice.stays | {*choice.results, *choice.workspaces} == nodes(survey).keys()


@given(surveys())
def test_without_a_limit_no_result_and_no_record_goes(survey):
    choice = chosen(survey, Policy())
    assert choice.records == ()
    assert all(nodes(survey)[key].build for key in choice.results)  # but those that a shell had tainted
    named = set(survey.live).union(*(nodes(survey)[name].names for name in choice.stays))
    named = named.union(*(own_names(build) for build in survey.builds.values() if build.pin is not None))
    known = set().union(*(node.names for node in nodes(survey).values()))
    gone = {thing.path for thing, _why in choice.things}
    for thing in survey.things:
        young = thing.mtime > survey.since and thing.name not in known
        assert (thing.path in gone) == (thing.name not in named and not young)


@given(surveys(), st.integers(0, 8000))
def test_a_size_is_reached_or_only_what_must_stay_is_left(survey, size):
    choice = chosen(survey, Policy(size=size))
    if choice.kept > size:
        assert choice.stays == closed(Rules(survey, Policy()).held(), nodes(survey))


@given(surveys(), policies)
def test_every_reason_names_a_rule_that_was_given(survey, policy):
    choice = chosen(survey, policy)
    given_ = policy.options + " --failed-days --superseded-days"
    for _thing, why in choice.things:
        assert why
        for word in why.replace("(", " ").replace(")", " ").split():
            if word.startswith("--"):
                assert word in given_


def states_of(*keys: str) -> tuple[Thing, ...]:
    return tuple(Thing(f"states/{key}", key, 10, 0.0) for key in keys)


def test_the_least_recently_used_goes_first_and_a_use_counts():
    old, used, new = key_of("old"), key_of("used"), key_of("new")
    results = {
        old: make_result(old, finished=NOW - 100, state=True),
        used: make_result(used, finished=NOW - 200, state=True),
        new: make_result(new, finished=NOW - 50, state=True),
    }
    build = make_build(1, started=NOW - 1, keys=frozenset({used}))
    survey = make_survey(builds={build.id: build}, results=results, states=states_of(*results))
    choice = chosen(survey, Policy(size=25))
    assert choice.results == (old,)
    assert [why for _thing, why in choice.things] == ["least recently used (--size)"]
    assert set(chosen(survey, Policy(size=10)).results) == {old, new}


def test_keep_days_and_keep_builds_each_keep_and_the_reason_says_which():
    first, second, third = key_of(1), key_of(2), key_of(3)
    results = {
        first: make_result(first, finished=NOW - 10 * DAY, state=True),
        second: make_result(second, finished=NOW - 20 * DAY, state=True),
        third: make_result(third, finished=NOW - 30 * DAY, state=True),
    }
    build = make_build(1, started=NOW - 30 * DAY, finished=0.0, keys=frozenset({third}))
    survey = make_survey(builds={build.id: build}, results=results, states=states_of(*results))
    choice = chosen(survey, Policy(keep_days=15, keep_builds=1))
    assert choice.results == (second,)
    ((_thing, why),) = choice.things
    assert why == "last used 20 days ago (--keep-days 15), of none of the newest builds (--keep-builds 1)"


def failed(number: int, days: float, **more):
    step = Ran("test", key_of(f"t{number}"), "failed", left=key_of(f"left{number}"))
    moment = NOW - days * DAY
    return make_build(number, outcome="failed", started=moment, finished=moment, steps=(step,), **more)


def lost(builds, **policy) -> list[str]:
    """Why the workspaces of failed steps go, for those that do."""
    states = states_of(*(step.left for build in builds for step in build.steps if step.left))
    survey = make_survey(builds={build.id: build for build in builds}, results={}, states=states)
    return [why for thing, why in chosen(survey, Policy(**policy)).things if thing.kind == "states"]


def test_a_failed_builds_workspace_stays_a_week():
    assert lost([failed(1, FAILED_DAYS - 0.1)]) == []
    assert lost([failed(1, FAILED_DAYS + 1)]) == ["left by step 1 of build-1, which ended 8 days ago (--failed-days 7)"]


def test_two_days_after_a_later_success_it_goes():
    fixed = make_build(2, started=NOW - SUPERSEDED_DAYS * DAY - 60, finished=NOW - SUPERSEDED_DAYS * DAY - 30)
    assert lost([failed(1, 3), fixed]) == [
        "left by step 1 of build-1, which ended 3 days ago; build-2 succeeded 2 days ago (--superseded-days 2)"
    ]
    just = make_build(2, started=NOW - DAY, finished=NOW - DAY)
    assert lost([failed(1, 3), just]) == []
    assert lost([failed(1, 3), just], superseded_days=0.5) != []


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other"},
        {"matrix": {"arch": "arm64"}},
        {"whole": False},
        {"outcome": "failed"},
        {"started": NOW - 9 * DAY},
    ],
)
def test_only_a_later_whole_success_of_the_same_name_supersedes(other):
    values = {"started": NOW - 2.5 * DAY, "finished": NOW - 2.5 * DAY, **other}
    assert lost([failed(1, 3), make_build(2, **values)]) == []


def test_with_keep_rules_those_decide_about_workspaces():
    assert lost([failed(1, 20)], keep_days=30) == []
    assert lost([failed(1, 20)], keep_builds=1) == []
    assert lost([failed(1, 20)], keep_days=10) == [
        "left by step 1 of build-1, which ended 20 days ago (--keep-days 10)"
    ]
    assert lost([failed(1, 20)], keep_days=30, failed_days=5) != []


def test_a_workspace_goes_with_its_record():
    assert lost([failed(1, 3)], records_days=2) == ["left by step 1 of build-1, whose record goes"]
    assert lost([failed(1, 3, kept=True)], records_days=2) == []


def test_a_pin_keeps_it_for_ever():
    pinned = failed(1, 400, pin=Pin(NOW))
    assert lost([pinned], size=0, keep_days=1, failed_days=0, records_days=1) == []


def test_what_a_shell_tainted_goes_like_a_failed_builds_workspace():
    clean, shell, made = key_of("clean"), key_of("shell"), key_of("made")
    old = NOW - 8 * DAY
    results = {
        clean: make_result(clean, state=True, inputs={"env": {}}),
        shell: make_result(shell, state=True, before=clean, build="build-1", finished=old),
        made: make_result(made, state=True, before=shell, build="build-1", inputs={"workspace": shell}, finished=old),
    }
    steps = (Ran("first", clean, "succeeded"), Ran("second", made, "succeeded", before=shell, tainted=True))
    build = make_build(1, started=old, finished=old, steps=steps, keys=frozenset(results))
    survey = make_survey(builds={build.id: build}, results=results, states=states_of(*results))
    choice = chosen(survey, Policy())
    assert set(choice.results) == {shell, made}
    assert {why for _thing, why in choice.things} == {
        "tainted, of step 2 of build-1, which ended 8 days ago (--failed-days 7)"
    }
    assert chosen(survey, Policy(failed_days=9)).results == ()
