"""Pipelines: steps under a name, in the specification or in a file beside it, with parameters of their own."""

# ruff: noqa: E501 - a row of a table is one line, however long

import pytest
from test_spec_rules import HEAD, TREE, check, problems

from contractor.core.errors import Broken
from contractor.spec.load import load_spec
from contractor.spec.matrix import expand, resolve_steps
from contractor.spec.model import Shell
from contractor.spec.problems import SpecError

LIB = b"""contractor: 1
parameters:
  TARGET: {help: what to make}
  JOBS: {type: integer, default: 4}
steps:
  - name: Make ${TARGET}
    shell: make "$TARGET"
    diagnostics: ["${TARGET}.log"]
"""
USE = HEAD + TREE + "  - pipeline: {name: lib, parameters: {TARGET: %s}}\npipelines:\n  lib: {file: ci/lib.yaml}\n"


def uses(body: str, pipelines: str) -> str:
    return f"{HEAD}{TREE}{body}\npipelines:\n{pipelines}\n"


def test_a_pipeline_of_another_file():
    asked = []
    spec = load_spec(USE % "all", read=lambda path: asked.append(path) or LIB)
    assert asked == ["ci/lib.yaml"]
    assert str(spec.pipelines["lib"].steps[0].place) == "ci/lib.yaml:6:5"
    (combination,) = expand(spec, {}, {})
    step = resolve_steps(spec, combination.values).steps[-1]
    assert step.name == "lib: Make all"
    assert step.action == Shell('make "$TARGET"')
    assert step.env == {"TARGET": "all", "JOBS": "4"}
    assert step.diagnostics == ("all.log",)


def test_problems_in_the_other_file_have_their_place_there():
    with pytest.raises(SpecError) as caught:
        load_spec(USE % "x", read=lambda _: LIB.replace(b"shell", b"shel") + b"nam: x\n")
    assert [str(p.place) for p in caught.value.problems] == ["ci/lib.yaml:7:5", "ci/lib.yaml:9:1"]


def refuse(error):
    def read(_path):
        raise error

    return read


def test_files_that_cannot_be_read():
    place = '7:15 the file "ci/lib.yaml" '
    check(problems(USE % "x"), [place + "cannot be read here | write the pipeline's steps in this file"])
    missing = refuse(FileNotFoundError(2, "No such file or directory"))
    check(
        problems(USE % "x", read=missing), [place + "cannot be read: No such file or directory | its path is relative"]
    )
    check(problems(USE % "x", read=refuse(Broken("no door"))), [place + "cannot be read: no door"])
    check(problems(USE % "x", read=lambda _: b""), [place + "is empty | write parameters: and steps: in it"])
    check(
        problems((USE % "x").replace("ci/", "../"), read=lambda _: LIB), ['7:15 the path "../lib.yaml" leads out by ..']
    )
    check(problems((USE % "x").replace("ci/", "/"), read=lambda _: LIB), ['7:15 the path "/lib.yaml" is absolute'])


CASES = {
    ("  - pipeline: tset", "  test: {steps: [empty-workspace]}"): ['5:15 unknown pipeline "tset" | did you mean test?'],
    ("  - pipeline: '${A}'", "  test: {steps: [empty-workspace]}"): ['5:15 unknown name "${A}"'],
    ("  - pipeline: a", "  a:\n    parameters: {X: {}}\n    steps: [empty-workspace]"): [
        "5:15 the parameter X of pipeline a has no value and no default | write {name: a, parameters: {X: VALUE}}"
    ],
    ("  - pipeline: {name: a, parameters: {Y: 1}}", "  a: {steps: [empty-workspace]}"): [
        '5:38 unknown parameter "Y" of pipeline a | it has no parameters'
    ],
    ("  - pipeline: {name: a, parameters: {X: y}}", "  a:\n    parameters: {X: {type: integer}}\n    steps: [empty-workspace]"): [
        '5:38 X is an integer, not "y"'
    ],
    ("  - pipeline: a", "  a: {steps: [pipeline: b]}\n  b: {steps: [pipeline: a]}"): ["8:25 a pipeline uses itself: a -> b -> a"],
    ("  - pipeline: a", "  a: {steps: [pipeline: a]}"): ["7:25 a pipeline uses itself: a -> a | pipelines must end"],
    ("  - apt: [a1]", "  a: {}"): ["7:6 the pipeline a has no steps | write steps: or file: under its name"],
    ("  - apt: [a1]", "  a: {steps: [empty-workspace], file: x}"): ["7:7 the pipeline a has a file and steps", "7:39 the file"],
    ("  - apt: [a1]", "  A: {steps: [empty-workspace]}"): ['7:3 "A" is not a name'],
    ("  - apt: [a1]", "  a: {step: [empty-workspace]}"): ["7:6 the pipeline a has no steps", '7:7 unknown key "step"'],
    ("  - apt: ['${X}']", "  a:\n    parameters: {X: {}}\n    steps: [empty-workspace]"): ['5:11 unknown name "${X}"'],
    ("  - pipeline: a", "  a: {steps: [create-artifact: x, create-artifact: x]}"): ['7:35 the artifact "x" is created twice'],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_problems(case):
    check(problems(uses(*case)), CASES[case])


def test_a_pipeline_before_any_tree_is_told_at_its_step():
    text = HEAD + "steps: [pipeline: a]\npipelines:\n  a: {steps: [shell: x]}"
    check(problems(text), ["5:15 there is no system tree yet"])


def test_a_matrix_key_is_no_parameter_of_a_pipeline():
    text = (
        HEAD
        + "matrix: {arch: [a]}\nsteps: [empty-workspace]\npipelines:\n  a: {parameters: {arch: {}}, steps: [empty-workspace]}"
    )
    check(problems(text), ["6:20 arch is a parameter and a matrix key"])


def test_pipelines_that_multiply_are_counted_not_expanded():
    levels = [f"  p{n}: {{steps: [{', '.join([f'pipeline: p{n + 1}'] * 10)}]}}" for n in range(12)]
    check(
        problems(uses("  - pipeline: p0", "\n".join([*levels, "  p12: {steps: [empty-workspace]}"]))),
        ["4:5 with its pipelines the build has 1000000000001 steps, more than 1000"],
    )


def test_deep_chains_are_refused():
    levels = [f"  p{n}: {{steps: [pipeline: p{n + 1}]}}" for n in range(150)]
    found = problems(uses("  - pipeline: p0", "\n".join([*levels, "  p150: {steps: [empty-workspace]}"])))
    assert any("nested" in problem for problem in found)
    assert problems(uses("", "\n".join(f"  p{n}: {{steps: [empty-workspace]}}" for n in range(201))))[0].startswith(
        "7:3 more than 200"
    )


def test_environments_and_names_of_nested_pipelines():
    text = """contractor: 1
name: x
parameters: {OUTER: {default: o}, LEVEL: {default: build}}
matrix: {arch: [amd64]}
env: {FROM: build, A: build, ARCH: "${arch}"}
steps:
  - create-systree: {base: debian-12}
  - {pipeline: {name: one, parameters: {LEVEL: "1-${OUTER}"}}, env: {A: use}}
  - shell: "true"
pipelines:
  one:
    parameters: {LEVEL: {}, FROM: {default: one}}
    steps:
      - {shell: make, env: {B: "${LEVEL}-${arch}"}}
      - {pipeline: {name: two, parameters: {LEVEL: "2-${LEVEL}"}}, env: {C: "${LEVEL}"}}
  two:
    parameters: {LEVEL: {}}
    steps: [{name: last, shell: "true", env: {A: own}}]
"""
    spec = load_spec(text)
    (combination,) = expand(spec, {}, {})
    _, first, second, own = resolve_steps(spec, combination.values).steps
    assert first.name == "one: make"
    assert first.env == {"FROM": "one", "A": "use", "ARCH": "amd64", "LEVEL": "1-o", "B": "1-o-amd64"}
    assert second.name == "one: two: last"
    assert second.env == {"FROM": "build", "A": "own", "ARCH": "amd64", "LEVEL": "2-1-o", "C": "1-o"}
    assert own.env == {"OUTER": "o", "LEVEL": "build", "FROM": "build", "A": "build", "ARCH": "amd64"}


def test_what_a_pipeline_gets_is_checked_when_it_is_known():
    text = HEAD + "parameters: {N: {}}\nsteps:\n  - pipeline: {name: a, parameters: {X: '${N}'}}\n"
    spec = load_spec(text + "pipelines:\n  a:\n    parameters: {X: {type: integer}}\n    steps: [empty-workspace]")
    (combination,) = expand(spec, {"N": "many"}, {})
    with pytest.raises(SpecError, match=r'contractor\.yaml:5:5: X is an integer, not "many"'):
        resolve_steps(spec, combination.values)
