"""The action table: it is seed 004's, it fits the model, and the schema made from it agrees with the loader."""

# ruff: noqa: E501 - a row of a table is one line, however long

import json
import re

import msgspec
import pytest
import yaml
from test_spec_matrix import EXAMPLE
from test_spec_rules import HEAD, HEX, STEPS, TREE, step

from contractor.spec import keys, rules
from contractor.spec.actions import ACTIONS, TOUCHABLE, kind_of, row_of
from contractor.spec.load import load_spec
from contractor.spec.matrix import expand, resolve_steps
from contractor.spec.model import Apt, CreateArtifact, EmptyWorkspace, Limits, Source
from contractor.spec.schema import json_schema
from contractor.spec.starter import _WAYS, starter

TABLE = """
empty-workspace   empty-workspace:              contractor                             no
create-artifact   create-artifact: NAME         contractor                             no
unpack-artifact   unpack-artifact: NAME         contractor                             no
create-systree    create-systree: NAME          contractor                             no
debootstrap       debootstrap: bookworm         bwrap on host tree                     mirrors only
apt               apt: [gcc, make]              bwrap on systree                       mirrors only
shell             shell: "..."                  bwrap on systree                       none
source            source: {...}                 contractor (git in bwrap on host tree) declared host only
fetch             fetch: {url, sha256, to}      contractor                             that URL only
pipeline          pipeline: NAME                -                                      -
custom            custom: NAME                  bwrap on systree                       none
"""
TOUCHES = {
    "empty-workspace": ((), ("workspace",)),
    "create-artifact": (("workspace",), ("artifacts",)),
    "unpack-artifact": (("artifacts", "workspace"), ("workspace",)),
    "create-systree": (("artifacts",), ("tree",)),
    "debootstrap": (("workspace",), ("workspace",)),
    "apt": (("tree",), ("tree",)),
    "shell": (("tree", "workspace"), ("workspace",)),
    "source": (("workspace",), ("workspace",)),
    "fetch": (("workspace",), ("workspace",)),
    "pipeline": ((), ()),
    "custom": (("tree", "workspace"), ("workspace",)),
}


def test_the_table_is_the_design():
    rows = [re.split(r"\s{2,}|(?<=tree\)) ", line.strip()) for line in TABLE.strip().splitlines()]
    assert [[row.name, row.form, row.place, row.network] for row in ACTIONS.values()] == rows
    assert {row.name: (row.reads, row.writes) for row in ACTIONS.values()} == TOUCHES
    assert all(set(row.reads + row.writes) <= set(TOUCHABLE) for row in ACTIONS.values())


@pytest.mark.parametrize("row", ACTIONS.values(), ids=ACTIONS)
def test_fields_are_the_models(row):
    model = {field.name: field for field in msgspec.structs.fields(row.model)}
    assert [field.name for field in row.fields] == list(model)
    for field in row.fields:
        assert field.required == model[field.name].required
        if not field.required and field.kind not in ("values", "arguments"):
            assert field.default == model[field.name].default
    assert row.model.__struct_config__.tag == row.name
    assert {*row.one_of, *([row.short] if row.short else [])} <= set(model)


def test_rows_by_value():
    assert row_of(Apt(("a",))).name == kind_of(Apt(("a",))) == "apt"
    assert {attribute for attribute, *_ in keys.LIMITS.values()} == set(Limits.__struct_fields__)


def test_short_forms():
    spec = load_spec(
        HEAD + "source: {git: {url: 'https://h/x', ref: v1}}\n" + TREE
        + "  - empty-workspace\n  - empty-workspace:\n  - {empty-workspace: {keep: '**.deb'}, name: Tidy}\n"
        + "  - apt: gcc\n  - create-artifact: out\n  - unpack-artifact: out\n  - debootstrap: bookworm\n"
    )  # fmt: skip
    actions = [step.action for step in spec.steps]
    assert actions[0] == Source(git="https://h/x", ref="v1")
    assert actions[2] == actions[3] == EmptyWorkspace()
    assert actions[4] == EmptyWorkspace(keep=("**.deb",)) and spec.steps[4].name == "Tidy"
    assert actions[5] == Apt(("gcc",)) and actions[6] == CreateArtifact("out")


def test_common_keys():
    text = TREE + (
        "  - shell: |\n      # first a comment\n\n      make\n    env: {A: 1, PATH: /x}\n    limits: {memory: 0, processes: 5}\n"
        "    timeout: 90s\n    network: [PyPI.org, '*.debian.org', 'h:8080', PyPI.org]\n    secrets: [TOKEN]\n    diagnostics: x.log\n"
    )
    spec = load_spec(HEAD + "limits: {log: 1M}\n" + text)
    made = spec.steps[-1]
    assert made.name == "make"
    assert made.env == {"A": "1", "PATH": "/x"}
    assert made.limits == Limits(time=90.0, memory=0, processes=5, log=1 << 20)
    assert made.network == ("pypi.org", "*.debian.org", "h:8080") and made.secrets == ("TOKEN",)
    assert made.diagnostics == ("x.log",)
    assert str(made.place) == "contractor.yaml:6:5"


GOOD_STEPS = [
    "empty-workspace", "empty-workspace:", "apt: [gcc, g++, 'a1=1:2~3+b1', 'b2:arm64']", "apt: {packages: gcc, update: false}",
    "shell: make", "shell: {script: make}\nnetwork: [pypi.org:443, '*.pypi.org']\nsecrets: [A]", "custom: check",
    "custom: {name: c, args: {a: 1, b: [x, y]}}", "create-artifact: {name: A.b, files: ['**/*.deb'], format: directory, epoch: 5}",
    f"unpack-artifact: {HEX}", f"unpack-artifact: {{digest: {HEX}, to: a/b}}", "create-systree: {base: ubuntu-24.04}",
    "debootstrap: {suite: sid, mirror: 'http://[::1]:80/d', include: [a1], variant: '-', arch: riscv64}",
    "source: {path: sub, to: .}", "source: {git: 'https://h/x', ref: refs/tags/v1}", f"source: {{url: 'http://h/x', sha256: {HEX}}}",
    "source: {git: {url: 'https://h/x', ref: v1}, to: x}", f"fetch: {{url: 'https://h:8/x?y', sha256: {HEX}}}",
    "shell: x\ntimeout: 1h\nlimits: {memory: 4G, file-size: 1M}\nenv: {A: b}\nname: n\ndiagnostics: [a, b]",
]  # fmt: skip
# What only the loader can say: flows, names, YAML's own, what a pattern is too coarse for
LOADER_ONLY = re.compile(
    r"pipeline: x$|unpack-artifact: nothing|create-systree: debian|^create-artifact: [0-9a-f]{64}|HOME|WORKSPACE|0x10|update: no|"
    r"\$\{|timeout: 5m\nlimits|network: (all|yes)|\*\.com|99999|limits: \{t|if: \{A|name: ''|name: \"a|me:pw|https:///x|'https://a b|"
    r"https://h/'|gcc-|shell: ' '"
)


def test_the_schema_is_a_schema_that_editors_can_read():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert all(entry.get("description") for entry in schema["properties"].values())

    def valid(text: str) -> bool:
        return validator.is_valid(json.loads(json.dumps(yaml.safe_load(text))))

    assert valid(EXAMPLE)
    for text in GOOD_STEPS:
        load_spec(step(text))
        assert valid(step(text)), text
    for text in STEPS:
        if not LOADER_ONLY.search(text):
            assert not valid(step(text)), text


@pytest.mark.parametrize("kind", rules.ALPHABETS)
def test_names_of_the_schema_are_the_rules(kind):
    from contractor.spec.schema import _named

    pattern = _named(kind)["anyOf"][0]["pattern"]
    for character in map(chr, range(33, 127)):
        for text in (character, "a" + character, "a" + character + "b"):
            assert bool(re.search(pattern, text)) == (rules.check(kind, text) is None), (kind, text)


FILES = [[sign] for way in _WAYS for sign in way.signs] + [[], ["README", "main.c"], ["debian/control", "Makefile"]]


@pytest.mark.parametrize("files", FILES, ids=" ".join)
def test_starters_load(files):
    for name in ("My Project!", "42", "1.10", "", "...", "é" * 300, "no", "hello-2.0"):
        spec = load_spec(starter(files, name))
        assert spec.steps[0].action == Source(path=".", to="src")
        assert resolve_steps(spec, expand(spec, {}, {})[0].values).steps
    assert spec.name == "hello-2.0"


def test_starters_fit_the_project():
    assert "cargo build" in starter(["Cargo.toml", "Makefile"], "x")
    assert "dpkg-buildpackage" in starter(["debian/control", "Cargo.toml"], "x")
    assert "network" not in starter(["Makefile"], "x")
    assert "src/config.log" in starter(["configure.ac"], "x")
    assert starter(["x"], "My Project").splitlines()[2] == "name: my-project"
