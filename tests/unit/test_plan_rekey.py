"""rekey: exactly what depends on a change gets another key, and nothing of the change outlives its end."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from plan_kit import SOURCE, TREE, named, planned

from contractor.core import digest
from contractor.plan.key import action_key
from contractor.plan.model import Action, Plan
from contractor.plan.rekey import Changed, rekey, shell_state
from contractor.spec import model
from contractor.spec.actions import ACTIONS

SHELL = digest.of_bytes(b"what a shell left")
_FEW = ("a", "b")  # few different steps, so that the same ones come again


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    steps: list[object] = [TREE]
    made: list[str] = []
    for number in range(draw(st.integers(1, 9))):
        kinds = ["shell", "apt", "empty", "keep", "source", "artifact", "again", *(["unpack", "tree"] if made else [])]
        kind = draw(st.sampled_from(kinds))
        if kind == "shell":
            steps.append(named(f"s{number}", model.Shell(draw(st.sampled_from(_FEW)))))
        elif kind == "apt":
            steps.append(named(f"p{number}", model.Apt((draw(st.sampled_from(_FEW)),))))
        elif kind == "empty":
            steps.append(named(f"e{number}", model.EmptyWorkspace()))
        elif kind == "keep":
            steps.append(named(f"k{number}", model.EmptyWorkspace(keep=("a",))))
        elif kind == "source":
            steps.append(named(f"f{number}", SOURCE))
        elif kind == "again":
            steps.append(named(f"t{number}", TREE))
        elif kind == "artifact":
            made.append(f"artifact-{number}")
            steps.append(named(f"a{number}", model.CreateArtifact(made[-1])))
        elif kind == "unpack":
            steps.append(named(f"u{number}", model.UnpackArtifact(draw(st.sampled_from(made)), to="x")))
        else:
            steps.append(named(f"c{number}", model.CreateSystree(artifact=draw(st.sampled_from(made)))))
    return planned(*steps)  # type: ignore[arg-type]


@st.composite
def visits(draw: st.DrawFn) -> tuple[Plan, int, Changed]:
    """A plan, the step before which somebody had a shell, and what that changed: the workspace, the tree, or both."""
    plan = draw(plans())
    first = draw(st.integers(0, len(plan.actions) - 1))
    action = plan.actions[first]
    tree = draw(st.booleans()) if action.kind == "apt" else False
    workspace = draw(st.booleans()) or not tree
    states = {action.before: shell_state(action.before, "build", first)} if workspace else {}
    return plan, first, Changed(states, extra={first: {"shell": SHELL}} if tree else {})


def dirty(plan: Plan, first: int, changed: Changed) -> list[tuple[bool, bool, bool]]:
    """Of each action: is its own result touched, was the workspace before it, and after it?"""
    found: list[tuple[bool, bool, bool]] = []
    workspace = False
    layers: tuple[bool, ...] = ()
    artifacts: dict[str, bool] = {}
    for position, action in enumerate(plan.actions):
        workspace = workspace or (position == first and bool(changed.states))
        rules, what = ACTIONS[action.kind], action.step.action
        emptied = isinstance(what, model.EmptyWorkspace) and not what.keep
        kept = isinstance(what, model.EmptyWorkspace) and bool(what.keep)
        own = (
            (("workspace" in rules.reads or kept) and workspace)
            or ("tree" in rules.reads and any(layers[-1:]))
            or position in changed.extra
        )
        if isinstance(what, model.UnpackArtifact):
            own = own or artifacts[what.name]
        if isinstance(what, model.CreateSystree) and what.artifact in artifacts:
            own = own or artifacts[what.artifact]
        before = workspace
        if emptied:
            workspace = False
        elif "workspace" in rules.writes:
            workspace = own
        if isinstance(what, model.CreateSystree):
            layers = (own,)
        elif "tree" in rules.writes:
            layers = (*layers, own)
        if isinstance(what, model.CreateArtifact):
            artifacts[what.name] = own
        found.append((own, before, workspace))
    return found


@given(visits())
def test_exactly_what_reads_a_change_gets_another_key(visit: tuple[Plan, int, Changed]) -> None:
    plan, first, changed = visit
    made = rekey(plan, changed, first)
    for position, (old, new, (own, before, after)) in enumerate(
        zip(plan.actions, made.actions, dirty(plan, first, changed), strict=True)
    ):
        assert (new.key != old.key) is own, position
        assert (new.before != old.before) is before, position
        assert (new.after != old.after) is after, position
        assert new.step == old.step


@given(visits())
def test_the_names_are_chained_as_in_any_plan(visit: tuple[Plan, int, Changed]) -> None:
    plan, first, changed = visit
    made = rekey(plan, changed, first)
    for position, action in enumerate(made.actions):
        assert action.key == action_key(action.inputs)
        if position > first:
            assert action.before == made.actions[position - 1].after
        if "workspace" in action.inputs:
            assert action.inputs["workspace"] == action.before
        if "tree" in action.inputs:
            assert action.inputs["tree"] == (action.layers[-1] if action.layers else "")
        if action.artifact:
            assert action.inputs["artifact"] == action.artifact
        if "workspace" in ACTIONS[action.kind].writes and plan.actions[position].after:
            assert action.after == action.key
    produced = {action.key for action in made.actions} | {""}
    for position, action in enumerate(made.actions):
        assert set(action.layers) <= produced
        assert action.before in produced | set(changed.states.values()), position


@given(visits())
def test_a_new_key_is_nobodys(visit: tuple[Plan, int, Changed]) -> None:
    """So nothing of an untouched build is found under it, nor the other way round."""
    plan, first, changed = visit
    made = rekey(plan, changed, first)
    old = {action.key for action in plan.actions}
    new = [action.key for action, was in zip(made.actions, plan.actions, strict=True) if action.key != was.key]
    assert not old & set(new)
    assert not set(new) & {*changed.states.values(), *changed.states}


@given(visits())
def test_once_is_as_good_as_twice(visit: tuple[Plan, int, Changed]) -> None:
    plan, first, changed = visit
    made = rekey(plan, changed, first)
    own = Changed(extra=changed.extra)  # the state that it began with has another name now
    assert rekey(made, own, first) == made
    assert rekey(plan, Changed()) == plan
    assert rekey(plan, changed, first) == made


@given(visits())
def test_two_shells_give_two_names(visit: tuple[Plan, int, Changed]) -> None:
    plan, first, changed = visit
    other = Changed(
        {name: shell_state(name, "another", first) for name in changed.states},
        extra={position: {"shell": digest.of_bytes(b"else")} for position in changed.extra},
    )
    one, two = rekey(plan, changed, first), rekey(plan, other, first)
    for was, a, b in zip(plan.actions, one.actions, two.actions, strict=True):
        assert (a.key == b.key) is (a.key == was.key)


def test_what_is_emptied_is_clean_again_though_the_same_source_comes_twice() -> None:
    build = model.Shell("make")
    plan = planned(
        TREE, SOURCE, named("one", build), named("empty", model.EmptyWorkspace()),
        named("source again", SOURCE), named("two", build), model.CreateArtifact("out"),
    )  # fmt: skip
    assert plan.actions[1].key == plan.actions[4].key
    made = rekey(plan, Changed({plan.actions[2].before: SHELL}), 2)
    assert made.actions[2].before == SHELL
    assert _keys(made)[3:] == _keys(plan)[3:]
    assert made.actions[4:] == plan.actions[4:]


def test_what_is_kept_of_a_touched_workspace_stays_touched() -> None:
    plan = planned(TREE, SOURCE, named("some", model.EmptyWorkspace(keep=("src",))), model.CreateArtifact("out"))
    made = rekey(plan, Changed({plan.actions[2].before: SHELL}), 2)
    assert all(new != old for new, old in zip(_keys(made)[2:], _keys(plan)[2:], strict=True))


def test_a_touched_tree_leaves_the_steps_that_do_not_use_it_alone() -> None:
    plan = planned(TREE, model.Apt(("gcc",)), SOURCE, model.CreateArtifact("source"), model.Shell("make"))
    made = rekey(plan, Changed(extra={1: {"shell": SHELL}}), 1)
    touched = [new != old for new, old in zip(_keys(made), _keys(plan), strict=True)]
    assert touched == [False, True, False, False, True]
    assert made.actions[4].layers == (plan.actions[0].key, made.actions[1].key)


def test_what_a_lock_says_follows_the_step_to_its_new_key() -> None:
    plan = planned(TREE, model.Apt(("gcc",)))
    plan = msgspec.structs.replace(plan, replays={plan.actions[1].key: ()})
    made = rekey(plan, Changed(extra={1: {"shell": SHELL}}), 1)
    assert made.replays == {made.actions[1].key: ()}


def _keys(plan: Plan) -> list[str]:
    return [action.key for action in plan.actions]


def test_every_action_of_a_plan_reads_what_it_is_said_to() -> None:
    """The tests above are about something: in a plan of all kinds, a shell at the start reaches most of it."""
    plan = planned(TREE, SOURCE, model.Shell("make"), model.CreateArtifact("out"))
    first: Action = plan.actions[1]
    made = rekey(plan, Changed({first.before: SHELL}), 1)
    assert sum(new != old for new, old in zip(_keys(made), _keys(plan), strict=True)) == 3
