"""Pins, what is said of what is gone, cleaning by name, and a store that was moved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gckit import (
    TOOLS,
    add_build,
    build_id,
    failed_build,
    finished,
    key_of,
    live,
    make_result,
    put,
    run_gc,
)

from contractor.core.errors import Rejected
from contractor.store import collected
from contractor.store.collected import collected_builds, remember, when_collected
from contractor.store.gc_clean import parts_of, take
from contractor.store.layout import Store
from contractor.store.missing import missing
from contractor.store.pins import Pin, pin, pin_of, unpin
from contractor.store.results import Results


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


# --- pins ---


def test_a_pin_keeps_record_workspace_chain_and_layer_and_goes_again(store):
    build, layer, first, left = failed_build(store, "b", 300)
    pin(store, build, "ticket 12")
    report = run_gc(store, size=0, keep_days=1, failed_days=0, records_days=1)
    assert report.removed == ()
    (row,) = report.account.rows
    assert row.pinned and row.why[0] == "pinned: ticket 12" and row.gone == ()
    assert report.account.held["pinned"] > 0
    unpin(store, build)
    unpin(store, build)
    assert pin_of(store, build) is None
    report = run_gc(store, size=0, records_days=1)
    assert {item.path for item in report.removed} == {
        f"states/{left}",
        f"states/{first}",
        f"layers/x/{layer}",
        f"builds/{build}",
    }


def test_a_pin_that_cannot_be_read_pins(store):
    build, *_others = failed_build(store, "b", 300)
    put(store, f"builds/{build}/pinned", data=b"{half")
    assert pin_of(store, build) == Pin()
    assert run_gc(store, size=0, records_days=1).removed == ()


def test_a_pinned_build_without_a_readable_record_is_no_leftover(store):
    build = build_id("b", 3)
    record = put(store, f"builds/{build}/record.json", data=b"{half")
    os.utime(record.parent, (1, 1))
    pin(store, build, "")
    assert run_gc(store).removed == ()
    unpin(store, build)
    os.utime(record.parent, (1, 1))
    assert [item.path for item in run_gc(store).removed] == [f"builds/{build}"]


def test_the_builds_that_ran_a_pinned_builds_steps_keep_their_logs(store):
    key = finished(store, "a")
    ran = add_build(store, "ran", 90, "succeeded", [{"key": key, "outcome": "succeeded"}])
    steps = [{"key": key, "outcome": "cached", "made_by": ran}]
    pinned = add_build(store, "pinned", 60, "succeeded", steps)
    pin(store, pinned, "")
    report = run_gc(store, records_days=30)
    assert report.records == 0
    assert {row.build: row.why[0] for row in report.account.rows} == {
        pinned: "pinned",
        ran: f"its log is part of {pinned}",
    }


# --- what is gone ---


def test_what_a_step_lacks_is_said_precisely(store):
    _build, layer, first, left = failed_build(store, "b", 1)
    assert missing(store, "x", (layer,), first, left) == ""
    assert missing(store, "x", (), "") == ""
    assert missing(store, "y", (layer,), first) == (
        f"the layer of step 's' (key {layer[:8]}) belongs to other ids (x, here they are y)"
    )
    os.unlink(store.state(left))
    assert missing(store, "x", (layer,), first, left) == "the workspace that the step left is gone"
    os.unlink(store.state(first))
    assert missing(store, "x", (layer,), first) == (f"the workspace's state after step 's' (key {first[:8]}) is gone")
    run_gc(store, size=0)
    text = missing(store, "x", (layer,), first)
    assert text.startswith(f"the layer of the step with key {layer[:8]} is gone (collected on ")
    assert text.endswith(" by `contractor gc --size 0`)")
    assert missing(store, "x", (), first).startswith(f"the result of the step with key {first[:8]} is gone (collected")


def test_a_state_deep_in_the_chain_is_found_and_a_circle_ends(store):
    root = finished(store, "root")
    middle = finished(store, "middle", before=root)
    top = finished(store, "top", before=middle)
    os.unlink(store.state(root))
    assert f"(key {root[:8]}) is gone" in missing(store, "x", (), top)
    Results(store, "x").add(make_result(root, state=True, before=top))
    put(store, f"states/{root}")
    assert missing(store, "x", (), top) == ""


def test_what_was_collected_is_remembered_within_bounds(store, monkeypatch):
    monkeypatch.setattr(collected, "LARGEST", 4000)
    for number in range(100):
        remember(store, "contractor gc", builds=[f"20250101-000000-b{number}-aaaa"], keys=[key_of(number)])
    path = Path(store.path("collected.jsonl"))
    assert path.stat().st_size <= 4000
    assert when_collected(store, key_of(99)).startswith("collected on 20")
    assert when_collected(store, key_of(0)) == ""
    assert list(collected_builds(store, "b99")) == ["20250101-000000-b99-aaaa"]
    assert collected_builds(store, "") == collected_builds(store, "b1234") == {}
    path.write_bytes(b'{half\n{"at": 1e300, "by": "x", "keys": ["' + key_of(1)[:16].encode() + b'"]}\n')
    assert when_collected(store, key_of(1)) == "collected by `x`"


def test_a_full_disk_only_forgets(store):
    os.mkdir(store.path("collected.jsonl"))  # cannot be written
    finished(store, "one")
    assert run_gc(store, size=0).troubles == ()
    assert when_collected(store, key_of("one")) == ""


# --- cleaning by name ---


def test_clean_takes_the_workspaces_and_on_request_the_record(store):
    build, layer, first, left = failed_build(store, "b", 1)
    put(store, f"work/{build}/place/ws/file")
    parts = parts_of(store, build, TOOLS, records=False)
    assert [part.path for part in parts] == [f"work/{build}", f"states/{left}"]
    assert take(store, build, parts, TOOLS) == []
    assert not os.path.exists(store.state(left)) and not os.path.exists(store.path("work", build))
    assert os.path.exists(store.state(first)) and os.path.exists(store.layer("x", layer))
    assert f"`contractor clean {build}`" in when_collected(store, left)
    take(store, build, parts_of(store, build, TOOLS, records=True), TOOLS)
    assert list(collected_builds(store, "b")) == [build]
    assert os.listdir(store.path("builds")) == os.listdir(store.path("trash")) == []


def test_clean_refuses_what_is_pinned_running_or_in_use(store):
    build, _layer, _first, left = failed_build(store, "b", 1)
    pin(store, build, "ticket 12")
    with pytest.raises(Rejected, match="is pinned: ticket 12") as refused:
        parts_of(store, build, TOOLS, records=False)
    assert f"contractor pin --remove {build}" in refused.value.hint
    unpin(store, build)
    parts = parts_of(store, build, TOOLS, records=False)
    lock = live(store, "shell", f"{left}\n")
    with pytest.raises(Rejected, match="in use by a build or a shell"):
        take(store, build, parts, TOOLS)
    os.close(lock)
    lock = live(store, build, "")
    with pytest.raises(Rejected, match="is running"):
        parts_of(store, build, TOOLS, records=False)
    os.close(lock)
    assert os.path.exists(store.state(left))


# --- moved ---


def test_a_moved_store_has_everything(store, tmp_path):
    build, layer, first, left = failed_build(store, "b", 1)
    pin(store, build, "why")
    put(store, f"work/{build}/place/ws/file")
    os.rename(store.root, tmp_path / "elsewhere")
    moved = Store(str(tmp_path / "elsewhere"))
    assert missing(moved, "x", (layer,), first, left) == ""
    assert pin_of(moved, build) is not None
    assert Results(moved, "x").chain(first) == [moved.state(first)]
    assert run_gc(moved, size=0).removed == ()
    unpin(moved, build)
    assert {part.path for part in parts_of(moved, build, TOOLS, records=True)} == {
        f"work/{build}",
        f"states/{left}",
        f"builds/{build}",
    }
    assert not os.path.exists(store.root)
