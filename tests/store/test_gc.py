"""gc: what a kept result names stays, what nobody names goes, and what a running build uses is never touched."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.core.events import ArtifactInfo
from contractor.store.gc import Policy, Report, Tools, collect
from contractor.store.gc_choice import YOUNG, Choice, Survey, Thing, choose, closed, digests, names, needs
from contractor.store.layout import Store, take_lock
from contractor.store.remove import remove_tree, usage
from contractor.store.results import Result, Results, artifact_path

NOW = 1_700_000_000.0


def key_of(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def make_result(key: str, **more) -> Result:
    values = {"kind": "shell", "name": "s", "build": "b", "finished": NOW, "seconds": 1.0, "inputs": {}, **more}
    return Result(key=key, **values)


@st.composite
def surveys(draw) -> Survey:
    """Chains of results with states, layers and shared artifacts, some of it without any result."""
    count = draw(st.integers(0, 12))
    keys = [key_of(number) for number in range(count)]
    pool = [key_of(f"blob{number}") for number in range(6)]
    results, used = {}, {}
    for number, key in enumerate(keys):
        if draw(st.integers(0, 5)) == 0:
            continue  # a state without a result
        before = draw(st.sampled_from(["", *keys[:number]]))
        tree = draw(st.sampled_from(["", *keys[:number]]))
        digest = draw(st.sampled_from(["", *pool]))
        results[key] = make_result(
            key,
            finished=NOW - draw(st.integers(0, 40)) * 86400.0,
            inputs={"tree": tree, "source": draw(st.sampled_from(["", *pool]))},
            before=before,
            state=draw(st.booleans()),
            layer=draw(st.booleans()),
            artifact=ArtifactInfo(name="a", digest=digest, size=1, files=1, stored=1) if digest else None,
        )
        if draw(st.booleans()):
            used[key] = NOW - draw(st.integers(0, 40)) * 86400.0
    sizes = st.integers(0, 1000)
    ages = st.sampled_from([0.0, YOUNG * 2])
    return Survey(
        now=NOW,
        results=results,
        used=used,
        states=tuple(Thing(f"states/{key}", key, draw(sizes), NOW - draw(ages)) for key in keys),
        layers=tuple(Thing(f"layers/x/{key}", key, draw(sizes), NOW - draw(ages)) for key in keys),
        blobs=tuple(Thing(f"blobs/{name}", name, draw(sizes), NOW - draw(ages)) for name in pool),
        live=frozenset(draw(st.lists(st.sampled_from([*keys, *pool]), max_size=4)) if keys else []),
        recent={2: frozenset(draw(st.lists(st.sampled_from(keys), max_size=4)) if keys else [])},
        other=draw(sizes),
    )


policies = st.builds(
    Policy,
    size=st.none() | st.integers(0, 8000),
    keep_days=st.none() | st.integers(0, 30).map(float),
    keep_builds=st.none() | st.just(2),
)


def kept_of(survey: Survey, choice: Choice) -> dict[str, Result]:
    return {key: result for key, result in survey.results.items() if key not in choice.results}


@given(surveys(), policies)
def test_nothing_that_a_kept_result_names_goes(survey, policy):
    choice = choose(survey, policy)
    kept = kept_of(survey, choice)
    gone = {thing.name for thing, _why in choice.things}
    for key, result in kept.items():
        assert key not in gone
        assert not digests(result) & gone
        for other in needs(result):
            assert other not in gone
            assert other in kept or other not in survey.results


@given(surveys(), policies)
def test_what_a_running_build_uses_stays_with_all_that_it_needs(survey, policy):
    choice = choose(survey, policy)
    assert not survey.live & {thing.name for thing, _why in choice.things}
    assert closed(survey.live, survey.results) <= set(kept_of(survey, choice))


@given(surveys(), policies)
def test_the_sizes_add_up(survey, policy):
    choice = choose(survey, policy)
    everything = sum(thing.size for thing in (*survey.states, *survey.layers, *survey.blobs))
    assert choice.kept + choice.freed == everything + survey.other
    assert choice.kept_results + len(choice.results) == len(survey.results)


@given(surveys())
def test_without_a_limit_no_result_goes(survey):
    choice = choose(survey, Policy())
    assert choice.results == ()
    named = {name for result in survey.results.values() for name in names(result)}
    for thing in (*survey.states, *survey.layers, *survey.blobs):
        old = thing.mtime <= survey.now - YOUNG
        goes = old and thing.name not in named | survey.live
        assert (thing in [item for item, _why in choice.things]) == goes


@given(surveys(), st.integers(0, 8000))
def test_a_size_is_reached_or_only_what_must_stay_is_left(survey, size):
    choice = choose(survey, Policy(size=size))
    if choice.kept > size:
        assert set(kept_of(survey, choice)) == closed(survey.live, survey.results)


def test_the_least_recently_used_goes_first_and_a_use_counts():
    old, used, new = key_of("old"), key_of("used"), key_of("new")
    results = {
        old: make_result(old, finished=NOW - 100, state=True),
        used: make_result(used, finished=NOW - 200, state=True),
        new: make_result(new, finished=NOW - 50, state=True),
    }
    states = tuple(Thing(f"states/{key}", key, 10, 0.0) for key in results)
    survey = Survey(now=NOW, results=results, used={used: NOW - 1}, states=states)
    assert choose(survey, Policy(size=25)).results == (old,)
    assert set(choose(survey, Policy(size=10)).results) == {old, new}


def test_keep_days_and_keep_builds_each_keep():
    first, second, third = key_of(1), key_of(2), key_of(3)
    results = {
        first: make_result(first, finished=NOW - 10 * 86400),
        second: make_result(second, finished=NOW - 20 * 86400),
        third: make_result(third, finished=NOW - 30 * 86400),
    }
    survey = Survey(now=NOW, results=results, used={}, recent={1: frozenset({third})})
    assert choose(survey, Policy(keep_days=15, keep_builds=1)).results == (second,)


# --- effects, in a real store ---


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def _remove(folder: str, names: list[str]) -> list[str]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        for name in names:
            remove_tree(fd, name)
    finally:
        os.close(fd)
    return []


def _measure(folder: str, name: str) -> int:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return usage(fd, name)[0]
    finally:
        os.close(fd)


def run_gc(store: Store, policy: Policy | None = None, **more) -> Report:
    return collect(store, policy or Policy(), Tools(_remove, _measure), **more)


def put(store: Store, path: str, *, old: bool = True, data: bytes = b"x" * 5000) -> Path:
    found = Path(store.root, path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_bytes(data)
    if old:
        age(found)
    return found


def age(path: Path) -> None:
    moment = time.time() - 2 * YOUNG
    os.utime(path, (moment, moment), follow_symlinks=False)


def finished(store: Store, name: str, **more) -> str:
    """A result with its state in the store."""
    key = key_of(name)
    put(store, f"states/{key}")
    Results(store, "x").add(make_result(key, finished=time.time(), state=True, **more))
    return key


def live(store: Store, build: str, uses: str) -> int:
    folder = Path(store.root, "work", build)
    folder.mkdir()
    (folder / "uses").write_text(uses)
    lock = take_lock(f"{folder}/lock")
    assert lock is not None
    age(folder)
    return lock


def test_results_and_what_they_name_go_to_reach_the_size(store):
    key = finished(store, "one")
    put(store, f"layers/x/{key}/etc/file")
    other = finished(store, "two")
    report = run_gc(store, Policy(size=0))
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
    assert run_gc(store, Policy(size=0)).results == 1
    assert [name for name in os.listdir(store.path("results")) if name.endswith(".json")] == []


def test_a_running_builds_keys_stay_whatever_the_size(store):
    root = finished(store, "root")
    key = finished(store, "used", before=root)
    gone = finished(store, "gone")
    lock = live(store, "20250101-000000-b-aaaa", f"{key}\n")
    report = run_gc(store, Policy(size=0))
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
    assert run_gc(store, Policy(size=0)).troubles == ()
    assert not os.path.exists(store.state(key))


def test_it_waits_for_look_ups(store):
    fd = take_lock(store.path("locks", "gc"), shared=True)
    assert fd is not None
    seen: list[bool] = []

    def measure(folder: str, name: str) -> int:
        seen.append(True)  # measuring holds no lock
        if name == "builds":
            fcntl.flock(fd, fcntl.LOCK_UN)
        return 0

    collect(store, Policy(), Tools(_remove, measure))
    os.close(fd)
    assert seen
