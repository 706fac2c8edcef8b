"""Reasons: what changed in a step's inputs, in words, and the steps where the rest began."""

from __future__ import annotations

import msgspec
import pytest
from plan_kit import OUT, SOURCE, TREE, named, planned

from contractor.core.errors import Rejected
from contractor.plan.causes import PlanPair
from contractor.plan.find import find_step
from contractor.plan.model import Plan
from contractor.plan.reasons import Earlier, decide, reason
from contractor.plan.words import list_words, script_words
from contractor.spec import model

APT = model.Apt(("gcc", "make"))
COMPILE = named("Compile", model.Shell("cd src\nmake\nmake install\n"))
CHECK = named("Check", model.Shell("make check"))
BUILD = (SOURCE, TREE, APT, COMPILE, CHECK, OUT)


def earlier(plan: Plan, *outcomes: str, build: str = "old") -> Earlier:
    return Earlier(build, plan, outcomes or ("succeeded",) * len(plan.actions))


def texts(new: Plan, old: Plan) -> list[str]:
    """The reason of each step, "" where its key is the same."""
    keys = {action.key for action in old.actions}
    return ["" if action.key in keys else reason(new, n, [earlier(old)]) for n, action in enumerate(new.actions)]


def replaced(position: int, action: model.AnyAction, name: str | None = None) -> Plan:
    steps = list(BUILD)
    old = BUILD[position]
    fixed = name or (old.name if isinstance(old, model.Step) else None)
    steps[position] = named(fixed, action) if fixed else action
    return planned(*steps)


def test_the_line_of_the_plan_says_all_of_it():
    compile_ = named("Compile", model.Shell("cd src\nmake\nmake install DESTDIR=/x\n"), env={"CC": "clang"})
    new = planned(SOURCE, TREE, model.Apt(("gcc", "make", "libfoo")), compile_, CHECK, OUT)
    assert texts(new, planned(*BUILD)) == [
        "",
        "",
        "packages grew by libfoo",
        "script line 3 changed; env CC=clang added; tree changed because of step 3 (apt gcc make libfoo)",
        "tree and workspace changed because of steps 3 and 4",
        "workspace changed because of steps 3 and 4",
    ]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(replaced(2, model.Apt(("make", "gcc"))), "packages in another order", id="order"),
        pytest.param(replaced(2, model.Apt(("gcc",))), "packages lost make", id="lost"),
        pytest.param(replaced(2, model.Apt(("gcc", "make"), update=False)), "update yes -> no", id="a boolean"),
        pytest.param(
            replaced(2, model.Apt(("gcc", "make"), recommends=True)), "recommended packages no -> yes", id="a name"
        ),
        pytest.param(replaced(3, COMPILE.action, "Build"), "renamed from Compile", id="a name that the step sees"),
        pytest.param(planned(*BUILD, epoch=2), "epoch 1 -> 2", id="the epoch"),
        pytest.param(
            planned(*BUILD, source="b" * 64), "source changed (aaaaaaaaaaaa -> bbbbbbbbbbbb)", id="the source"
        ),
        pytest.param(
            planned(SOURCE, model.CreateSystree(artifact="2" * 64), *BUILD[2:]),
            "artifact 111111111111 -> 222222222222",
            id="an artifact by digest",
        ),
        pytest.param(
            planned(*BUILD[:3], msgspec.structs.replace(COMPILE, network=("pypi.org",)), *BUILD[4:]),
            "network grew by pypi.org",
            id="the network, and not the proxy's variables",
        ),
        pytest.param(
            planned(*BUILD[:3], msgspec.structs.replace(COMPILE, secrets=("TOKEN",)), *BUILD[4:]),
            "secrets grew by TOKEN",
            id="secrets",
        ),
    ],
)
def test_each_input_has_its_words(new: Plan, expected: str):
    first = next(text for text in texts(new, planned(*BUILD)) if text)
    assert first == expected


def test_a_script_gives_its_step_a_name_which_is_not_told_again():
    old, new = planned(TREE, model.Shell("make")), planned(TREE, model.Shell("make all"))
    assert new.actions[1].step.name == "make all"
    assert texts(new, old) == ["", "script line 1 changed"]


def test_the_source_is_the_cause_and_the_epoch_is_no_noise():
    new = planned(*BUILD, source="b" * 64, epoch=2)
    found = texts(new, planned(*BUILD))
    assert found[0] == "source changed (aaaaaaaaaaaa -> bbbbbbbbbbbb); epoch 1 -> 2"
    assert set(found[3:]) == {"workspace changed because of step 1 (source .)"}


def test_a_step_that_is_new_gone_or_moved():
    old = planned(*BUILD)
    new = planned(*BUILD[:3], named("Configure", model.Shell("./configure")), *BUILD[3:])
    found = texts(new, old)
    assert found[3] == "never ran"
    assert found[4] == found[6] == "workspace changed because of step 4 (Configure), which is new"
    assert texts(old, new)[3:] == ["workspace changed because of the old step 4 (Configure), which is gone"] * 3
    swapped = texts(planned(*BUILD[:3], CHECK, COMPILE, OUT), old)
    assert swapped[5] == "workspace changed because of step 4 (Check), which moved"


def test_an_unnamed_step_is_found_again_beside_a_new_one():
    old = planned(TREE, model.Shell("cd src && make"), OUT)
    new = planned(TREE, model.Shell("echo hello"), model.Shell("cd src && make -j4"), OUT)
    assert texts(new, old) == [
        "",
        "never ran",
        "script line 1 changed; workspace changed because of step 2 (echo hello), which is new",
        "workspace changed because of steps 2 and 3",
    ]


def test_a_base_is_followed_to_its_own_step():
    def base(suite: str):
        return lambda _name, _step: planned(
            model.Debootstrap(suite), model.CreateArtifact("debian", format="tar"), name="debian"
        )

    tree = model.CreateSystree(base="debian")
    old, new = (planned(tree, COMPILE, base=base(suite)) for suite in ("bookworm", "trixie"))
    because = "because of step 1 (debootstrap trixie) of the base debian"
    assert texts(new, old) == [f"artifact changed {because}", f"tree changed {because}"]
    other = planned(model.CreateSystree(base="other"), COMPILE, base=base("trixie"))
    assert texts(other, old)[0] == "base debian -> other"


def test_the_same_inputs_and_another_key_are_another_version():
    old = planned(*BUILD)
    action = msgspec.structs.replace(old.actions[0], key="f" * 64)
    changed = msgspec.structs.replace(old, actions=(action, *old.actions[1:]))
    assert texts(changed, old)[0] == "this version of Contractor builds it differently"


def test_what_a_shell_left_has_no_step():
    old, new = planned(*BUILD), planned(*BUILD)
    check = new.actions[4]
    other = msgspec.structs.replace(check, key="e" * 64, inputs={**check.inputs, "workspace": "f" * 64})
    new = msgspec.structs.replace(new, actions=(*new.actions[:4], other, new.actions[5]))
    before = check.inputs["workspace"][:12]
    assert texts(new, old)[4] == f"workspace changed ({before} -> ffffffffffff)"
    assert texts(old, new)[4] == f"workspace changed (ffffffffffff -> {before})"


def test_causes_are_complete_and_have_their_changes():
    new = planned(SOURCE, TREE, model.Apt(("gcc",)), named("Compile", model.Shell("make")), CHECK, OUT, source="b" * 64)
    found = PlanPair(new, planned(*BUILD)).explain(5)
    assert found.changes == ()
    (workspace,) = found.chained
    assert [(cause.number, cause.how) for cause in workspace.causes] == [(1, "changed"), (3, "changed"), (4, "changed")]
    assert [change.name for change in workspace.causes[1].changes] == ["packages"]


def test_a_long_chain_does_not_need_a_long_stack():
    shells = [named(f"s{n}", model.Shell(f"echo {n}")) for n in range(3000)]
    new = planned(model.Source(path="."), *shells, source="b" * 64)
    found = PlanPair(new, planned(model.Source(path="."), *shells)).explain(3000)
    assert [cause.number for cause in found.chained[0].causes] == [1]


def test_decisions_name_the_position_where_it_began():
    new = planned(*BUILD, source="b" * 64)
    found = decide(new, {action.key: "old" for action in new.actions[1:3]}, [earlier(planned(*BUILD))])
    assert [decision.cause for decision in found] == [0, -1, -1, 0, 0, 0]


def test_the_last_end_of_the_same_key_is_the_reason():
    plan = planned(*BUILD)
    last = earlier(plan, "cached", "cached", "succeeded", "failed", "not run", "not run", build="b2")
    assert [reason(plan, n, iter([last])) for n in (2, 3, 4)] == [
        "its result is no longer in the store (b2)",
        "failed last time (b2)",
        "was not reached last time (b2)",
    ]


def test_no_more_builds_are_read_than_are_needed():
    taken = []

    def builds():
        for n in range(5):
            taken.append(n)
            yield earlier(planned(*BUILD))

    assert reason(planned(*BUILD), 0, builds()) == "its result is no longer in the store (old)"
    assert taken == [0]


def test_words_of_scripts_and_lists():
    assert script_words("a\nb\nc", "a\nx\nc") == "line 2 changed"
    assert script_words("a\nb\nc", "a\nb\nc\nd\ne") == "lines 4-5 added"
    assert script_words("a\nb\nc\nd\ne", "b\nc\nd\nx") == "line 1 removed, line 4 changed"
    assert script_words("a", "a\n") == "has another end of its last line"
    many = "\n".join("xa" * (n % 2) + str(n) for n in range(20))
    assert script_words(many, many.replace("x", "y")) == "changed in 10 places, lines 2 to 20"
    assert list_words(["a", "a"], ["a"]) == "lost a"
    assert list_words([], [f"p{n}" for n in range(9)]) == "grew by p0, p1, p2, p3, p4, p5, 3 more"


NAMES = ["Compile", "Test", "Test", "apt gcc", "3"]


@pytest.mark.parametrize(("text", "position"), [("Compile", 0), ("2", 1), ("3", 4), ("comp", 0), ("apt", 3)])
def test_a_step_by_number_name_or_beginning(text, position):
    assert find_step(NAMES, text, "the plan") == position


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("Test", "'Test' fits 2 steps of the plan", "give the number"),
        ("Complie", "the plan has no step 'Complie'", "did you mean 'Compile'?"),
        ("99", "the plan has no step '99'", "give a step's number"),
        ("", "the plan has no step ''", "give a step's number"),
        ("9" * 5000, "the plan has no step", "give a step's number"),
    ],
)
def test_a_step_that_is_none_or_several(text, message, hint):
    with pytest.raises(Rejected) as caught:
        find_step(NAMES, text, "the plan")
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)
    assert caught.value.details
