"""`.launchpad.yaml`: what it means, and that a wrong one is told with its places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.builds import dotenv
from contractor.buildd.builds.launchpad_model import Configuration, Input, Output, Repository
from contractor.buildd.builds.launchpad_yaml import load
from contractor.spec.problems import SpecError

BASE = "series: jammy, architectures: amd64, run: make"


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load(text.encode())
    return "\n".join((caught.value.message, *caught.value.details))


def one(more: str) -> Configuration:
    return load(f"pipeline: [test]\njobs:\n  test: {{{BASE}, {more}}}\n".encode())


def test_stages_of_jobs() -> None:
    jobs = "".join(f"  {name}: {{{BASE}}}\n" for name in ("lint", "test", "build"))
    found = load(f"pipeline:\n- lint\n- [test, build]\njobs:\n{jobs}".encode())
    assert found.stages == (("lint",), ("test", "build"))
    assert [job.index for job in found.jobs["lint"]] == [0]


def test_a_matrix_makes_a_job_an_item_and_architectures_do_not() -> None:
    text = """
pipeline: [test]
jobs:
  test:
    series: focal
    architectures: [amd64, arm64]
    run: make
    environment: {A: base}
    matrix:
    - series: jammy
    - architectures: s390x
      environment: {B: own}
"""
    first, second = load(text.encode()).jobs["test"]
    assert (first.index, first.series, first.architectures, first.environment) == (
        0, "jammy", ("amd64", "arm64"), {"A": "base"},
    )  # fmt: skip
    assert (second.index, second.series, second.architectures, second.environment) == (
        1, "focal", ("s390x",), {"B": "own"},
    )  # fmt: skip


def test_what_a_job_may_have() -> None:
    more = (
        "packages: [a, b], snaps: [c, {name: d, channel: edge}], environment: {N: 1.10, T: yes, E: }, plugin: tox, "
        "run-before: x, run-after: y, root: false, input: {job-name: build, target-directory: in}, "
        "output: {paths: ['dist/*'], distribute: artifactory, channels: [edge], properties: {v: 1.10}, "
        "dynamic-properties: p, expires: 1:00:00}"
    )
    (job,) = one(more).jobs["test"]
    assert (job.packages, job.snaps, job.plugin, job.root) == (("a", "b"), ("c", "d"), "tox", False)
    assert (job.run_before, job.run, job.run_after) == ("x", "make", "y")
    assert job.environment == {"N": "1.10", "T": "yes"}
    assert job.input == Input("build", "in")
    assert job.output == Output(("dist/*",), "artifactory", ("edge",), {"v": "1.10"}, "p", "1:00:00")


def test_repositories() -> None:
    text = "package-repositories: [{type: apt, formats: [deb, deb-src], suites: [x], %s, trusted: true}]"
    (job,) = one(text % "components: [main], url: 'http://{{u}}@h/'").jobs["test"]
    assert job.repositories == (Repository(("deb", "deb-src"), ("x",), ("main",), "http://{{u}}@h/", "", True),)
    (job,) = one(text % "ppa: launchpad/ppa").jobs["test"]
    assert job.repositories[0].ppa == "launchpad/ppa"
    assert "either url and components, or ppa" in problems_of(text % "ppa: a/b, url: http://h/")
    assert "white space" in problems_of(text % "components: ['main\\n[trusted=yes]'], url: http://h/".replace("'", '"'))


def problems_of(more: str) -> str:
    return problems(f"pipeline: [test]\njobs:\n  test: {{{BASE}, {more}}}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("[1]", "must be a mapping"),
        ("pipeline: [test]", "jobs is missing"),
        ("jobs: {}", "pipeline is missing"),
        (f"pipeline: [tset]\njobs: {{test: {{{BASE}}}}}", '.launchpad.yaml:1:12: unknown job "tset" in pipeline'),
        ("pipeline: []\njobs: {test: {run: x}}", "the job test has no series"),
        ("pipeline: []\njobs: {t: {}}", "'t' is no identifier"),
        (f"pipeline: []\njobs: {{test: {{{BASE}, matrix: []}}}}", "matrix must be a list"),
        (f"pipeline: []\njobs: {{test: {{{BASE}, matrix: [{{matrix: []}}]}}}}", "cannot be in a matrix"),
        (f"pipeline: []\njobs: {{test: {{{BASE}, rum: x}}}}", 'unknown key "rum"'),
        (f"pipeline: []\njobs: {{test: {{{BASE}, output: {{expires: soon}}}}}}", "is not a length of time"),
        (f"pipeline: []\njobs: {{test: {{{BASE}, output: {{distribute: x}}}}}}", "unknown way to distribute"),
        (f"pipeline: []\njobs: {{test: {{{BASE}, input: {{}}}}}}", "input has no job-name"),
        ("a: &x 1\nb: *x", "anchor"),
        ("a: [", ""),
    ],
)
def test_a_wrong_one_is_told(text: str, says: str) -> None:
    assert says.lower() in problems(text).lower()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_problems(data: bytes) -> None:
    try:
        assert isinstance(load(data), Configuration)
    except SpecError as error:
        assert error.message


def test_dotenv() -> None:
    text = "A=1\nexport B='x # y' # c\n\n  # c\nC=\"a\\nb\"\r\nD\nE = v # w\nF=\nG='it\\'s'\nH=a#b\nA=2"
    assert dotenv.read(text) == {
        "A": "2", "B": "x # y", "C": "a\nb", "D": None, "E": "v", "F": "", "G": "it's", "H": "a#b",
    }  # fmt: skip
    with pytest.raises(ValueError, match="line 2"):
        dotenv.read("A=1\nB='open\n")


@given(st.text(st.sampled_from("AB=#'\"\\ \n\texport"), max_size=60))
def test_any_text_is_values_or_a_line_that_is_wrong(text: str) -> None:
    try:
        assert all("\n" not in name for name in dotenv.read(text))
    except ValueError as error:
        assert "line" in str(error)


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=20)))
def test_quoted_values_come_back(values: dict[str, str]) -> None:
    plain = {name: value.replace("\r", "") for name, value in values.items()}
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in plain.items()}
    assert dotenv.read("".join(f'{name}="{value}"\n' for name, value in escaped.items())) == plain
