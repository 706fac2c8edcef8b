"""Parameters x matrix -> builds, and what a build's steps become."""

# ruff: noqa: E501 - a row of a table is one line, however long

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_spec_rules import HEAD, HEX, TREE

from contractor.spec.load import load_spec
from contractor.spec.matrix import Combination, expand, resolve_steps, substitute
from contractor.spec.model import Apt, Custom, Fetch, Source, UnpackArtifact
from contractor.spec.problems import SpecError

PARAMETERS = """parameters:
  VERSION: {default: "0.1", help: version to build}
  LIST: {type: list, default: ["4.0", 4.1]}
  COUNT: {type: integer, default: 3}
  FAST: {type: boolean, default: false}
  MODE: {choices: [small, large], default: small}
"""
MATRIX = "matrix: {arch: [amd64, arm64], suite: [bookworm, trixie]}\n"
EXAMPLE = """contractor: 1
name: make-hello
summary: The hello of seed 001
parameters:
  NEW_VERSION:    {default: "0.1", help: version to build}
  SOURCE_VERSIONS: {type: list, default: ["4.0", "4.1"]}
matrix:
  arch: [amd64, arm64]
source:
  path: .
  to: src
limits: {time: 30m, memory: 4G, disk: 10G, processes: 2000, log: 100M}
steps:
  - create-systree: {base: debian-12}
  - apt: [gcc, make, libc6-dev]
  - name: Compile and install
    shell: |
      cd src
      make
      make install DESTDIR="$WORKSPACE/out"
  - create-artifact: {name: make-hello, files: [out]}
diagnostics: [src/config.log]
"""


def resolved(text: str, given=None):
    spec = load_spec(HEAD + text)
    return resolve_steps(spec, expand(spec, given or {}, {})[0].values)


def refused(text: str, given=None, only=None) -> list[tuple[str, str]]:
    spec = load_spec(HEAD + text)
    with pytest.raises(SpecError) as caught:
        resolve_steps(spec, expand(spec, given or {}, only or {})[0].values)
    return [(str(p), p.hint) for p in caught.value.problems]


def test_the_example_of_the_language():
    design = Path("/work/shared/design/spec-language.md")
    texts = [EXAMPLE]
    if design.exists():  # the same text, where the design is at hand
        texts.append(design.read_text("utf-8").split("```yaml\n")[1].split("```")[0])
    for text in texts:
        spec = load_spec(text)
        assert spec.limits.time == 1800 and spec.limits.log == 100 << 20
        combinations = expand(spec, {"NEW_VERSION": "0.2"}, {})
        values = {"NEW_VERSION": "0.2", "SOURCE_VERSIONS": "4.0 4.1"}
        assert combinations == tuple(Combination({"arch": arch}, values) for arch in ("amd64", "arm64"))
        assert combinations[1].label == "arch=arm64"
        steps = resolve_steps(spec, combinations[0].values).steps
        assert [step.name for step in steps] == [
            "source .",
            "create-systree debian-12",
            "apt gcc make libc6-dev",
            "Compile and install",
            "create-artifact make-hello",
        ]
        assert steps[0].action == Source(path=".", to="src")
        assert steps[3].env == values and not steps[2].env
        assert expand(spec, {}, {"arch": "arm64"})[0].matrix == {"arch": "arm64"}


def test_the_last_key_changes_fastest():
    spec = load_spec(HEAD + MATRIX + "steps: [empty-workspace]")
    labels = [combination.label for combination in expand(spec, {}, {})]
    assert labels[:2] == ["arch=amd64 suite=bookworm", "arch=amd64 suite=trixie"] and len(labels) == 4
    assert len(expand(spec, {}, {"suite": "trixie"})) == 2


def test_given_values_take_the_form_of_their_type():
    spec = load_spec(HEAD + PARAMETERS + "steps: [empty-workspace]")
    given = {"LIST": " 1   2 ", "COUNT": "-7", "FAST": "True", "MODE": "large", "VERSION": ""}
    (combination,) = expand(spec, given, {})
    assert combination.parameters == {"VERSION": "", "LIST": "1 2", "COUNT": "-7", "FAST": "true", "MODE": "large"}


def test_every_wrong_value_is_told_with_a_hint():
    text = PARAMETERS + "  MUST: {help: what must be}\n" + MATRIX + "steps: [empty-workspace]"
    given = {"VERSON": "1", "COUNT": "x", "FAST": "yes", "MODE": "smal", "arch": "arm64"}
    assert refused(text, given, {"arhc": "x", "suite": "sid", "COUNT": "1"}) == [
        ("arch is a matrix key, not a parameter", "choose builds with --only arch=amd64"),
        ('unknown parameter "VERSON"', "did you mean VERSION?"),
        ('COUNT is an integer, not "x"', "write digits, without leading zeros"),
        ('FAST is a boolean, not "yes"', "write true or false"),
        ('MODE cannot be "smal"', "did you mean small?"),
        ("the parameter MUST has no value and no default", "give it with -p MUST=VALUE: what must be"),
        ('unknown matrix key "arhc"', "did you mean arch?"),
        ('the matrix key suite has no value "sid"', "it can be bookworm, trixie"),
        ('unknown matrix key "COUNT"', "COUNT is a parameter: give it with -p COUNT=1"),
    ]


def test_without_parameters_and_matrix():
    assert refused("steps: [empty-workspace]", {"A": "1"}, {"arch": "x"}) == [
        ('unknown parameter "A"', "the specification has no parameters"),
        ('unknown matrix key "arch"', "the specification has no matrix"),
    ]


def test_a_list_parameter_whose_choices_are_given():
    text = "parameters: {L: {type: list, choices: [a, b], default: []}}\nsteps: [empty-workspace]"
    assert refused(text, {"L": "a c"}) == [('L cannot be "c"', "one of a, b")]


def test_values_stand_in_fields_but_never_in_scripts():
    text = PARAMETERS + "env: {E: 'v${VERSION}', LITERAL: '$${VERSION}'}\n" + TREE + (
        "  - apt: ['${LIST}', 'gcc-${COUNT}', 'x${COUNT}']\n"
        "  - {shell: 'echo ${VERSION} $${X}', network: ['${MODE}.example.org'], name: 'Build ${VERSION}'}\n"
        "  - custom: {name: check, args: {v: '${VERSION}', n: 3, q: '3', ok: true, l: ['${LIST}', b], f: 1.10}}\n"
        f"  - fetch: {{url: 'https://h/${{VERSION}}.tar', sha256: {HEX.upper()}, to: 'in/${{MODE}}'}}\n"
        "diagnostics: ['logs/${MODE}/*', '${LIST}']\n"
    )  # fmt: skip
    result = resolved(text.replace('default: ["4.0", 4.1]', "default: [a1, b2]"), {"VERSION": "1.2"})
    _, apt, shell, custom, fetch = result.steps
    assert apt.action == Apt(("a1", "b2", "gcc-3", "x3"))
    assert shell.action.script == "echo ${VERSION} $${X}" and shell.name == "Build 1.2"
    assert shell.network == ("small.example.org",)
    assert shell.env["E"] == "v1.2" and shell.env["LITERAL"] == "${VERSION}" and shell.env["LIST"] == "a1 b2"
    assert custom.action == Custom(
        "check", {"v": "1.2", "n": 3, "q": "3", "ok": True, "l": ["a1", "b2", "b"], "f": "1.10"}
    )
    assert fetch.action == Fetch("https://h/1.2.tar", HEX, "in/small")
    assert result.diagnostics == ("logs/small/*", "a1", "b2")


def test_a_value_is_not_substituted_twice():
    text = "parameters: {A: {}, B: {default: secret}}\n" + TREE + "  - {shell: x, env: {C: '${A}'}}"
    assert resolved(text, {"A": "${B}"}).steps[-1].env == {"A": "${B}", "B": "secret", "C": "${B}"}


def test_fields_are_checked_again_with_their_values():
    text = "parameters: {P: {}}\n" + TREE + (
        "  - apt: ['${P}']\n  - {shell: x, network: ['${P}'], diagnostics: ['${P}']}\n"
        "  - create-artifact: {name: a, files: ['${P}'], format: 'tar${P}'}\n  - source: {path: '${P}'}\n"
        f"  - fetch: {{url: 'https://h/${{P}}/', sha256: {HEX}}}\n"
    )  # fmt: skip
    messages = [message for message, _hint in refused(text, {"P": "../*"})]
    expected = (
        '6:5: packages of apt: "../*" is not a Debian package',
        '7:5: "../*" is not a host but a URL',
        '7:5: the path "../*" leads out',
        '8:5: files of create-artifact: the path "../*" leads out',
        '8:5: format of create-artifact: "tar../*" is no format',
        '9:5: path of source: the path "../*" leads out',
        "10:5: the URL has no file name",
    )
    assert len(messages) == len(expected)
    assert all(m.startswith(f"contractor.yaml:{e}") for m, e in zip(messages, expected, strict=True)), messages
    assert (
        "whole network"
        in refused("parameters: {P: {}}\n" + TREE + "  - {shell: x, network: ['${P}']}", {"P": "*"})[0][0]
    )
    empty = "parameters: {P: {type: list, empty: true}}\n" + TREE + "  - apt: ['${P}']"
    assert refused(empty, {"P": ""})[0][0].endswith("packages of apt is empty")


def test_conditions_skip_steps_with_a_reason():
    text = PARAMETERS + MATRIX + TREE + (
        "  - {name: a, shell: x, if: {arch: [amd64, arm64], FAST: True}}\n"
        "  - {name: b, shell: x, if: {LIST: 4.1}}\n"
        "  - {name: c, shell: x, if: {MODE: large, COUNT: 3}}\n"
    )  # fmt: skip
    result = resolved(text)
    assert [step.name for step in result.steps][1:] == ["b"]
    assert result.skipped == (("a", 'FAST is "false", not "true"'), ("c", 'MODE is "small", not "large"'))
    assert len(resolved(text, {"FAST": "true", "MODE": "large"}).steps) == 4


def test_a_skipped_step_makes_nothing():
    text = "parameters: {T: {type: boolean, default: false}}\nsteps:\n  - {create-systree: {base: debian-12}, if: {T: true}}\n"
    text += "  - {create-artifact: a, if: {T: true}}\n  - shell: x\n  - unpack-artifact: a\n"
    assert len(resolved(text, {"T": "true"}).steps) == 4
    messages = [message for message, _hint in refused(text)]
    assert messages[0].startswith("contractor.yaml:7:5: there is no system tree yet")
    assert messages[1].startswith('contractor.yaml:8:5: no earlier step creates the artifact "a"')


def test_names_that_are_known_late():
    text = "parameters: {A: {default: a}}\nsteps:\n  - create-artifact: 'x-${A}'\n  - unpack-artifact: x-a\n  - unpack-artifact: '${A}'\n"
    assert [message for message, _ in refused(text)] == [
        'contractor.yaml:7:5: no earlier step creates the artifact "a"'
    ]
    digest = resolved("parameters: {A: {default: a}}\nsteps: [unpack-artifact: '${A}']", {"A": HEX.upper()})
    assert digest.steps[0].action == UnpackArtifact(digest=HEX)


def test_a_digest_is_always_an_artifact():
    spec = load_spec(
        HEAD
        + f"steps:\n  - unpack-artifact: {HEX.upper()}\n  - create-systree: {HEX}\n  - unpack-artifact: {{digest: {HEX}, to: a}}"
    )
    assert spec.steps[0].action == UnpackArtifact(digest=HEX)
    assert spec.steps[1].action.artifact == HEX


def test_substitute():
    assert substitute("a${X}b${Y}", {"X": "1", "Y": "${X}"}) == "a1b${X}"
    assert substitute("$${X} $$${X} $X ${X}", {"X": "1"}) == "${X} $${X} $X 1"
    with pytest.raises(KeyError):
        substitute("${Z}", {})


@given(st.text(), st.text())
def test_substitution_of_text_without_references_changes_nothing(text, value):
    assert substitute(text.replace("${", ""), {"X": value}) == text.replace("${", "")
    assert substitute(text.replace("$", "") + "${X}", {"X": value}) == text.replace("$", "") + value


@given(st.dictionaries(st.sampled_from(["VERSION", "LIST", "COUNT", "FAST", "MODE", "arch"]), st.text()))
def test_any_given_value_is_taken_or_refused(given):
    spec = load_spec(
        HEAD
        + PARAMETERS
        + MATRIX
        + TREE
        + "  - {shell: x, name: 'n ${VERSION}', env: {A: '${VERSION}'}}\n  - apt: ['${VERSION}']"
    )
    try:
        resolve_steps(spec, expand(spec, given, {})[0].values)
    except SpecError as error:
        assert all(p.message.isprintable() and p.hint for p in error.problems)
