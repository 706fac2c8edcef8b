"""contractor why: what would run and why, why it ran, and what a step is made of."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from cli_store import artifact
from plan_kit import OUT, SOURCE, TREE, keep, named, planned

from contractor.cli.main import main
from contractor.plan.model import Plan
from contractor.sandbox import local
from contractor.spec import model
from contractor.store.collected import remember
from contractor.store.layout import Store
from contractor.store.records import Records
from contractor.store.results import Result, Results

B1, B2, B3 = (f"2025030{day}-101500-b-000{day}" for day in (1, 2, 3))
COMPILE = named("Compile", model.Shell("cd src\nmake\n"), env={"CC": "gcc"})
BUILD = (SOURCE, TREE, model.Apt(("gcc",)), COMPILE, OUT)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return Store(str(tmp_path / "store"))


def out(capsys, *argv: str, code: int = 0) -> str:
    assert main(["why", *argv]) == code
    found = capsys.readouterr()
    return found.err if code else found.out


def as_json(capsys, *argv: str) -> dict:
    found = json.loads(out(capsys, *argv, "--json"))
    assert found["version"] == 1
    return found["steps"][0]


def changed(**more) -> Plan:
    compile_ = named("Compile", model.Shell("cd src\nmake all\n"), env={"CC": "clang"})
    return planned(SOURCE, TREE, model.Apt(("gcc", "libfoo")), compile_, OUT, **more)


# --- a past build ----------------------------------------------------------------------------------------------------


def test_a_past_run_field_by_field(store, capsys):
    keep(store, planned(*BUILD), B1)
    keep(store, changed(), B2)
    assert out(capsys, "Compile", "--build", B2) == (
        f"step 4 (Compile) ran in {B2}: script line 2 changed; env CC gcc -> clang; "
        "tree changed because of step 3 (apt gcc libfoo)\n"
        f"compared with {B1} ({_ago(B1)}, succeeded)\n"
        "\n"
        "  script line 2 changed\n"
        "    @@ -1,2 +1,2 @@\n"
        "     cd src\n"
        "    -make\n"
        "    +make all\n"
        "  env CC gcc -> clang\n"
        "  tree changed because of step 3 (apt gcc libfoo)\n"
        "    packages grew by libfoo\n"
        "  the same: arch, 13 other variables of env, network, secrets, workspace\n"
    )


def _ago(_build: str) -> str:
    return f"2025-03-04 10:15, {(time.time() - 1741083300) // 86400:.0f} days ago"


def test_the_chain_is_followed_to_its_first_cause(store, capsys):
    keep(store, planned(*BUILD), B1)
    keep(store, changed(source="b" * 64, epoch=2), B2)
    text = out(capsys, "5", "--build", "b")
    assert "workspace changed because of steps 1, 3 and 4" in text
    assert "    step 3 (apt gcc libfoo)\n      packages grew by libfoo\n" in text
    assert "    step 1 (source .)\n      source changed (aaaaaaaaaaaa -> bbbbbbbbbbbb)\n" in text
    assert "epoch 1 (1970-01-01 00:00:01) -> 2 (1970-01-01 00:00:02)" in text
    found = as_json(capsys, "5", "--build", "b")
    assert [cause["number"] for cause in found["caused"][0]["causes"]] == [1, 3, 4]
    assert found["caused"][0]["causes"][2]["changes"][0]["before"] == "cd src\nmake\n"


def test_it_is_compared_with_the_newest_build_that_finished_the_step(store, capsys):
    keep(store, planned(*BUILD), B1)
    bad = planned(*BUILD[:3], named("Compile", model.Shell("mak")), OUT)
    keep(store, bad, B2, "cached", "cached", "cached", "failed", "not run")
    keep(store, changed(), B3)
    found = as_json(capsys, "Compile", "--build", B3)
    assert found["compared_with"]["build"] == B1
    assert as_json(capsys, "5", "--build", B2)["state"] == "not run"
    assert "was not reached" in out(capsys, "5", "--build", B2)


def test_a_past_step_that_did_not_run(store, capsys):
    keep(store, planned(*BUILD), B1)
    keep(store, planned(*BUILD), B2, *["cached"] * 5, more={n: {"made_by": B1} for n in range(5)})
    assert out(capsys, "4", "--build", "last") == (
        f"step 4 (Compile) did not run in {B2}: its result is there\nmade by {B1}\n"
    )
    assert as_json(capsys, "4", "--build", "last")["runs"] is False


def test_a_step_that_ran_again_without_a_change(store, capsys):
    keep(store, planned(*BUILD), B1)
    keep(store, planned(*BUILD), B2, asked=("--fresh",))
    text = out(capsys, "4", "--build", B2)
    assert "--fresh" in text
    assert f"it had finished in {B1}" in text
    assert as_json(capsys, "4", "--build", B2)["state"] == "again"


def test_the_first_build_of_all_lists_what_the_step_is_made_of(store, capsys):
    keep(store, planned(*BUILD), B1)
    text = out(capsys, "4", "--build", "b")
    assert text.startswith(f"step 4 (Compile) ran in {B1}: it had never run before\n\nit is made of\n")
    assert re.search(r"^  script +cd src\n +make\n", text, re.MULTILINE)
    assert re.search(r"^  env CC +gcc$", text, re.MULTILINE)
    assert re.search(r"^  tree +what step 3 \(apt gcc\) leaves$", text, re.MULTILINE)
    assert re.search(r"^  workspace +what step 1 \(source \.\) leaves$", text, re.MULTILINE)


def test_a_source_tells_its_files(store, capsys, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        Path(folder, "same.c").write_text("same")
        Path(folder, "main.c").write_text(folder.name)
    Path(old, "gone.c").write_text("")
    Path(new, "run.sh").write_text("")
    Path(new, "main.c").chmod(0o755)
    for path in [*old.iterdir(), *new.iterdir()]:
        os.utime(path, (1, 1) if path.parent == old else (2, 2))
    digests = [artifact(store, folder).digest for folder in (old, new)]
    keep(store, planned(*BUILD, source=digests[0]), B1)
    keep(store, planned(*BUILD, source=digests[1]), B2)
    text = out(capsys, "1", "--build", B2)
    assert "  ~ main.c  content, mode 0644 -> 0755\n    - gone.c" not in text
    assert "3 files differ\n    - gone.c\n    ~ main.c  content, mode 0644 -> 0755\n    + run.sh\n" in text
    assert "same.c" not in text
    files = as_json(capsys, "5", "--build", B2)["caused"][0]["causes"][0]["changes"][0]["files"]
    assert [(one["path"], one["how"]) for one in files] == [
        ("gone.c", "removed"), ("main.c", "changed"), ("run.sh", "added"),
    ]  # fmt: skip


def test_more_files_than_anybody_reads(store, capsys, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    for number in range(50):
        Path(new, f"f{number:02}").write_text("")
    digests = [artifact(store, folder).digest for folder in (old, new)]
    keep(store, planned(*BUILD, source=digests[0]), B1)
    keep(store, planned(*BUILD, source=digests[1]), B2)
    text = out(capsys, "1", "--build", B2)
    assert "    + f19\n    ... 30 more\n" in text


def test_hostile_names_and_values_do_not_reach_the_terminal(store, capsys):
    old = named("C\x1b[2Jompile", model.Shell("a\x1b]0;x\x07\n\x9b31mb\n"), env={"A\u202e": "\x1b[31m"})
    new = named("C\x1b[2Jompile", model.Shell("a\x1b[1A\r\n\u202eb\n"), env={"A\u202e": "x\ny\x1b[0m" + "z" * 9000})
    keep(store, planned(SOURCE, old), B1)
    keep(store, planned(SOURCE, new), B2)
    for build in (B1, B2):
        text = out(capsys, "2", "--build", build)
        assert not set(text) & {"\x1b", "\x9b", "\x07", "\r", "\u202e"}
        assert all(line.isprintable() for line in text.split("\n"))
        assert max(map(len, text.split("\n"))) < 700
    assert as_json(capsys, "2", "--build", B2)["changes"][0]["after"] == "a\x1b[1A\r\n\u202eb\n"


# --- now -------------------------------------------------------------------------------------------------------------

SPEC = """
contractor: 1
name: b
parameters: {{WORD: {{default: hello}}}}
{matrix}
steps:
  - create-systree: {{artifact: "{tree}"}}
  - name: Say
    shell: |
      echo $WORD
      {line}
"""


@pytest.fixture
def project(store, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(local, "choose", lambda **_given: SimpleNamespace(ids="range", owners="range"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder: Path, line: str = "true", matrix: str = "") -> None:
    Path(folder, "contractor.yaml").write_text(SPEC.format(tree="1" * 64, line=line, matrix=matrix))


def plan_now(capsys) -> list[dict]:
    return [as_json(capsys, number) for number in ("1", "2")]


def built(store: Store, folder: Path, build: str) -> Plan:
    """A build of the specification as it is now, whose results are there."""
    from contractor.build.prepare import Request, make_plans

    sandbox = local.choose()
    (plan,) = make_plans(Request(str(folder / "contractor.yaml")), store, sandbox)
    keep(store, plan, build)
    for action in plan.actions:
        Results(store, "range").add(
            Result(action.key, action.kind, action.step.name, build, 1741083300.0, 1.0, action.inputs)
        )
    return plan


def test_now_it_would_not_run(project, store, capsys):
    built(store, project, B1)
    assert out(capsys, "Say") == f"step 2 (Say) would not run: its result is there\nmade by {B1}, {_ago(B1)}\n"


def test_now_it_never_ran(project, capsys):
    text = out(capsys, "2")
    assert text.startswith("step 2 (Say) would run: never ran\n\nit is made of\n")
    assert re.search(r"^  env WORD +hello$", text, re.MULTILINE)


def test_now_something_changed(project, store, capsys):
    built(store, project, B1)
    write(project, "false")
    text = out(capsys, "2", "-p", "WORD=hi")
    assert text.startswith("step 2 (Say) would run: script line 2 changed; env WORD hello -> hi\n")
    assert "    -true\n    +false\n" in text


def test_now_its_result_was_collected(project, store, capsys):
    plan = built(store, project, B1)
    key = plan.actions[1].key
    result = Results(store, "range").read(key)
    Results(store, "range").add(msgspec.structs.replace(result, state=True))
    text = out(capsys, "2")
    assert text.startswith("step 2 (Say) would run: its result was collected")
    assert f"made by {B1}" in text
    for folder in ("results", *(f"results/unsynced/{name}" for name in os.listdir(store.path("results", "unsynced")))):
        Path(store.path(folder), f"{key}.json").unlink(missing_ok=True)
    remember(store, "gc --size 1G", keys=[key])
    text = out(capsys, "2")
    assert f"made by {B1}" in text
    assert "by `gc --size 1G`" in text
    assert as_json(capsys, "2")["state"] == "collected"


def test_now_after_a_failure_what_changed_since_it_last_finished(project, store, capsys):
    built(store, project, B1)
    write(project, "false")
    plan = built(store, project, B2)
    for name in os.listdir(store.path("results", "unsynced")):
        Path(store.path("results", "unsynced", name), f"{plan.actions[1].key}.json").unlink()
    record = Records(store).read(B2)
    failed = msgspec.structs.replace(record.steps[1], outcome="failed")
    Records(store).write(msgspec.structs.replace(record, steps=(record.steps[0], failed)))
    text = out(capsys, "Say")
    assert text.startswith(f"step 2 (Say) would run: failed last time ({B2})\nit last finished in {B1} (")
    assert "    +false\n" in text


def test_each_combination_of_the_matrix_has_an_answer(project, capsys):
    write(project, matrix="matrix: {flavour: [x, y]}")
    text = out(capsys, "2")
    assert "would run for flavour=x: never ran" in text
    assert "would run for flavour=y: never ran" in text
    assert "flavour=y" not in out(capsys, "2", "--only", "flavour=x")


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_plan_that_is_gone_or_damaged(project, store, capsys):
    built(store, project, B1)
    built(store, project, B2)
    path = Path(Records(store).folder(B2), "plan.json")
    for data in (b'{"actions": [', b"{}", b"\xff", b"[" * 5000):
        path.write_bytes(data)
        assert f"the plan of {B2} cannot be read" in out(capsys, "2", "--build", B2, code=6)
    write(project, "false")
    assert main(["why", "2"]) == 0
    found = capsys.readouterr()
    assert f"compared with {B1}" in found.out
    assert f"the plan of {B2} cannot be read" in found.err
    path.unlink()
    assert f"the plan of {B2} is not there any more" in out(capsys, "2", "--build", B2, code=2)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("Sya",), "did you mean 'Say'?"),
        (("7", "--build", B1), "1. "),
        (("2", "--build", "nope"), "there is no build nope"),
        (("2", "--build", "b~1"), "the store has 1 build of b"),
        (("2", "--build", B1, "-p", "A=1"), "leave out --build"),
        (("2", "nowhere.yaml"), "there is no specification"),
        ((), "STEP"),
    ],
)
def test_what_cannot_be_answered(project, store, capsys, argv, said):
    built(store, project, B1)
    assert said in out(capsys, *argv, code=2)


def test_a_name_that_fits_two_steps_lists_them(store, capsys):
    keep(store, planned(SOURCE, named("Test", model.Shell("a")), named("Test", model.Shell("b"))), B1)
    text = out(capsys, "Test", "--build", B1, code=2)
    assert "  2. Test\n  3. Test\nhint: give the number\n" in text
