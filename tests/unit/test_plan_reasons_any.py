"""Differences, script diffs and alignments of any input: nothing is invented, nothing is lost."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from contractor.core.digest import canonical
from contractor.plan.align import Known, align, inverse, moved
from contractor.plan.causes import Explanation
from contractor.plan.changes import Change, differences, hunks, items, lines_of, unified
from contractor.plan.words import brief, sentence, worth_telling

VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.lists(st.text(max_size=2), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
INPUTS = st.dictionaries(
    st.sampled_from(["action", "env", "hosts", "source", "epoch", "tree", "script", "kind"]), VALUES, max_size=6
)
LINES = st.lists(st.sampled_from(["a", "b", "c", "", "make"]), max_size=12)
STEPS = st.lists(
    st.builds(
        Known,
        st.sampled_from(["k1", "k2", "k3", "k4"]),
        st.sampled_from("xyz"),
        st.sampled_from(["shell", "apt"]),
        st.sampled_from(["make", "make all", "ls"]),
    ),
    max_size=8,
)


def path_of(change: Change) -> tuple[str, ...]:
    return (change.input, *filter(None, change.name.split(".")))


def value_at(inputs, path):
    for name in path:
        if not isinstance(inputs, dict) or name not in inputs:
            return None
        inputs = inputs[name]
    return inputs


@given(INPUTS)
def test_nothing_differs_from_itself(inputs):
    assert differences(inputs, inputs) == ()
    assert sentence(Explanation()) == ""


@given(INPUTS, INPUTS)
def test_each_difference_is_real_and_told_once(old, new):
    paths = []
    for change in differences(old, new):
        paths.append(path_of(change))
        assert value_at(old, paths[-1]) == change.before
        assert value_at(new, paths[-1]) == change.after
        assert repr(change.before) != repr(change.after)
    assert len(set(paths)) == len(paths)


@given(INPUTS, INPUTS)
def test_nothing_is_left_out_for_differences_turn_the_one_into_the_other(old, new):
    made = {name: dict(value) if isinstance(value, dict) else value for name, value in old.items()}
    for change in differences(old, new):
        *folders, last = path_of(change)
        place = made
        for name in folders:
            place[name] = dict(place[name])
            place = place[name]
        if change.how == "removed":
            assert place.pop(last) == change.before
        else:
            place[last] = change.after
    assert canonical(made) == canonical(new)


@given(INPUTS, INPUTS)
def test_every_difference_has_words_of_one_short_line(old, new):
    found = differences(old, new)
    for change in found:
        assert brief(change)
        assert len(brief(change)) < 400
    assert all(change in found for change in worth_telling(found))
    assert bool(sentence(Explanation(found))) == bool(found)


@given(LINES, LINES)
def test_a_script_diff_gives_the_new_script(old, new):
    before, after = "\n".join(old), "\n".join(new)
    made, at = [], 0
    source = lines_of(before)
    for line in unified(before, after):
        heading = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line)
        if heading:
            start = int(heading[1]) - (heading[2] != "0")
            made += source[at:start]
            at = start
            assert len(made) == int(heading[3]) - (heading[4] != "0")
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert source[at] == line[1:]
            made += [line[1:]] if line[0] == " " else []
            at += 1
    assert made + source[at:] == lines_of(after)


@given(LINES, LINES)
def test_hunks_name_lines_that_exist_and_only_where_something_differs(old, new):
    before, after = "\n".join(old), "\n".join(new)
    found = hunks(before, after)
    assert bool(found) == (lines_of(before) != lines_of(after))
    for hunk in found:
        lines = lines_of(before if hunk.how == "removed" else after)
        assert 1 <= hunk.first <= hunk.last <= len(lines)


def test_a_huge_script_is_one_change():
    old = "\n".join(f"line {n % 7}" for n in range(200_000))
    new = "\n".join(f"line {n % 5}" for n in range(200_000))
    (hunk,) = hunks(old, new)
    assert (hunk.how, hunk.first) == ("changed", 6)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_items_that_came_and_went(before, after):
    added, removed = items(before, after)
    assert sorted([*before, *added]) == sorted([*after, *removed])
    assert not set(added) & set(removed)


@given(STEPS, STEPS)
def test_an_alignment_pairs_each_step_once_and_only_with_its_kind(new, old):
    found = align(new, old)
    paired = [other for other in found if other >= 0]
    assert len(set(paired)) == len(paired)
    for position, other in enumerate(found):
        assert other < 0 or new[position].key == old[other].key or new[position].kind == old[other].kind
    keys = {step.key for step in old}
    assert all(
        other >= 0 or step.key not in keys or [s.key for s in new].count(step.key) > 1
        for step, other in zip(new, found, strict=True)
    )
    back = inverse(found, len(old))
    assert all(back[other] == position for position, other in enumerate(found) if other >= 0)


@given(STEPS)
def test_the_same_steps_are_aligned_with_themselves(steps):
    assert align(steps, steps) == list(range(len(steps)))
    assert moved(range(len(steps))) == frozenset()


@given(st.permutations(range(7)))
def test_without_what_moved_the_rest_is_in_order(order):
    gone = moved(order)
    rest = [other for position, other in enumerate(order) if position not in gone]
    assert rest == sorted(rest)
    assert bool(gone) == (order != sorted(order))


def test_values_are_part_of_the_change():
    assert differences({"env": {"A": "1"}}, {"env": {"A": "2"}}) == (Change("env", "A", "changed", "1", "2"),)
    assert differences({"action": {"x": (1, 2)}}, {"action": {"x": [1, 2]}}) == ()
