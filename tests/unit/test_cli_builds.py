"""contractor list, show, artifacts, clean: what the store's records say."""

from __future__ import annotations

import json
import os
import time

import pytest
from cli_store import NEW, OLD, add, artifact, record, two_builds

from contractor.build import removal
from contractor.cli.commands.list import state_of
from contractor.cli.main import main
from contractor.core.errors import Unavailable
from contractor.store.layout import Store, take_lock
from contractor.store.records import Records
from contractor.store.results import artifact_path


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    def no_sandbox(**_given):
        raise Unavailable("no sandbox in unit tests")

    monkeypatch.setattr(removal, "choose", no_sandbox)
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def run(capsys, *argv: str) -> str:
    assert main(list(argv)) == 0
    return capsys.readouterr().out


def test_list_says_which_builds_are_those_of_others_again(store, capsys):
    for build, asked in ((OLD, ("--verify", NEW)), (NEW, ("--from", "2"))):
        add(store, record(build, asked=asked))
    lines = run(capsys, "list").splitlines()
    assert [line.split("  ")[1] for line in lines[1:]] == ["hello", "hello (verify)"]


def test_list_newest_first(store, capsys):
    lines = run(capsys, "list").splitlines()
    assert lines[0].split() == ["build", "name", "outcome", "started", "took", "artifacts"]
    assert lines[1].split() == [NEW, "hello", "failed", "2025-03-04", "10:15", "12", "s", "0"]
    assert [line.split()[0] for line in lines[1:]] == [NEW, OLD]


def test_list_a_number_and_without_bases(store, capsys):
    add(store, record("20250307-101500-base-cccc", parent=NEW))
    assert main(["list", "-n", "1"]) == 0
    found = capsys.readouterr()
    assert [line.split()[0] for line in found.out.splitlines()[1:]] == [NEW]
    assert "-n 0" in found.err
    builds = json.loads(run(capsys, "list", "--all", "--json"))["builds"]
    assert [build["id"][16:20] for build in builds] == ["base", "hell", "hell"]


def test_a_running_build_whose_lock_is_free_has_died(store):
    made = add(store, record("20250306-101500-hello-cccc", "running"))
    assert state_of(made, store) == "died"
    os.mkdir(store.path("work", made.id))
    lock = take_lock(store.path("work", made.id, "lock"))
    assert lock is not None
    assert state_of(made, store) == "running"
    os.close(lock)
    assert state_of(made, store) == "died"


def test_show_tells_steps_error_and_hint_cleanly(store, capsys):
    shown = run(capsys, "show", NEW)
    assert f"made by {OLD}" in shown
    assert "failed (2)" in shown
    assert "error: the step 'Test' failed\n  line\nhint: contractor log\n" in shown
    assert json.loads(run(capsys, "show", "--json"))["id"] == NEW


def test_hostile_names_do_not_reach_the_terminal(store, capsys):
    inputs = {"\x1b]0;owned\x07step": "x\ny"}
    add(store, record("20250308-101500-hello-dddd", inputs=inputs, message="a\x1b[2Jb"))
    assert "\x1b" not in run(capsys, "show", "last")


@pytest.fixture
def with_artifact(store, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    made = artifact(store, tree)
    add(store, record("20250309-101500-hello-eeee", artifacts=(made,)))
    return made


def test_artifacts_list_get_verify(store, with_artifact, capsys, tmp_path):
    assert with_artifact.digest in run(capsys, "artifacts", "list")
    listed = json.loads(run(capsys, "artifacts", "list", "last", "--json"))["artifacts"]
    assert listed[0]["present"] and listed[0]["digest"] == with_artifact.digest
    folder = str(tmp_path / "out")
    assert run(capsys, "artifacts", "get", "last", "hello", "-o", folder) == f"{folder}/hello.tar.zst\n"
    assert sorted(os.listdir(folder)) == ["SHA256SUMS", "hello.tar.zst"]
    assert run(capsys, "artifacts", "verify").startswith("intact")
    assert run(capsys, "artifacts", "verify", with_artifact.digest).startswith("intact")
    assert main(["artifacts", "get", "last", "hallo", "-o", folder]) == 2
    assert "did you mean hello?" in capsys.readouterr().err


def test_a_damaged_artifact_is_code_6_and_is_not_found_again(store, with_artifact, capsys):
    path = artifact_path(store, with_artifact.digest)
    with open(path, "r+b") as file:
        file.seek(20)
        file.write(b"\xff\xff\xff")
    assert main(["artifacts", "verify", "last"]) == 6
    found = capsys.readouterr()
    assert found.out.startswith("damaged")
    assert with_artifact.digest in found.err
    assert not os.path.exists(path)
    assert main(["artifacts", "verify", "last", "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["artifacts"][0]["state"] == "missing"
    assert "gone" in run(capsys, "artifacts", "list")


def test_clean_removes_the_workspace_and_only_on_request_the_record(store, capsys):
    folder = store.path("work", OLD, "place", "ws")
    os.makedirs(folder)
    made = Records(store).read(OLD)
    Records(store).write(record(OLD, steps=made.steps, kept=folder))
    assert f"would remove work/{OLD}" in run(capsys, "clean", "--kept", "--dry-run")
    assert f"removed work/{OLD}" in run(capsys, "clean", "--kept")
    assert not os.path.exists(store.path("work", OLD))
    assert Records(store).read(OLD).kept == ""
    assert f"removed builds/{OLD}" in run(capsys, "clean", "--records", OLD)
    assert not os.path.exists(store.path("builds", OLD))


def test_clean_leaves_a_running_build_alone(store, capsys):
    os.makedirs(store.path("work", OLD, "place"))
    lock = take_lock(store.path("work", OLD, "lock"))
    assert lock is not None
    assert main(["clean", "--records", OLD]) == 2
    assert "is running" in capsys.readouterr().err
    assert run(capsys, "clean", "--kept") == ""
    os.close(lock)
    assert main(["clean"]) == main(["clean", "--kept", OLD]) == 2


def test_gc_prints_and_is_documented_json(store, capsys):
    assert "kept" in run(capsys, "gc", "--dry-run")
    found = json.loads(run(capsys, "gc", "--size", "1G", "--json"))
    assert {"version", "dry_run", "freed", "removed", "results", "kept", "live", "troubles"} <= set(found)
    assert main(["gc", "--size", "much"]) == main(["gc", "--keep-builds", "-1"]) == 2
