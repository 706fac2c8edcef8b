"""Why a step would run now, or why it ran in a past build: its key's inputs against the nearest earlier run."""

from __future__ import annotations

from itertools import islice

from msgspec.structs import replace

from contractor.build.compare.history import Tell, earlier_builds, plan_of
from contractor.core.values import Value
from contractor.plan.causes import Explanation
from contractor.plan.model import Action, Plan
from contractor.plan.reasons import FINISHED, History, Run, why_runs
from contractor.store.collected import when_collected
from contractor.store.layout import Store
from contractor.store.records import RETRY, Record, Records, StepRecord
from contractor.store.results import Result, Results

_LOOK_BACK = 200  # builds of the same name that are looked at for a run of the step


class Compared(Value, frozen=True):
    """The earlier run. number: the step's in that build, from 1; made_by: the build that ran it, if another did."""

    build: str
    started: float
    number: int
    name: str
    outcome: str
    made_by: str = ""


class Answer(Value, frozen=True):
    """state: cached (its result is there), collected (was), unfinished (its last run did not end well), changed, new
    (it never ran), again (the same key ran once more), not run (a past build did not reach it).

    runs: whether the step runs, or ran. made_by, finished: the build that made the result of this key, and when.
    compared: with what its inputs are; explanation: how they differ.
    """

    state: str
    runs: bool
    reason: str
    made_by: str = ""
    finished: float = 0.0
    collected: str = ""
    compared: Compared | None = None
    explanation: Explanation = Explanation()


class Why:
    """The questions about one store."""

    def __init__(self, store: Store, tell: Tell) -> None:
        self._store = store
        self._records = Records(store)
        self._tell = tell

    def now(self, plan: Plan, position: int, results: Results) -> Answer:
        """Why a step of a plan would run now, or would not."""
        action = plan.actions[position]
        found = results.find(action.key)
        if found is not None:
            return Answer("cached", False, f"made by {found.build}", found.build, found.finished)
        history = self._history(plan)
        gone = results.read(action.key)
        same = history.same_key(position)
        if gone is not None or (same is not None and same.outcome in FINISHED):
            return self._collected(action, gone, same)
        return self._against(history, position, same, why_runs(history, position).reason)

    def past(self, record: Record, plan: Plan, position: int) -> Answer:
        """Why a step ran in a past build, compared with the builds before that one."""
        step = record.steps[position] if position < len(record.steps) else None
        if step is None or step.outcome == "not run":
            return Answer("not run", False, "it was not reached in this build")
        if step.outcome == "cached":
            return Answer("cached", False, f"made by {step.made_by}", step.made_by)
        history = self._history(plan, before=record.id)
        same = history.same_key(position)
        if same is not None and same.outcome in FINISHED:
            compared = self._compared(same)
            return Answer("again", True, _again(record, step), compared.made_by or compared.build, compared=compared)
        found = self._against(history, position, same, why_runs(history, position).reason)
        return found if found.state != "new" else replace(found, reason="it had never run before")

    def _history(self, plan: Plan, before: str = "") -> History:
        found = earlier_builds(self._records, plan.name, plan.matrix, before=before, tell=self._tell)
        return History(plan, islice(found, _LOOK_BACK))

    def _collected(self, action: Action, gone: Result | None, same: Run | None) -> Answer:
        compared = self._compared(same) if same is not None else None
        maker = gone.build if gone is not None else (compared.made_by or compared.build) if compared is not None else ""
        return Answer(
            "collected",
            True,
            f"its result is no longer in the store ({maker})",
            made_by=maker,
            finished=gone.finished if gone is not None else 0.0,
            collected=when_collected(self._store, action.key),
            compared=compared,
        )

    def _against(self, history: History, position: int, same: Run | None, reason: str) -> Answer:
        """The answer where the step had not finished with this key. same: a run with it that did not end well."""
        run = history.nearest(position)
        if run is None or (same is not None and run.outcome not in FINISHED):
            return Answer("new" if same is None else "unfinished", True, reason)
        state = "changed" if same is None else "unfinished"
        return Answer(state, True, reason, compared=self._compared(run), explanation=history.explain(position, run))

    def _compared(self, run: Run) -> Compared:
        build, action = run.earlier, run.earlier.plan.actions[run.position]
        steps = self._records.read(build.build).steps
        made_by = steps[run.position].made_by if run.position < len(steps) else ""
        return Compared(build.build, build.started, run.position + 1, action.step.name, run.outcome, made_by)


def past_plan(records: Records, build: str) -> tuple[Record, Plan]:
    """A build's record and plan. Rejected or Broken: one of them is gone or cannot be read."""
    return records.read(build), plan_of(records, build)


def _again(record: Record, step: StepRecord) -> str:
    if "--fresh" in record.asked:
        return "the build was asked to run every step again (--fresh)"
    if RETRY in record.asked:
        return "the build was an attempt of `contractor retry`"
    tainted = f" ({step.tainted})" if step.tainted else ""
    return f"it had run with the same inputs, but that result was not there, or not to be used{tainted}"
