"""gc in a real store: what goes is gone, what nobody names goes, what a running build uses is never touched."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec
import pytest
from gckit import TOOLS, add_build, age, failed_build, finished, key_of, live, put, run_gc

from contractor.store.collected import collected_builds, when_collected
from contractor.store.gc import Policy, Tools, collect
from contractor.store.gc_policy import YOUNG
from contractor.store.layout import Store, take_lock
from contractor.store.results import Results, artifact_path


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def test_results_and_what_they_name_go_to_reach_the_size(store):
    key = finished(store, "one")
    put(store, f"layers/x/{key}/etc/file")
    other = finished(store, "two")
    report = run_gc(store, size=0)
    assert {item.path for item in report.removed} == {f"states/{key}", f"layers/x/{key}", f"states/{other}"}
    assert report.results == 2
    assert Results(store, "x").find(key) is None
    assert os.listdir(store.path("states")) == os.listdir(store.path("trash")) == []
    assert os.listdir(store.path("layers", "x")) == []


def test_settled_results_are_seen_and_removed_too(store):
    key = finished(store, "one")
    Results(store, "x").settle(lambda _fd: None)
    assert run_gc(store).results == 0
    assert Results(store, "x").find(key) is not None
    assert run_gc(store, size=0).results == 1
    assert [name for name in os.listdir(store.path("results")) if name.endswith(".json")] == []


def test_a_running_builds_keys_stay_whatever_the_size(store):
    root = finished(store, "root")
    key = finished(store, "used", before=root)
    gone = finished(store, "gone")
    lock = live(store, "20250101-000000-b-aaaa", f"{key}\n")
    report = run_gc(store, size=0)
    os.close(lock)
    assert report.results == 1
    assert report.live == ("20250101-000000-b-aaaa",)
    results = Results(store, "x")
    assert results.find(key) and results.find(root) and not results.find(gone)
    assert os.path.isdir(store.path("work", "20250101-000000-b-aaaa"))


def test_a_running_builds_plan_protects_what_it_has_stored_without_a_result(store):
    key, source = key_of("state"), key_of("source")
    put(store, f"states/{key}")
    blob = put(store, artifact_path(store, source)[len(store.root) + 1 :])
    lock = live(store, "b", "")
    put(store, "builds/b/plan.json", data=msgspec.json.encode({"actions": [{"key": key, "inputs": {"s": source}}]}))
    assert run_gc(store).removed == ()
    os.close(lock)
    removed = {item.path for item in run_gc(store).removed}
    assert {f"states/{key}", "work/b"} <= removed
    assert not blob.exists()


def test_what_crashes_left_goes_and_what_is_young_or_kept_stays(store):
    paths = [
        "trash/x/y",
        "blobs/.artifact-00",
        "blobs/.source-1",
        "blobs/tmp/ab",
        "states/.k.00.tmp",
        "layers/x/.gc-00-k/etc",
        "results/unsynced/other-boot/k.json",
        f"states/{key_of('nobody')}",
        "builds/no-record/log",
    ]
    for path in paths:
        put(store, path)
    for folder in ("builds/no-record", "trash/x", "layers/x/.gc-00-k"):
        age(Path(store.root, folder))
    dead = put(store, "work/dead/place/ws/file")
    age(Path(store.root, "work/dead"))
    starting = put(store, "work/starting/lock", old=False)
    young = put(store, f"states/{key_of('young')}", old=False)
    kept = put(store, "work/kept/place/ws/file")
    age(Path(store.root, "work/kept"))
    record = {"started": 1.0, "outcome": "failed", "kept": f"{store.root}/work/kept/place/ws"}
    put(store, "builds/kept/record.json", data=msgspec.json.encode(record))

    dry = run_gc(store, dry_run=True)
    assert dead.exists()
    report = run_gc(store)
    assert report.removed == dry.removed
    assert not dead.exists()
    assert [path for path in paths if Path(store.root, path).exists()] == []
    assert starting.exists() and young.exists() and kept.exists()
    assert [item.path for item in report.workspaces] == ["work/kept"]
    assert run_gc(store).removed == ()


def test_a_full_trash_folder_does_not_stop_it(store, monkeypatch):
    key = finished(store, "one")
    real = os.rename

    def full(source: str, target: str) -> None:
        if "/trash/" in target:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", full)
    assert run_gc(store, size=0).troubles == ()
    assert not os.path.exists(store.state(key))


def test_it_waits_for_look_ups(store):
    fd = take_lock(store.path("locks", "gc"), shared=True)
    assert fd is not None
    failed_build(store, "b", 1)
    seen: list[bool] = []

    def measure(folder: str, name: str) -> int:
        seen.append(True)  # measuring holds no lock
        fcntl.flock(fd, fcntl.LOCK_UN)
        return 0

    collect(store, Policy(), Tools(TOOLS.remove, measure))
    os.close(fd)
    assert seen


def test_a_failed_builds_workspace_stays_with_its_chain_and_layer_then_goes(store):
    build, layer, first, left = failed_build(store, "b", 3)
    kept = [store.state(left), store.state(first), store.layer("x", layer)]
    report = run_gc(store, keep_days=4)
    assert report.removed == () and all(map(os.path.exists, kept))
    report = run_gc(store, failed_days=2, size=0)
    assert {item.path for item in report.removed} == {f"states/{left}", f"states/{first}", f"layers/x/{layer}"}
    assert report.failed_workspaces == 1 and report.results == 2
    assert not any(map(os.path.exists, kept))
    assert "contractor gc --size 0 --failed-days 2" in when_collected(store, left)
    assert when_collected(store, layer) and not when_collected(store, key_of("else"))
    assert os.path.exists(store.path("builds", build, "record.json"))


def test_a_shell_in_a_failed_builds_workspace_keeps_all_of_it(store):
    _build, layer, first, left = failed_build(store, "b", 300)
    lock = live(store, "shell", f"{left}\n")
    assert run_gc(store, size=0, records_days=1).results == 0
    os.close(lock)
    for path in (store.state(left), store.state(first), store.layer("x", layer)):
        assert os.path.exists(path)


def test_records_go_with_their_logs_and_are_remembered(store):
    old = add_build(store, "old", 40, "succeeded", [{"key": key_of("a"), "outcome": "succeeded"}])
    new = add_build(store, "new", 1, "succeeded", [{"key": key_of("a"), "outcome": "cached"}])
    put(store, f"builds/{old}/log")
    report = run_gc(store, records_days=30)
    assert [(item.path, item.why) for item in report.removed] == [
        (f"builds/{old}", "its build ended 40 days ago (--records-days 30)")
    ]
    assert os.listdir(store.path("builds")) == [new]
    assert os.listdir(store.path("trash")) == []
    assert list(collected_builds(store, "old")) == list(collected_builds(store, old[:10])) == [old]
    assert "contractor gc --records-days 30" in collected_builds(store, old)[old]


def test_what_cannot_be_removed_is_told_and_the_rest_goes(store):
    key = finished(store, "one")
    layer = put(store, f"layers/x/{key}/etc/file")

    def stuck(folder: str, names: list[str]) -> list[str]:
        return [f"{folder}/{name}: busy" for name in names]

    report = collect(store, Policy(size=0), Tools(stuck, TOOLS.measure))
    assert len(report.troubles) == 1 and "busy" in report.troubles[0]
    assert not layer.exists() and not os.path.exists(store.state(key))


def test_a_layer_that_is_gone_is_no_trouble(store):
    build, layer, first, _left = failed_build(store, "b", 3)
    TOOLS.remove(store.path("layers", "x"), [layer])
    os.unlink(store.state(first))
    report = run_gc(store)
    (row,) = [row for row in report.account.rows if row.build == build]
    assert row.gone == (f"step 1 ({first[:4]}): its workspace's state",)
    assert report.removed == ()


def test_a_build_that_ends_while_gc_measures_is_known_in_time(store):
    _build, _layer, _first, _left = failed_build(store, "one", 300)
    made = []

    def measure(folder: str, name: str) -> int:
        if not made:
            made.append(failed_build(store, "two", 0))
        return 0

    collect(store, Policy(keep_builds=1), Tools(TOOLS.remove, measure))
    assert os.path.exists(store.state(made[0][3])) and os.path.exists(store.state(made[0][2]))


def test_what_a_running_build_made_long_ago_may_yet_get_its_name(store):
    """A person may sit in a shell of a failed step for hours, and the record is written when they leave."""
    moment = time.time() - 3 * YOUNG
    build = add_build(store, "b", 0.5, "running", [], started=moment, finished=0.0)
    state = put(store, f"states/{key_of('left')}")
    lock = live(store, build, "")
    assert run_gc(store, size=0).removed == ()
    os.close(lock)
    assert f"states/{key_of('left')}" in {item.path for item in run_gc(store).removed}
    assert not state.exists()
