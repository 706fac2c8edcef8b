"""Several builds at once: how many, which exit code, and their processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from cli_store import record, step
from plan_kit import named, planned

from contractor.build.matrix.workers import Workers
from contractor.cli import jobs
from contractor.core import events
from contractor.core.errors import Outcome, Rejected
from contractor.spec import model

GIB = 1 << 30


@pytest.mark.parametrize(("text", "number"), [("auto", 0), ("1", 1), ("16", 16)])
def test_the_values_of_jobs(text: str, number: int) -> None:
    assert jobs.jobs_asked(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "1.5", "٢", "1000", " 2"])
def test_other_values_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="expected a number of builds, or auto"):
        jobs.jobs_asked(text)


def shell(memory: int, **more) -> model.Step:
    return named("work", model.Shell("true"), limits=model.Limits(memory=memory), **more)


TREE = model.CreateSystree(artifact="1" * 64)


def test_a_build_needs_the_memory_of_its_largest_step() -> None:
    assert jobs.memory_need(planned(TREE, shell(GIB), shell(3 * GIB), shell(2 * GIB))) == 3 * GIB
    assert jobs.memory_need(planned(model.Source(path="."), model.CreateArtifact("x"))) == 0, "nothing is run"
    assert jobs.memory_need(planned(TREE, shell(0))) > 1 << 60, "no limit: all that there is"


def test_there_are_never_more_at_once_than_builds() -> None:
    plans = [planned(TREE, shell(GIB))] * 3
    assert jobs.jobs_at_once(8, plans) == 3
    assert jobs.jobs_at_once(2, plans) == 2
    assert 1 <= jobs.jobs_at_once(0, plans) <= 3


@pytest.mark.parametrize(
    ("outcomes", "stopped", "code"),
    [
        (["succeeded", "succeeded"], False, 0),
        (["succeeded", "failed", "succeeded"], False, 1),
        (["failed", "broken", "rejected"], False, 6),
        (["failed", "aborted", ""], False, 1),  # ended because of the first
        (["succeeded", "aborted", ""], True, 130),
        (["failed", "aborted"], True, 130),
        (["", ""], True, 130),
    ],
)
def test_the_exit_code_is_that_of_the_worst(outcomes: list[str], stopped: bool, code: int) -> None:
    records = [record("20250304-101500-x-aaaa", outcome) if outcome else None for outcome in outcomes]
    assert jobs.exit_code(records, stopped=stopped) == code


def started(build: str) -> events.BuildStarted:
    return events.BuildStarted(at=1.0, build=build, name="x", arch="amd64", plan="", tier="t", steps=())


def finished(build: str, outcome: Outcome = Outcome.SUCCEEDED) -> events.BuildFinished:
    return events.BuildFinished(at=2.0, build=build, outcome=outcome, seconds=1.0)


class Builds:
    """Fake builds. Each notes in a folder that it runs, and how many ran beside it, and does what its number says."""

    def __init__(self, folder: Path, *acts: str, seconds: float = 0.2) -> None:
        self.folder = folder
        self.acts = acts
        self.seconds = seconds

    def run(self, number: int, emit) -> object:
        emit(started(f"b{number}"))
        mine = self.folder / f"{number}"
        mine.write_text("")
        (self.folder / f"beside-{number}").write_text(" ".join(sorted(p.name for p in self.folder.glob("?"))))
        act = self.acts[number]
        if act == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "loud":
            for _ in range(200):
                emit(events.StepOutput(at=1.0, build=f"b{number}", step=0, data=os.urandom(4096)))
        outcome = Outcome.SUCCEEDED
        try:
            time.sleep(60 if act == "long" else self.seconds)
        except KeyboardInterrupt:
            outcome = Outcome.ABORTED
        mine.unlink()
        emit(finished(f"b{number}", Outcome.FAILED if act == "fails" else outcome))
        return record("20250304-101500-x-aaaa")

    def most(self) -> int:
        return max(len(path.read_text().split()) for path in self.folder.glob("beside-*"))


def interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _signals() -> object:
    """A worker inherits its parent's: TERM stops a build."""
    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


def work(builds: Builds, *, number: int = 2, needs: int = 1, memory: int = 100, fail_fast: bool = False, tick=None):
    seen: list[events.AnyEvent] = []
    count = len(builds.acts)
    workers = Workers(builds.run, [needs] * count, jobs=number, memory=memory)
    workers.work(range(count), seen.append, tick or (lambda: None), fail_fast=fail_fast)
    return workers.ended, seen


def test_as_many_run_at_once_as_were_asked_for(tmp_path: Path) -> None:
    builds = Builds(tmp_path, *["sleeps"] * 5)
    ended, seen = work(builds)
    assert builds.most() == 2
    assert {end.outcome for end in ended.values()} == {Outcome.SUCCEEDED} and len(ended) == 5
    assert [end.build for _, end in sorted(ended.items())] == [f"b{n}" for n in range(5)]
    assert len(seen) == 10


def test_no_more_than_fit_into_the_memory(tmp_path: Path) -> None:
    builds = Builds(tmp_path, *["sleeps"] * 3)
    work(builds, number=3, needs=60, memory=100)
    assert builds.most() == 1


def test_a_build_larger_than_the_memory_runs_alone(tmp_path: Path) -> None:
    ended, _ = work(Builds(tmp_path, "sleeps"), needs=1000)
    assert ended[0].outcome is Outcome.SUCCEEDED


def test_events_arrive_whole_and_in_the_order_of_each_build(tmp_path: Path) -> None:
    ended, seen = work(Builds(tmp_path, "loud", "loud", "loud", seconds=0), number=3)
    assert len(ended) == 3
    for build in ("b0", "b1", "b2"):
        mine = [event for event in seen if event.build == build]
        assert isinstance(mine[0], events.BuildStarted) and isinstance(mine[-1], events.BuildFinished)
        assert sum(len(event.data) for event in mine if isinstance(event, events.StepOutput)) == 200 * 4096


def test_a_failed_build_does_not_stop_the_others(tmp_path: Path) -> None:
    ended, _ = work(Builds(tmp_path, "fails", "sleeps", "sleeps"))
    assert [ended[n].outcome for n in range(3)] == [Outcome.FAILED, Outcome.SUCCEEDED, Outcome.SUCCEEDED]


def test_unless_it_was_asked_to(tmp_path: Path) -> None:
    began = time.monotonic()
    ended, _ = work(Builds(tmp_path, "fails", "long", "sleeps"), fail_fast=True)
    assert ended[0].outcome is Outcome.FAILED and ended[1].outcome is Outcome.ABORTED
    assert 2 not in ended, "the third never began"
    assert time.monotonic() - began < 20


def test_a_killed_build_is_broken_and_the_others_go_on(tmp_path: Path) -> None:
    ended, _ = work(Builds(tmp_path, "dies", "sleeps"))
    assert ended[0] == (128 + signal.SIGKILL, "b0", Outcome.BROKEN)
    assert ended[1].outcome is Outcome.SUCCEEDED


def test_being_asked_to_stop_stops_them_all(tmp_path: Path) -> None:
    def tick() -> None:
        if len(list(tmp_path.glob("?"))) == 2:
            raise KeyboardInterrupt

    began = time.monotonic()
    ended, _ = work(Builds(tmp_path, "long", "long", "long"), tick=tick)
    assert {end.outcome for end in ended.values()} == {Outcome.ABORTED} and len(ended) == 2
    assert time.monotonic() - began < 20


def test_trouble_here_leaves_no_process(tmp_path: Path) -> None:
    def tick() -> None:
        if len(list(tmp_path.glob("?"))) == 2:
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError):
        work(Builds(tmp_path, "long", "long"), tick=tick)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_record_of_a_killed_build_says_so(tmp_path: Path) -> None:
    from cli_store import add

    from contractor.build.matrix.workers import Ended
    from contractor.store.layout import Store
    from contractor.store.records import Records

    store = Store(str(tmp_path / "store"))
    made = add(store, record("20250304-101500-x-aaaa", "running", steps=(step("Compile", "not run"),)))
    found = jobs._record(Ended(128 + signal.SIGKILL, made.id), store)
    assert found is not None and found.outcome == "broken" and "SIGKILL" in found.message
    assert Records(store).read(made.id) == found
    assert jobs._record(None, store) is None
