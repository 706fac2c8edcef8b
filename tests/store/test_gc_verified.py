"""What a verification leaves: the artifacts that were other than the first build's, for a week, and nothing else."""

from __future__ import annotations

import os
import time

import pytest
from gckit import add_build, age, build_id, key_of, make_result, put, run_gc

from contractor.core.events import ArtifactInfo
from contractor.store.gc_model import DAY
from contractor.store.layout import Store
from contractor.store.results import Results, artifact_path


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def left(store: Store, days: float) -> tuple[str, str, str]:
    """A verification of so many days ago whose artifact was another: its id, the result's key, the archive's path.

    The state before the artifact was taken away when it ended, as verify does.
    """
    key, before, digest = key_of("its artifact"), key_of("its state"), key_of("its bytes")
    made = ArtifactInfo(name="a", digest=digest, size=1, files=1, stored=1)
    moment = time.time() - days * DAY
    build = build_id("again", days)
    Results(store, "x").add(make_result(key, build=build, finished=moment, before=before, artifact=made))
    put(store, artifact_path(store, digest).removeprefix(f"{store.root}/"))
    steps = [{"key": before, "outcome": "succeeded"}, {"key": key, "outcome": "succeeded", "before": before}]
    return add_build(store, "again", days, "succeeded", steps, asked=["--verify", "first"]), key, digest


@pytest.mark.parametrize(("days", "stays"), [(0.1, True), (6.0, True), (8.0, False)])
def test_an_artifact_that_was_another_stays_a_week(store, days, stays):
    build, key, digest = left(store, days)
    run_gc(store)
    assert (Results(store, "x").read(key) is not None) == stays
    assert _is_there(store, digest) == stays
    assert _is_there(store, digest, f"builds/{build}/record.json")  # records stay


def test_a_build_of_the_same_name_and_plan_keeps_none_of_it(store):
    """A later success of that name says that nobody needs it any more, as with what a failed step left."""
    _build, key, digest = left(store, 3.0)
    add_build(store, "again", 2.5, "succeeded", [])
    run_gc(store)
    assert Results(store, "x").read(key) is None
    assert not _is_there(store, digest)


def test_a_pinned_verification_keeps_it(store):
    build, key, digest = left(store, 400.0)
    age(put(store, f"builds/{build}/pinned", data=b'{"at": 1.0, "reason": "evidence"}'))
    run_gc(store)
    assert Results(store, "x").read(key) is not None
    assert _is_there(store, digest)


def _is_there(store: Store, digest: str, path: str = "") -> bool:
    return os.path.exists(f"{store.root}/{path}" if path else artifact_path(store, digest))
