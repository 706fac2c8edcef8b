"""What a release needs of a specification: values that may not be empty, a matrix and an epoch that are given."""

from __future__ import annotations

import pytest
from plan_kit import planned
from test_spec_matrix import refused, resolved
from test_spec_rules import HEAD, TREE
from test_spec_rules import problems as problems_of

from contractor.plan.planner import base_artifact, make_plan
from contractor.spec import model
from contractor.spec.load import load_spec
from contractor.spec.matrix import expand, matrix_of
from contractor.spec.resolve import epoch_of

STEPS = "steps: [empty-workspace]\n"
LIST = "parameters:\n  VERSIONS: {type: list, default: ['4.0', '4.1']}\n"
MATRIX = LIST + "matrix: {VERSION: '${VERSIONS}', arch: [a, b]}\n" + STEPS
EPOCH = "parameters: {SOURCE_DATE_EPOCH: {type: integer, help: the time}}\nepoch: ${SOURCE_DATE_EPOCH}\n" + STEPS


def problems(text: str) -> list[str]:
    return problems_of(HEAD + text)


def combinations(text: str, given=None, only=None) -> list[str]:
    return [one.label for one in expand(load_spec(HEAD + text), given or {}, only or {})]


# --- empty values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "given", "fault"),
    [
        ("{help: the name}", "", "the value of P is empty"),
        ("{help: the name}", " \t", "the value of P is empty"),
        ("{default: main, empty: false}", "", "the value of P is empty"),
        ("{type: list, default: [a], empty: false}", "  ", "the value of P is empty"),
        ("{type: integer, default: 1}", "", "the value of P is empty"),
        ("{type: boolean, default: true, empty: true}", "", "the value of P is empty"),
        ("{default: main}", "", ""),
        ("{default: ''}", "", ""),
        ("{empty: true}", "", ""),
        ("{type: list, default: []}", "", ""),
    ],
)
def test_empty_values(parameter: str, given: str, fault: str) -> None:
    text = f"parameters: {{P: {parameter}}}\n" + STEPS
    if fault:
        assert [message for message, _hint in refused(text, {"P": given})] == [fault]
    else:
        assert expand(load_spec(HEAD + text), {"P": given}, {})[0].parameters["P"].strip() == ""


def test_the_help_says_what_the_value_is() -> None:
    assert refused("parameters: {P: {help: the new release}}\n" + STEPS, {"P": ""}) == [
        ("the value of P is empty", "P is the new release")
    ]


def test_a_default_must_not_be_what_may_not_be_given() -> None:
    found = problems("parameters: {P: {default: '', empty: false}}\n" + STEPS)
    assert len(found) == 1 and "the value of P is empty" in found[0]


# --- the matrix ------------------------------------------------------------------------------------------------------


def test_a_lists_items_are_values_of_the_matrix() -> None:
    assert combinations(MATRIX) == [
        "VERSION=4.0 arch=a", "VERSION=4.0 arch=b", "VERSION=4.1 arch=a", "VERSION=4.1 arch=b",
    ]  # fmt: skip
    assert combinations(MATRIX, {"VERSIONS": " 5  6 "}, {"arch": "b"}) == ["VERSION=5 arch=b", "VERSION=6 arch=b"]
    assert combinations(MATRIX, {"VERSIONS": "5"}, {"VERSION": "5", "arch": "a"}) == ["VERSION=5 arch=a"]


def test_a_text_is_one_value_and_texts_may_be_mixed() -> None:
    text = "parameters: {X: {default: a b}, L: {type: list, default: [c]}}\n"
    assert combinations(text + "matrix: {M: ['${X}', '${L}', '$${d}']}\n" + STEPS) == ["M=a b", "M=c", "M=${d}"]


@pytest.mark.parametrize(
    ("given", "only", "message"),
    [
        ({"VERSIONS": "4.0 4.0"}, {}, '"4.0" stands twice in the matrix key VERSION'),
        ({"VERSIONS": ""}, {}, "the matrix key VERSION has no value, so nothing would be built"),
        ({}, {"VERSION": "4.2"}, 'the matrix key VERSION has no value "4.2"'),
        ({"VERSION": "4.0"}, {}, "VERSION is a matrix key, not a parameter"),
        ({"VERSIONS": " ".join(map(str, range(129)))}, {}, "the matrix makes 258 builds, more than 256"),
    ],
)
def test_values_that_make_no_matrix(given: dict[str, str], only: dict[str, str], message: str) -> None:
    assert refused(MATRIX, given, only)[0][0] == message


def test_what_a_matrix_may_not_hold() -> None:
    assert problems(LIST + "matrix: {V: '${VERSION}'}\n" + STEPS)[0].endswith("did you mean VERSIONS?")
    assert "is only partly a parameter" in problems(LIST + "matrix: {V: 'v${VERSIONS}'}\n" + STEPS)[0]


def test_conditions_know_no_values_of_such_a_key() -> None:
    text = LIST + "matrix: {V: '${VERSIONS}'}\nsteps:\n  - {empty-workspace: , if: {V: '9'}}\n  - empty-workspace\n"
    assert len(resolved(text).steps) == 1


def test_a_build_does_not_depend_on_the_other_values_of_the_matrix() -> None:
    text = LIST + "matrix: {V: '${VERSIONS}'}\n" + TREE + "  - {shell: x, env: {ALL: '${VERSIONS}'}}\n  - shell: y\n"
    with_all, without = resolved(text).steps[-2:]
    assert with_all.env == {"ALL": "4.0 4.1"}
    assert without.env == {}


def test_completion_has_the_defaults() -> None:
    spec = load_spec(HEAD + MATRIX)
    assert matrix_of(spec, {"VERSIONS": "4.0 4.1"})["VERSION"] == ("4.0", "4.1")


# --- the epoch -------------------------------------------------------------------------------------------------------


def test_a_parameter_is_the_epoch() -> None:
    spec = load_spec(HEAD + EPOCH)
    assert epoch_of(spec, expand(spec, {"SOURCE_DATE_EPOCH": "1576450285"}, {})[0].values) == 1576450285
    assert epoch_of(load_spec(HEAD + "epoch: 5\n" + STEPS), {}) == 5
    assert epoch_of(load_spec(HEAD + STEPS), {}) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the parameter SOURCE_DATE_EPOCH has no value and no default"),
        ({"SOURCE_DATE_EPOCH": ""}, "the value of SOURCE_DATE_EPOCH is empty"),
        ({"SOURCE_DATE_EPOCH": "yesterday"}, 'SOURCE_DATE_EPOCH is an integer, not "yesterday"'),
        ({"SOURCE_DATE_EPOCH": "-1"}, "SOURCE_DATE_EPOCH is the epoch, and -1 is none"),
        ({"SOURCE_DATE_EPOCH": "9" * 19}, f"SOURCE_DATE_EPOCH is the epoch, and {'9' * 19} is none"),
    ],
)
def test_values_that_are_no_epoch(given: dict[str, str], message: str) -> None:
    assert refused(EPOCH, given)[0][0] == message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("epoch: ${X}\n" + STEPS, '3:8 epoch names "X", which is no parameter'),
        ("parameters: {X: {}}\nepoch: ${X}\n" + STEPS, "4:8 the parameter X is a string, not an integer | write X:"),
        ("parameters: {SOURCE_DATE_EPOCH: {}}\n" + STEPS, "3:14 SOURCE_DATE_EPOCH can only be a parameter that is"),
        ("parameters: {HOME: {type: integer}}\n" + STEPS, "3:14 HOME is set by Contractor itself"),
        ("epoch: 1 + ${X}\n" + STEPS, "3:8 epoch must be a whole number"),
    ],
)
def test_what_the_epoch_may_not_be(text: str, start: str) -> None:
    assert problems(text)[0].startswith(start), problems(text)


# --- steps -----------------------------------------------------------------------------------------------------------


def test_exclusive_is_a_name() -> None:
    text = "parameters: {WHAT: {default: disk}}\n" + TREE + "  - {shell: x, exclusive: '${WHAT}'}\n"
    assert resolved(text).steps[-1].exclusive == "disk"
    assert refused(text, {"WHAT": "No Name"})[0][0].endswith('"No Name" is not a name')
    assert "is not a name" in problems(TREE + "  - {shell: x, exclusive: No}")[0]
    assert (
        "cannot be given for pipeline"
        in problems(TREE + "  - {pipeline: p, exclusive: x}\npipelines: {p: {steps: [empty-workspace]}}")[0]
    )


def test_exclusive_is_no_part_of_the_key() -> None:
    step = model.Step(action=model.Shell("true"), name="x", place=model.Place("x", 1, 1))
    alone = model.Step(action=model.Shell("true"), name="x", place=model.Place("x", 1, 1), exclusive="disk")
    tree = model.CreateSystree(artifact="1" * 64)
    assert planned(tree, step).actions[-1].key == planned(tree, alone).actions[-1].key


def test_an_artifact_of_a_base_in_the_workspace() -> None:
    steps = "  - {unpack-artifact: {base: old, to: x}}\n  - {unpack-artifact: {base: old, archive: x.tar}}\n"
    spec = load_spec(HEAD + "steps:\n" + steps)
    made = planned(model.EmptyWorkspace(), model.CreateArtifact("out"), name="old")
    asked: list[str] = []

    def base_plan(name: str, _step: model.Step) -> object:
        asked.append(name)
        return made

    from contractor.plan.model import Facts
    from contractor.spec.resolve import resolve_steps

    plan = make_plan(spec, resolve_steps(spec, {}), Facts("amd64", 1, "given"), base_plan=base_plan)  # type: ignore[arg-type]
    assert asked == ["old"] and list(plan.bases) == ["old"]
    assert [action.artifact for action in plan.actions] == [base_artifact(made).key] * 2
    assert plan.actions[0].inputs["action"] == {"to": "x"}
    assert plan.actions[1].inputs["action"] == {"archive": "x.tar"} and plan.actions[1].inputs["epoch"] == 1
    assert [model.base_of(action.step.action) for action in plan.actions] == ["old", "old"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("{base: x, name: y}", "unpack-artifact needs exactly one of name, digest, base, this has both name and base"),
        ("{base: x, to: y, archive: z}", "unpack-artifact has to and archive"),
        ("{base: x, archive: /z}", 'the path "/z" is absolute'),
        ("{base: X}", '"X" is not a name'),
    ],
)
def test_what_an_unpacked_artifact_may_not_be(fields: str, message: str) -> None:
    found = problems(f"steps:\n  - unpack-artifact: {fields}\n")
    assert len(found) == 1 and message in found[0], found
