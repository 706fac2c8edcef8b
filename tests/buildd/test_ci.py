"""CI builds: stages, results of each job as it ends, and what a project may not do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_target import Call, FakeTarget, Script

from contractor.buildd.builds import ci
from contractor.buildd.builds.ci_job import output_files
from contractor.buildd.builds.launchpad_model import CiJob, Output
from contractor.buildd.target.target import Failed

TOP = "/build/jobs"


def shell(target: FakeTarget, words: Sequence[str], call: Call) -> int | bytes:
    """`write NAME TEXT` leaves a file, `say TEXT` prints, `fail` fails; separated by ;"""
    out = b""
    for command in words[-1].split(";"):
        name, *rest = command.split()
        if name == "fail":
            return 3
        if name == "say":
            out += " ".join(rest).encode() + b"\n"
        if name == "write":
            target.write(f"{call.cwd}/{rest[0]}", " ".join(rest[1:]).encode())
    return out


def start(folder: Path, yaml: str, jobs: list[list[tuple[str, int]]], **more: Any) -> FakeTarget:
    programs: dict[str, Script] = {
        "bash": shell,
        "apt-get": lambda _target, _words, _call: 0,
        **more.pop("programs", {}),
    }
    source = {".launchpad.yaml": yaml, "src/a": "a", **more.pop("source", {})}
    arguments = {"git_repository": "https://git.example.org/x", "jobs": jobs, **more}
    return FakeTarget(folder, "ci", arguments, programs, source)


def yaml(**jobs: str) -> str:
    lines = "".join(f"  {name}: {{series: bookworm, architectures: [amd64], {text}}}\n" for name, text in jobs.items())
    return f"pipeline: [{', '.join(jobs)}]\njobs:\n{lines}"


def failure(target: FakeTarget) -> Failed:
    with pytest.raises(Failed) as caught:
        ci.build(target, target.arguments)
    return caught.value


def test_results_come_as_each_job_ends(tmp_path: Path) -> None:
    text = yaml(
        test="run: 'say hello'",
        build="run: 'write dist/a.whl wheel; write p VERSION=1.2', output: {paths: ['dist/*'], "
        "properties: {v: x, q: r}, dynamic-properties: p}",
    )
    target = start(tmp_path, text, [[("test", 0)], [("build", 0)]])
    assert ci.build(target, target.arguments) == "OK"
    jobs = [entry["jobs"] for entry in target.history if "jobs" in entry]
    assert [set(entry) for entry in jobs] == [{"test:0"}, {"test:0", "build:0"}]
    assert {name: job["result"] for name, job in jobs[-1].items()} == {"test:0": "SUCCEEDED", "build:0": "SUCCEEDED"}
    build = jobs[-1]["build:0"]
    assert (target.cache / build["output"]["a.whl"]).read_bytes() == b"wheel"
    assert json.loads((target.cache / build["properties"]).read_bytes()) == {"v": "x", "q": "r", "VERSION": "1.2"}
    log = (target.cache / jobs[-1]["test:0"]["log"]).read_text()
    assert "hello\n" in log and "dist" not in log
    assert "hello\n" in target.text, "the build's own log has everything"
    assert set(target.files) == {"test:0.log", "build:0.log", "build:0.properties", "build:0:a.whl"}


def test_a_job_is_its_copy_of_the_source_and_its_environment(tmp_path: Path) -> None:
    text = yaml(test="run-before: 'say 1', run: 'say 2', run-after: 'say 3', environment: {A: own}, packages: [make]")
    given = {
        "environment_variables": {"A": "given", "B": "given"},
        "package_repositories": ["deb https://p.example/ x y"],
    }
    target = start(tmp_path, text, [[("test", 0)]], **given)
    assert ci.build(target, target.arguments) == "OK"
    runs = [call for call in target.calls if call.argv[0] == "bash"]
    assert [call.argv for call in runs] == [("bash", "--noprofile", "--norc", "-ec", f"say {i}") for i in (1, 2, 3)]
    assert {call.cwd for call in runs} == {f"{TOP}/test-0/project"}
    assert runs[0].env == {"A": "own", "B": "given"}
    assert target.read(f"{TOP}/test-0/project/src/a", 9) == b"a"
    assert "p.example" in target.allow
    assert any(call[-1] == "make" for call in target.commands("apt-get"))
    assert not target.exists("/etc/apt/sources.list.d/job.list"), "the next job does not have it"


def test_a_failed_stage_stops_the_rest_but_not_its_own_jobs(tmp_path: Path) -> None:
    text = yaml(bad="run: 'say x; fail'", good="run: 'say y'", never="run: 'say z'")
    target = start(tmp_path, text, [[("bad", 0), ("good", 0)], [("never", 0)]])
    error = failure(target)
    assert error.status == "PACKAGEFAIL"
    assert error.message == "failed in stage 1: bad:0; 1 stages are left out"
    results = {name: job["result"] for name, job in target.extras["jobs"].items()}
    assert results == {"bad:0": "FAILED", "good:0": "SUCCEEDED"}
    assert "log" in target.extras["jobs"]["bad:0"]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ("series: jammy, run: x", "the job is for jammy, and this target is bookworm"),
        ("architectures: [riscv64], run: x", "the job is for riscv64, and this builder is amd64"),
        ("snaps: [x], run: x", "snaps cannot be installed"),
        ("plugin: tox", "needs the program tox, which is not in this image"),
        ("plugin: pyproject-build", "needs the program pyproject-build"),
        ("plugin: miniconda", "the plugin miniconda is not supported"),
        ("packages: []", "neither run nor plugin"),
        ("run: 'say x', output: {paths: [../../x]}", "leads out of the source"),
        ("run: 'say x', output: {paths: [/etc/passwd]}", "leads out of the source"),
        ("run: 'say x', output: {paths: ['a/../../../../*']}", "leads out of the source"),
        ("run: 'say x', output: {dynamic-properties: ../x}", "leads out of the source"),
        ("run: 'say x', output: {dynamic-properties: none}", "there is no file none"),
        ("run: 'write p =x', output: {dynamic-properties: p}", "line 1 is not NAME=value"),
        ("run: 'say x', input: {job-name: other, target-directory: in}", "no job other ran before this one"),
        ("run: 'say x', input: {job-name: other, target-directory: ../../in}", "leads out of the source"),
        ("run: x, package-repositories: [{type: apt, formats: [deb], suites: [s], components: [c], url: 'http://{{k}}@h'}]",
         "there is no secret k"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_fails_the_job_with_the_reason(tmp_path: Path, job: str, says: str) -> None:
    text = yaml(test=job)
    if "series" in job:
        text = text.replace("series: bookworm, ", "")
    if "architectures" in job:
        text = text.replace("architectures: [amd64], ", "")
    target = start(tmp_path, text, [[("test", 0)]])
    assert failure(target).status == "PACKAGEFAIL"
    assert target.extras["jobs"]["test:0"]["result"] == "FAILED"
    assert says in target.text


def test_a_plugin_runs_its_tool_unless_the_job_says_what_to_run(tmp_path: Path) -> None:
    programs: dict[str, Script] = {"tox": lambda _target, _words, _call: 0}
    target = start(tmp_path, yaml(test="plugin: tox"), [[("test", 0)]], programs=programs)
    assert ci.build(target, target.arguments) == "OK"
    assert target.commands("bash")[0][-1] == "tox"
    target = start(tmp_path, yaml(test="plugin: tox, run: 'say own'"), [[("test", 0)]])
    assert ci.build(target, target.arguments) == "OK"
    assert target.commands("bash")[0][-1] == "say own"


def test_secrets_reach_apt_and_no_log(tmp_path: Path) -> None:
    lists = []

    def apt(target: FakeTarget, _words: Sequence[str], _call: Call) -> int:
        lists.append(target.read("/etc/apt/sources.list.d/job.list", 999))
        return 0

    programs: dict[str, Script] = {"apt-get": apt}
    repository = "type: apt, formats: [deb], suites: [s], components: [c], trusted: false"
    job = f"run: 'say x', package-repositories: [{{{repository}, url: 'https://{{{{k}}}}@h.example/'}}]"
    secrets = {"k": "user:s3cr3t"}
    target = start(tmp_path, yaml(test=job), [[("test", 0)]], programs=programs, secrets=secrets)
    assert ci.build(target, target.arguments) == "OK"
    assert lists == [b"deb [trusted=no] https://user:s3cr3t@h.example/ s c\n"]
    assert "s3cr3t" not in target.text + target.content("test:0.log").decode()


def test_results_of_an_earlier_job(tmp_path: Path) -> None:
    text = yaml(
        build="run: 'write out data', output: {paths: [out], properties: {a: b}}",
        use="run: 'say x', input: {job-name: build, target-directory: from/build}",
    )
    target = start(tmp_path, text, [[("build", 0)], [("use", 0)]])
    assert ci.build(target, target.arguments) == "OK"
    assert target.read(f"{TOP}/use-0/project/from/build/files/out", 9) == b"data"
    assert json.loads(target.read(f"{TOP}/use-0/project/from/build/properties", 99)) == {"a": "b"}


def outputs(folder: Path, files: Sequence[str], *paths: str, links: Mapping[str, str] = {}) -> dict[str, str]:
    target = start(folder, yaml(test="run: x"), [[("test", 0)]])
    for name in files:
        target.write(f"{TOP}/test-0/{name}", b"")
    for name, to in links.items():
        target.link(f"{TOP}/test-0/{name}", to)
    job = CiJob("test", 0, "bookworm", ("amd64",), output=Output(paths))
    return {name: path.removeprefix(f"{TOP}/test-0/") for name, path in output_files(target, job).items()}


def test_paths_of_results(tmp_path: Path) -> None:
    files = ("project/a.deb", "b.deb", "project/d/a.deb", "project/d/e/c.txt")
    assert outputs(tmp_path, files, "*.deb") == {"a.deb": "project/a.deb"}
    assert outputs(tmp_path, files, "../*.deb") == {"b.deb": "b.deb"}
    assert outputs(tmp_path, files, "**/*.deb") == {"a.deb": "project/a.deb", "project-d-a.deb": "project/d/a.deb"}
    assert outputs(tmp_path, files, "./d/e/c.txt", "none*") == {"c.txt": "project/d/e/c.txt"}
    assert outputs(tmp_path, files, "l", "k/*", links={"project/l": "/etc/passwd", "project/k": "/etc"}) == {}


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    target = start(tmp_path, yaml(test="run: x"), [[("test", 1)]])
    assert failure(target).message == ".launchpad.yaml has no job test:1"
    target = start(tmp_path, "pipeline: []\njobs: [", [[("test", 0)]])
    assert failure(target).status == "PACKAGEFAIL"
    target = FakeTarget(tmp_path, "ci", {"git_repository": "https://h/x", "jobs": [[("a", 0)]]})
    assert "there is no .launchpad.yaml" in failure(target).message
    target = start(tmp_path, yaml(test="run: x"), [[("test", 0)]], scan_malware=True)
    assert failure(target).status == 200
