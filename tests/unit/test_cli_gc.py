"""contractor gc, clean and what is said of collected builds and of a store that was moved."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import pytest
from cli_store import NEW, OLD, add, artifact, record, step, two_builds

from contractor.build import removal
from contractor.cli.commands.gc import parser, policy_of
from contractor.cli.gc_text import short
from contractor.cli.main import main
from contractor.core.errors import Rejected, Unavailable
from contractor.store.gc import Policy
from contractor.store.layout import Store
from contractor.store.records import Records

LEFT = "1f" * 32
KEY = "2e" * 32


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


def fail_now(store: Store, days: float = 0.0) -> str:
    """A build that failed so many days ago, and whose step left its workspace."""
    moment = time.time() - days * 86400
    build = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(moment))}-hello-eeee"
    steps = (step("Test", "failed", key=KEY, left=LEFT),)
    add(store, record(build, "failed", started=moment, finished=moment, steps=steps), b"no\n")
    plan = {"actions": [{"key": KEY, "before": "", "layers": []}]}
    Path(Records(store).folder(build), "plan.json").write_bytes(msgspec.json.encode(plan))
    Path(store.state(LEFT)).write_bytes(b"x" * 5000)
    os.utime(store.state(LEFT), (1, 1))
    return build


def test_the_text_says_what_stays_why_and_how_large(store, capsys):
    build = fail_now(store)
    assert main(["gc"]) == 0
    found = capsys.readouterr()
    lines = found.out.splitlines()
    assert lines[0] == "freed 0 B in 0 items"
    assert next(line.split() for line in lines if "states of workspaces" in line)[-3:] == ["1", "8.2", "kB"]
    (row,) = [line for line in lines if line.startswith(build)]
    assert "workspace of failed step 1 until 20" in row
    assert [line.split()[0] for line in lines if line.startswith("202")] == [build, NEW, OLD]
    assert "results stay until a limit is given" in found.err
    assert os.path.exists(store.state(LEFT))


def test_explain_removes_nothing_and_leaves_no_row_out(store, capsys):
    build = fail_now(store, 30)
    for number in range(15):
        add(store, record(f"20250301-1015{number:02}-more-aaaa", started=1740800000.0 + number))
    assert "... and 8 older builds (`contractor gc --explain` tells all)" in run(capsys, "gc", "--dry-run")
    shown = run(capsys, "gc", "--explain")
    assert len([line for line in shown.splitlines() if "-more-aaaa" in line]) == 15
    assert "would free 8.2 kB in 1 item, 1 failed step's workspace" in shown
    assert f"left by step 1 of {build}, which ended 30 days ago (--failed-days 7)" in shown
    assert os.path.exists(store.state(LEFT))
    assert "freed 8.2 kB" in run(capsys, "gc")
    assert not os.path.exists(store.state(LEFT))
    assert "gone: step 1 (Test): the workspace that it left" in run(capsys, "gc", "--explain")
    assert "not complete" in run(capsys, "gc")


def test_json_has_all_of_it(store, capsys):
    build = fail_now(store)
    found = json.loads(run(capsys, "gc", "--keep-days", "3", "--json"))
    assert found["version"] == 2 and found["policy"]["keep_days"] == 3
    assert {"removed", "freed", "results", "records", "failed_workspaces", "kept", "live", "troubles"} <= found.keys()
    rows = found["account"]["rows"]
    assert [row["build"] for row in rows] == [build, NEW, OLD]
    assert rows[0].keys() == {"build", "outcome", "started", "size", "alone", "why", "gone", "pinned"}
    assert found["account"]["kinds"]["records"]["count"] == 3
    assert sum(kind["size"] for kind in found["account"]["kinds"].values()) == found["kept"]


def test_a_size_that_cannot_be_reached_says_what_holds_it(store, capsys):
    build = fail_now(store)
    assert main(["pin", build]) == 0
    assert main(["gc", "--size", "1K", "--failed-days", "0"]) == 0
    told = capsys.readouterr().err
    assert "what stays has more than 1K: pinned builds need 8.2 kB (`contractor pin` lists them)" in told
    assert "(--records-days)" in told
    assert os.path.exists(store.state(LEFT))


def test_a_collected_build_is_known_as_such(store, capsys):
    build = fail_now(store)
    assert "freed 25 kB in 2 items, 2 records" in run(capsys, "gc", "--records-days", "30")
    assert [line.split()[0] for line in run(capsys, "list").splitlines()[1:]] == [build]
    for command in (["show", OLD], ["log", OLD[:12]], ["artifacts", "list", NEW], ["pin", OLD]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "any more" in told and "collected on 20" in told and "contractor gc --records-days 30" in told
    assert main(["clean", build, "--records"]) == 0
    assert main(["show", "hello"]) == 2
    told = capsys.readouterr().err
    assert [build_id in told for build_id in (OLD, NEW, build)] == [True] * 3
    assert f"contractor clean {build} --records" in told


@pytest.mark.parametrize(
    "argv",
    [
        ["--keep-days", "-1"],
        ["--keep-builds", "-1"],
        ["--failed-days", "nan"],
        ["--records-days", "-0.1"],
        ["--superseded-days", "x"],
        ["--size", "much"],
    ],
)
def test_what_is_no_number_is_rejected(store, capsys, argv):
    assert main(["gc", *argv]) == 2
    assert argv[0] in capsys.readouterr().err


def test_the_options_are_the_policy():
    def of(*argv: str) -> Policy:
        return policy_of(parser().parse_args(argv))

    assert of() == Policy()
    made = of("--size", "10G", "--keep-days", "1.5", "--records-days", "90")
    assert made == Policy(size=10 << 30, keep_days=1.5, records_days=90)
    assert made.options == "--size 10G --keep-days 1.5 --records-days 90"
    assert of("--failed-days", "inf").failed_days == float("inf")
    with pytest.raises(Rejected):
        of("--keep-builds", "-3")


def test_paths_are_shown_short():
    assert short(f"layers/id-range-100000/{KEY}") == "layers/id-range-100000/2e2e2e2e2e2e2e2e…"
    assert short("builds/20250304-101500-hello-aaaa") == "builds/20250304-101500-hello-aaaa"


def test_hostile_names_do_not_reach_the_terminal(store, capsys):
    steps = (step("\x1b]0;owned\x07x", "succeeded", key=KEY),)
    add(store, record("20250308-101500-hello-dddd", steps=steps))
    assert main(["pin", "20250308", "--reason", "a\x1b[2Jb"]) == 0
    assert main(["gc", "--explain"]) == 0
    assert main(["pin"]) == 0
    found = capsys.readouterr()
    assert "\x1b" not in found.out + found.err
    assert "its result" in found.out


# --- a store at another path ---


def test_a_moved_store_is_whole(store, capsys, tmp_path):
    build = fail_now(store)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    made = artifact(store, tree)
    kept = "20250309-101500-kept-eeee"
    workspace = store.path("work", kept, "place", "ws")
    add(store, record(kept, artifacts=(made,), kept=workspace))
    os.makedirs(workspace)
    before = (run(capsys, "list"), run(capsys, "log", OLD), json.loads(run(capsys, "gc", "--dry-run", "--json")))

    elsewhere = str(tmp_path / "elsewhere" / "deep")
    os.mkdir(tmp_path / "elsewhere")
    os.rename(store.root, elsewhere)
    at = ("--store", elsewhere)
    assert run(capsys, "list", *at) == before[0]
    assert run(capsys, "log", OLD, *at) == before[1]
    assert json.loads(run(capsys, "gc", "--dry-run", "--json", *at)) == before[2]
    shown = run(capsys, "show", kept, *at)
    assert f"{elsewhere}/work/{kept}/place/ws" in shown and "(gone)" not in shown
    assert json.loads(run(capsys, "list", "--json", *at))["builds"][1]["kept"].startswith(elsewhere)
    assert run(capsys, "artifacts", "verify", *at).startswith("intact")
    assert run(capsys, "artifacts", "get", kept, "-o", str(tmp_path / "out"), *at)
    assert "pinned" in run(capsys, "pin", build, *at)
    assert run(capsys, "pin", *at).splitlines()[1].startswith(build)
    assert "removed work/" in run(capsys, "clean", "--kept", *at)
    assert Records(Store(elsewhere)).read(kept).kept == ""
    assert not os.path.exists(store.root)
