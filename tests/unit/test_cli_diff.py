"""contractor diff: two builds from inputs to outputs, the verdict, and the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_store import NEW, OLD, artifact, two_builds
from hypothesis import given
from hypothesis import strategies as st
from plan_kit import OUT, SOURCE, TREE, keep, named, planned

from contractor.build.compare.builds import compare_builds
from contractor.build.compare.members import Seen, compare
from contractor.build.compare.steps import Side
from contractor.cli.main import main
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.records import Records
from contractor.store.results import artifact_path

B1, B2, B3 = (f"2025030{day}-101500-b-000{day}" for day in (1, 2, 3))
COMPILE = named("Compile", model.Shell("cd src\nmake\n"), env={"CC": "gcc"})
CHECK = named("Check", model.Shell("make check"), env={"CC": "gcc"})
BUILD = (SOURCE, TREE, model.Apt(("gcc",)), COMPILE, CHECK, OUT)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    return Store(str(tmp_path / "store"))


def out(capsys, *argv: str, code: int = 1) -> str:
    assert main(["diff", *argv]) == code
    found = capsys.readouterr()
    return found.err if code == 2 else found.out


def as_json(capsys, *argv: str, code: int = 1) -> dict:
    found = json.loads(out(capsys, *argv, "--json", code=code))
    assert found["version"] == 1
    return found


def sections(text: str) -> list[str]:
    return [line for line in text.split("\n")[2:-2] if line and not line.startswith((" ", "note:"))]


def tree(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        Path(folder, name).write_text(text)
        os.utime(folder / name, (1, 1))
    return folder


# --- the same --------------------------------------------------------------------------------------------------------


def test_times_places_and_hosts_are_no_difference(store, capsys, tmp_path):
    made = (artifact(store, tree(tmp_path / "t", a="a"), "out"),)
    keep(store, planned(*BUILD), B1, artifacts=made, spec="/a/contractor.yaml", host={"kernel": "Linux 6.1"})
    keep(
        store, planned(*BUILD), B2, artifacts=made, spec="b.yaml", host={"kernel": "Linux 6.9"}, memory="watched",
        seconds=99.0, more={3: {"seconds": 60.0}},
    )  # fmt: skip
    text = out(capsys, B1, B2, code=0)
    assert sections(text) == ["specification", "environment", "times"]
    assert "  4 Compile    1.0 s -> 1 min 00 s  60 times as long\n" in text
    assert text.endswith("\nthe same inputs, the same outputs\n")
    found = as_json(capsys, B1, B2, code=0)
    assert found["differs"] == []
    assert found["same_inputs"] is True


def test_a_build_and_itself(store, capsys):
    keep(store, planned(*BUILD), B1)
    text = out(capsys, B1, "last", code=0)
    assert "note: this is one and the same build\n" in text
    assert sections(text) == []
    assert {step["how"] for step in as_json(capsys, B1, B1, code=0)["steps"]} == {"same"}


def test_a_result_that_was_found_proves_nothing(store, capsys, tmp_path):
    made = (artifact(store, tree(tmp_path / "t", a="a"), "out"),)
    keep(store, planned(*BUILD), B1, artifacts=made)
    more = {n: {"made_by": B1} for n in range(6)}
    keep(store, planned(*BUILD), B2, *["cached"] * 6, artifacts=made, more=more)
    assert f"the same outputs (made once, by {B1}: " in out(capsys, B1, B2, code=0)


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_what_went_in(store, capsys):
    keep(store, planned(*BUILD), B1, parameters={"A": "1", "OLD": "x"}, tools={"bwrap": "0.8"}, limits={"time": 60.0})
    libfoo = model.Apt(("gcc", "libfoo"))
    compile_ = named("Compile", model.Shell("cd src\nmake all\n"), env={"CC": "clang"})
    check = named("Check", CHECK.action, env={"CC": "clang"})
    new = planned(SOURCE, TREE, libfoo, compile_, check, OUT, source="b" * 64, epoch=2)
    keep(store, new, B2, parameters={"A": "2"}, tools={"bwrap": "0.9"}, limits={"time": 3600.0})
    text = out(capsys, B1, B2)
    assert sections(text) == ["plan", "parameters", "epoch", "inputs", "steps", "environment"]
    assert "\nparameters\n  A    1 -> 2\n  OLD  x -> none\n" in text
    assert "\nepoch\n  epoch  1 (1970-01-01 00:00:01) -> 2 (1970-01-01 00:00:02)\n" in text
    assert "\ninputs\n  source .  aaaaaaaaaaaa -> bbbbbbbbbbbb\n" in text
    assert "  ~ 3 apt gcc libfoo\n      packages grew by libfoo\n" in text
    assert "        -make\n        +make all\n  ~ 5 Check\n      its environment (below)\n" in text
    assert "  step 6 differs only because of these\n" in text
    assert "  env CC gcc -> clang (steps 4-5)\n" in text
    assert "  tool bwrap  0.8 -> 0.9\n" in text
    assert "  limit time  1m -> 1h\n" in text
    found = as_json(capsys, B1, B2)
    assert found["differs"] == ["parameters", "epoch", "inputs", "environment", "steps"]
    assert [step["how"] for step in found["steps"]] == ["changed", "same", *["changed"] * 4]
    assert {fact["name"]: (fact["a"], fact["b"]) for fact in found["facts"]}["OLD"] == ("x", None)


def test_steps_that_came_went_and_moved(store, capsys):
    keep(store, planned(*BUILD), B1)
    keep(store, planned(TREE, SOURCE, model.Apt(("gcc",)), named("New", model.Shell("x")), COMPILE, OUT), B2)
    text = out(capsys, B1, B2)
    assert "  + 4 New\n" in text
    assert "  - 5 Check\n" in text
    assert "(moved)\n" in text
    assert "other inputs" in text
    steps = as_json(capsys, B1, B2)["steps"]
    assert [(step["a"], step["b"]) for step in steps] == [(2, 1), (1, 2), (3, 3), (None, 4), (4, 5), (5, None), (6, 6)]


def test_a_base_is_told_with_its_own_step(store, capsys):
    def base(suite: str):
        return lambda _name, _step: planned(model.Debootstrap(suite), model.CreateArtifact("debian"), name="debian")

    for build, suite in ((B1, "bookworm"), (B2, "trixie")):
        keep(store, planned(model.CreateSystree(base="debian"), COMPILE, base=base(suite)), build)
    text = out(capsys, B1, B2)
    assert "artifact changed because of step 1 (debootstrap trixie) of the base debian\n" in text
    assert "suite bookworm -> trixie\n" in text


def test_packages_and_requests(store, capsys):
    def apt(packages, *fetched):
        fetches = tuple(
            Fetch("GET", url, "allowed", status=200, size=size, sha256=digest) for url, size, digest in fetched
        )
        return {2: {"packages": packages, "fetches": fetches}, 3: {"packages": packages}}

    one = apt(("libc6:amd64=2.36", "old=1"), ("http://d/x", 10, "a"), ("http://d/y", 5, "b"))
    two = apt(("libc6:amd64=2.37", "new=1"), ("http://d/x", 10, "c"), ("http://d/z", 5, "b"))
    keep(store, planned(*BUILD), B1, more=one)
    keep(store, planned(*BUILD), B2, more=two)
    text = out(capsys, B1, B2)
    assert (
        "\npackages\n"
        "  after step 3 (apt gcc): 1 new, 1 gone, 1 of another version\n"
        "    ~ libc6 2.36 -> 2.37\n    + new 1\n    - old 1\n"
        "  after step 4 (Compile): 1 new, 1 gone, 1 of another version, as before\n"
    ) in text
    assert "\nfetches\n  ~ http://d/x  other content\n  - http://d/y\n  + http://d/z\n" in text
    assert as_json(capsys, B1, B2)["fetches"][0]["what"] == {"sha256": ["a", "c"]}


# --- outcomes and outputs --------------------------------------------------------------------------------------------


def test_outputs_member_by_member(store, capsys, tmp_path):
    old = artifact(store, tree(tmp_path / "old", a="1", b="same", gone="x"), "out")
    Path(tree(tmp_path / "new", a="2", b="same", more="x"), "b").chmod(0o755)
    os.utime(tmp_path / "new" / "a", (1, 60))
    new = artifact(store, tmp_path / "new", "out")
    keep(store, planned(*BUILD), B1, artifacts=(old, artifact(store, tmp_path / "old", "only")))
    keep(store, planned(*BUILD), B2, artifacts=(new,))
    text = out(capsys, B1, B2)
    assert f"  ~ out  {old.digest[:12]} -> {new.digest[:12]}: 4 members differ\n" in text
    assert "    ~ a  content, mtime 1 (1970-01-01 00:00:01) -> 60 (1970-01-01 00:01:00)\n" in text
    assert "    ~ b  mode 0644 -> 0755\n    - gone\n    + more\n  - only\n" in text
    assert text.endswith("\nthe same inputs but other outputs: not reproducible\n")
    members = as_json(capsys, B1, B2)["outputs"][0]["members"]
    assert members[1] == {"path": "b", "how": "changed", "what": {"mode": ["0644", "0755"]}}


def test_an_archive_that_is_gone_or_damaged(store, capsys, tmp_path):
    old = artifact(store, tree(tmp_path / "old", a="1"), "out")
    new = artifact(store, tree(tmp_path / "new", a="2"), "out")
    keep(store, planned(*BUILD), B1, artifacts=(old,))
    keep(store, planned(*BUILD), B2, artifacts=(new,))
    path = Path(artifact_path(store, new.digest))
    for data in (b"nonsense", path.read_bytes()[:-20]):
        path.write_bytes(data)
        assert "members are not compared: cannot be read: " in out(capsys, B1, B2)
    path.unlink()
    assert f"members are not compared: {new.digest[:12]} not in the store any more" in out(capsys, B1, B2)


@pytest.mark.parametrize(
    ("first", "second", "same", "said"),
    [
        ("succeeded", "failed", True, "the same inputs, but a succeeded, b failed: it depends on something that is no"),
        ("succeeded", "broken", True, "the same inputs; a succeeded, b was broken"),
        ("failed", "succeeded", False, "other inputs; a failed, b succeeded"),
        ("failed", "failed", True, "the same inputs; both failed, and neither made an artifact"),
        ("succeeded", "running", True, "the same inputs; a succeeded, b died"),
    ],
)
def test_verdicts_about_outcomes(store, capsys, first, second, same, said):
    keep(store, planned(*BUILD), B1, outcome=first)
    keep(store, planned(*BUILD, source=("a" if same else "b") * 64), B2, outcome=second)
    assert out(capsys, B1, B2, code=int(first != second or not same)).split("\n")[-2].startswith(said)


def test_other_outputs_because_of_the_network(store, capsys, tmp_path):
    for build, version in ((B1, "1"), (B2, "2")):
        made = artifact(store, tree(tmp_path / build, a=version), "out")
        keep(store, planned(*BUILD), build, artifacts=(made,), more={2: {"packages": (f"gcc={version}",)}})
    assert out(capsys, B1, B2).endswith("\nthe same inputs, but the network gave other things: other outputs\n")


def test_builds_of_different_things_are_compared_and_it_is_said(store, capsys):
    keep(store, planned(*BUILD, matrix={"arch": "amd64"}), B1)
    keep(store, planned(*BUILD, matrix={"arch": "arm64"}), B2)
    assert "note: they are builds of different combinations of the matrix\n" in out(capsys, B1, B2)
    keep(store, planned(*BUILD, name="other"), "20250304-101500-other-0001")
    assert "note: they are builds of different specifications: b and other\n" in out(capsys, B1, "other")


def test_without_plans_the_records_are_compared(store, capsys):
    two_builds(store)
    text = out(capsys, OLD, NEW)
    assert "note: the plan of a cannot be read" in text
    assert "  ~ 2 Test: succeeded -> failed\n" in text
    assert "  + 3 Pack\n" in text
    keep(store, planned(*BUILD), B1)
    Path(Records(store).folder(B1), "plan.json").write_bytes(b"{")
    assert "note: the plan of b cannot be read" in out(capsys, B1, B1, code=0)


def test_hostile_names_and_values_do_not_reach_the_terminal(store, capsys, tmp_path):
    evil = "\x1b]0;x\x07\u202e\x9b2Ja\nb"
    folder = tmp_path / "t"
    folder.mkdir()
    Path(folder, "\x1b[2J\n").write_text("")
    new = artifact(store, folder, "o\x1bc")
    old = artifact(store, tree(tmp_path / "u"), "o\x1bc")
    fetch = Fetch("GET", f"http://x/{evil}", "allowed")
    fields = {"message": evil, "parameters": {evil: evil}, "tools": {evil: evil}, "spec": evil}
    keep(store, planned(SOURCE, named("x", model.Shell("a"))), B1, artifacts=(old,))
    keep(
        store, planned(SOURCE, named(evil, model.Shell(evil), env={evil: evil})), B2, artifacts=(new,),
        more={1: {"packages": (evil,), "fetches": (fetch,)}}, outcome="failed", **fields,
    )  # fmt: skip
    text = out(capsys, B1, B2)
    assert not set(text) & {"\x1b", "\x9b", "\x07", "\r", "\u202e"}
    assert all(line.isprintable() for line in text.split("\n"))


# --- which builds ----------------------------------------------------------------------------------------------------


def test_the_builds_before_one(store, capsys):
    for build in (B1, B2, B3):
        keep(store, planned(*BUILD), build)
    keep(store, planned(*BUILD, name="base"), "20250309-101500-base-0001", parent=B3)
    keep(store, planned(*BUILD, name="other"), "20250304-101500-other-0001")
    find = Records(store).find
    assert [find(text) for text in ("b", "b~0", "b~", "b~1", "b~2", f"{B3}~1", "20250302~1", "b~1~1")] == [
        B3, B3, B2, B2, B1, B2, B1, B1,
    ]  # fmt: skip
    assert [find(text)[16:-5] for text in ("last", "last~1", "~1", "last~2")] == ["other", "b", "b", "b"]
    assert find("last~3") == B1
    for text in ("b~3", "last~4", "b~-1", "b~x", "b~1x", "nope~1", "b~" + "9" * 5000, "~99"):
        with pytest.raises(Rejected):
            find(text)
    assert f"a  {B2}  " in out(capsys, "b~1", "b", code=0)
    assert "is too far back: the store has 3 builds of b" in out(capsys, "b~3", "b", code=2)


# --- any input -------------------------------------------------------------------------------------------------------

PLANS = st.lists(
    st.sampled_from([SOURCE, TREE, model.Apt(("gcc",)), model.Apt(("make",)), COMPILE, CHECK, OUT]), max_size=6
)
SEEN = st.builds(
    Seen, st.just("file"), st.sampled_from("ab"), st.integers(0, 1), st.just("0644"), st.integers(0, 1),
    st.just("0:0"), st.just(""), st.just(""),
)  # fmt: skip
ARCHIVES = st.dictionaries(st.sampled_from([b"a", b"b", b"\xff", b"c/"]), SEEN)


def side(steps, directory: Path, build: str) -> Side:
    store = Store(str(directory))
    plan = planned(*steps)
    return Side(keep(store, plan, build), plan)


@given(PLANS, PLANS)
def test_any_two_plans_every_step_is_told_once(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("store")
    a, b = side(first, folder, B1), side(second, folder, B2)
    found = compare_builds(a, b)
    assert sorted(step.a for step in found.steps if step.a) == list(range(1, len(first) + 1))
    assert [step.b for step in found.steps if step.b] == list(range(1, len(second) + 1))
    keys = [step.key for step in a.record.steps], [step.key for step in b.record.steps]
    assert found.same_inputs == (keys[0] == keys[1])
    assert ("steps" in found.differs) == (keys[0] != keys[1])
    for step in found.steps:
        assert (step.how == "same") == bool(step.a and step.b and keys[0][step.a - 1] == keys[1][step.b - 1])
        if step.how == "follows":
            assert step.explanation.chained  # where the same step comes twice, which of them it was may be unknown
    assert compare_builds(a, a).differs == ()


@given(ARCHIVES, ARCHIVES)
def test_any_two_archives(before, after):
    changes = compare(before, after)
    differ = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert len(changes) == len(differ)
    assert all(change.what or change.how != "changed" for change in changes)
    assert compare(before, before) == ()
