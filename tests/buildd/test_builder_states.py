"""Any sequence of calls and of what a worker does keeps what must always hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.daemon import states
from contractor.buildd.daemon.states import BUILD, BUILDER, Current, Refused, later
from contractor.buildd.model import BuilderState, BuildStatus, Outcome

EXTRA = ["revision_id", "builder_status", "logtail"]
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(BuildStatus),
    st.dictionaries(st.text(max_size=3), st.sampled_from(["a", "b", "in"])),
    st.text(),
)
STEPS = st.one_of(
    st.tuples(st.just("build"), st.sampled_from(["B-1", "B-2"])),
    st.tuples(st.sampled_from(["abort", "clean", "failed", "restart", "cleaned"]), st.none()),
    st.tuples(st.just("ended"), st.tuples(st.none() | OUTCOMES, st.lists(st.sampled_from(["a", "in"])))),
    st.tuples(st.just("extra"), st.dictionaries(st.sampled_from(EXTRA), st.text())),
)


def step(current: Current, call: str, value: Any) -> Current:
    return {
        "build": lambda: states.begin(current, value, "snap", ("in",)),
        "abort": lambda: states.abort(current),
        "clean": lambda: states.clean(current),
        "failed": lambda: states.failed_to_abort(current),
        "restart": lambda: states.after_restart(current),
        "cleaned": lambda: states.cleaned(current),
        "ended": lambda: states.ended(current, *(value or (None,))),
        "extra": lambda: states.told(current, value),
    }[call]()


KEYS = {
    BuilderState.IDLE: {"builder_status"},
    BuilderState.BUILDING: {"builder_status", "build_id"},
    BuilderState.ABORTING: {"builder_status", "build_id"},
    BuilderState.WAITING: {"builder_status", "build_id", "build_status"},
}


@given(st.lists(STEPS, max_size=30))
def test_any_sequence_keeps_the_invariants(steps: list[tuple[str, Any]]) -> None:
    current = Current()
    for call, value in steps:
        before = msgspec.json.encode(current)
        try:
            new = step(current, call, value)
        except Refused:
            assert msgspec.json.encode(current) == before
            continue
        legal = BUILDER.get((current.state, {"failed": "failed to abort"}.get(call, call)))
        assert new.state is (legal or current.state) or call == "restart"
        if call == "ended" and current.state is BuilderState.ABORTING:
            assert new.status in (BuildStatus.ABORTED, BuildStatus.BUILDERFAIL)
            assert not new.outcome or not new.outcome.status.has_files
        if new.state is not BuilderState.IDLE and current.state is not BuilderState.IDLE:
            assert new.build_id == current.build_id
        if call == "restart":
            assert new.state in (BuilderState.IDLE, BuilderState.WAITING)
        assert "in" not in new.results()
        current = new
        said = states.status(current)
        own = {key for key in said if key not in current.extra} | {"builder_status"}
        files = {"filemap", "dependencies"} if current.outcome and current.outcome.status.has_files else set()
        assert own == KEYS[current.state] | (files if current.state is BuilderState.WAITING else set())
        assert said["builder_status"] == f"BuilderStatus.{current.state.value}"
        assert msgspec.json.decode(msgspec.json.encode(current), type=Current) == current


@pytest.mark.parametrize("state", BuilderState)
@pytest.mark.parametrize("call", ["build", "abort", "clean", "ended", "failed"])
def test_what_is_not_in_the_table_is_refused(state: BuilderState, call: str) -> None:
    current = Current(state=state, build_id="b", outcome=Outcome(BuildStatus.OK))
    value = "b" if call == "build" else None
    if (state, {"failed": "failed to abort"}.get(call, call)) in BUILDER:
        assert step(current, call, value).state is BUILDER[state, {"failed": "failed to abort"}.get(call, call)]
    else:
        with pytest.raises(Refused, match=state.value):
            step(current, call, value)


def test_how_a_status_changes() -> None:
    assert set(BUILD) == {(old, new) for old in (None, *BuildStatus) for new in BuildStatus}
    for old in BuildStatus:
        assert later(None, old) is old
        assert later(BuildStatus.OK, old) is old
        assert later(BuildStatus.BUILDERFAIL, old) is BuildStatus.BUILDERFAIL
        assert later(old, BuildStatus.ABORTED) is (
            BuildStatus.BUILDERFAIL if old is BuildStatus.BUILDERFAIL else BuildStatus.ABORTED
        )
    assert later(BuildStatus.CHROOTFAIL, BuildStatus.BUILDERFAIL) is BuildStatus.CHROOTFAIL


def test_the_files_of_jobs_go_with_the_build() -> None:
    jobs = {
        "jobs": {"build:0": {"log": "l", "properties": None, "output": {"x": "o"}, "result": "SUCCEEDED"}, "b:1": 5}
    }
    current = states.told(states.begin(Current(), "b", "ci", ()), jobs)
    assert current.results() == {"l", "o"}
    assert states.told(current, {"jobs": 5}).results() == set()
