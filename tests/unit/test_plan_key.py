"""Keys: golden values, and the rule that a key changes if and only if one of its inputs does."""

from __future__ import annotations

import msgspec
import pytest

from contractor.core.errors import Rejected
from contractor.plan.model import Facts, Plan, decode, encode
from contractor.plan.planner import make_plan
from contractor.spec.load import load_spec
from contractor.spec.matrix import expand
from contractor.spec.resolve import resolve_steps

SPEC = """
contractor: 1
name: demo
source: {path: ., to: src}
steps:
  - create-systree: {artifact: "%s"}
  - apt: [gcc, make]
  - name: Compile
    shell: make -C src
  - name: Test
    shell: make -C src test
  - create-artifact: {name: demo, files: [src/demo]}
""" % ("a" * 64)

FACTS = Facts(arch="amd64", epoch=1000000000, epoch_origin="test", sources={0: "b" * 64})


def plan(text: str = SPEC, facts: Facts = FACTS) -> Plan:
    spec = load_spec(text, "contractor.yaml")
    resolved = resolve_steps(spec, expand(spec, {}, {})[0].values)

    def no_base(name: str, step: object) -> Plan:
        raise AssertionError(name)

    return make_plan(spec, resolved, facts, base_plan=no_base)


def keys(text: str = SPEC, facts: Facts = FACTS) -> list[str]:
    return [action.key for action in plan(text, facts).actions]


def changed(text: str, facts: Facts = FACTS) -> list[bool]:
    return [before != after for before, after in zip(keys(), keys(text, facts), strict=True)]


def test_golden_keys() -> None:
    """A change here makes everybody's stored results useless: raise KEY_FORMAT and say so in the changelog."""
    assert [key[:12] for key in keys()] == GOLDEN


GOLDEN = ["ab77d7587e92", "5ab7209da894", "0eb199f4f9fc", "d1135871881c", "ceee32bbf9c8", "3e93c760c87a"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("make -C src test", "make -C src check", [0, 0, 0, 0, 1, 1], id="a script, and what follows"),
        pytest.param("[gcc, make]", "[gcc, make, gdb]", [0, 0, 1, 1, 1, 1], id="packages, and who uses the tree"),
        pytest.param("a" * 64, "c" * 64, [0, 1, 1, 1, 1, 1], id="the tree's artifact"),
        pytest.param("files: [src/demo]", "files: [src]", [0, 0, 0, 0, 0, 1], id="files of the artifact"),
        pytest.param("name: Test", "name: Check", [0, 0, 0, 0, 1, 1], id="a name: the step sees it"),
        pytest.param("name: demo\nsource", "name: demo\nsummary: A demo\nsource", [0] * 6, id="the summary"),
        pytest.param("name: demo\nsource", "name: demo\nlimits: {time: 1h}\nsource", [0] * 6, id="limits"),
        pytest.param("name: demo\nsource", "name: demo\ndiagnostics: [x]\nsource", [0] * 6, id="diagnostics"),
        pytest.param("shell: make -C src\n", "env: {A: b}\n    shell: make -C src\n", [0, 0, 0, 1, 1, 1], id="env"),
        pytest.param(
            "shell: make -C src\n", "network: [pypi.org]\n    shell: make -C src\n", [0, 0, 0, 1, 1, 1], id="network"
        ),
    ],
)
def test_a_key_changes_with_its_inputs_only(old: str, new: str, expected: list[int]) -> None:
    assert old in SPEC
    assert changed(SPEC.replace(old, new)) == [bool(one) for one in expected]


def test_the_source_does_not_reach_the_tree() -> None:
    facts = msgspec.structs.replace(FACTS, sources={0: "d" * 64})
    assert changed(SPEC, facts) == [True, False, False, True, True, True]


def test_the_epoch_reaches_what_makes_files_and_not_the_packages() -> None:
    facts = msgspec.structs.replace(FACTS, epoch=1000000001)
    assert changed(SPEC, facts) == [True, False, False, True, True, True]


def test_one_id_has_keys_of_its_own() -> None:
    assert all(changed(SPEC, msgspec.structs.replace(FACTS, ids="one")))


def test_a_plan_survives_its_json() -> None:
    made = plan()
    assert decode(encode(made)) == made
    assert decode(encode(made)).digest == made.digest


def test_layers_and_states_are_chained() -> None:
    source, tree, apt, compile_, test, artifact = plan().actions
    assert (source.before, source.after) == ("", source.key)
    assert tree.layers == ()
    assert apt.layers == (tree.key,)
    assert compile_.layers == test.layers == (tree.key, apt.key)
    assert (compile_.before, test.before, artifact.before) == (source.key, compile_.key, test.key)


def test_no_place_on_this_host_is_in_a_plan() -> None:
    assert b"/work/" not in encode(plan())
    assert b"/home" not in encode(plan())


def test_a_base_without_an_artifact_is_refused() -> None:
    text = "contractor: 1\nname: x\nsteps:\n  - create-systree: {base: empty}\n"
    base = plan("contractor: 1\nname: empty\nsteps:\n  - empty-workspace:\n")
    spec = load_spec(text, "contractor.yaml")
    resolved = resolve_steps(spec, expand(spec, {}, {})[0].values)
    with pytest.raises(Rejected, match="makes no artifact"):
        make_plan(spec, resolved, FACTS, base_plan=lambda _name, _step: base)
