"""What is written down about a build while it runs: events, the record, the keys in use."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from contractor.build.context import StepContext
from contractor.build.first_record import first_record, not_run
from contractor.build.options import Emit, Exporter
from contractor.core import events
from contractor.core.errors import (
    ERRORS_BY_OUTCOME,
    Aborted,
    Broken,
    ContractorError,
    Failed,
    Outcome,
    OutOfLimits,
)
from contractor.plan.model import Plan, encode
from contractor.sandbox.local import LocalSandbox
from contractor.store.layout import Store
from contractor.store.records import VERIFY, Record, Records
from contractor.store.results import Result

if TYPE_CHECKING:
    from contractor.proof.witness import Witness


class Origin(NamedTuple):
    """Why a build is: the build that needs it as a base, what was asked for besides its plan, and who keeps proof."""

    parent: str = ""
    asked: tuple[str, ...] = ()
    witness: Witness | None = None


class Bookkeeping:
    """One build's. `emit` also stores the events (but the output, which is in the log)."""

    def __init__(self, plan: Plan, store: Store, sandbox: LocalSandbox, emit: Emit, origin: Origin) -> None:
        self.plan = plan
        self.records = Records(store)
        self.id = self.records.new_id(plan.name)
        self.folder = self.records.folder(self.id)
        self._store = store
        self._emit = emit
        self._started = time.time()
        self._clock = time.monotonic()  # durations do not follow a clock that jumps
        self._events = open(f"{self.folder}/events.jsonl", "ab", buffering=0)  # noqa: SIM115 - closed by finished
        self._uses: int | None = None
        self._artifacts: list[events.ArtifactInfo] = []
        self._steps = list(map(not_run, plan.actions))
        self._bases: dict[str, str] = {}
        self._failed_step = -1
        self._sandbox = sandbox
        self.parent = origin.parent
        self._asked = origin.asked
        self._witness = origin.witness

    def emit(self, event: events.AnyEvent) -> None:
        if not isinstance(event, events.StepOutput):
            self._events.write(events.encode(event))
        if self._witness is not None and event.build == self.id:
            self._witness.event(event)
        self._emit(event)

    def notice(self, text: str, level: str = "info") -> None:
        self.emit(events.Notice(at=time.time(), build=self.id, text=text, level=level))

    def use(self, key: str) -> None:
        """Tell gc to leave what this key names."""
        if self._uses is None:
            path = self._store.path("work", self.id, "uses")
            self._uses = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(self._uses, key.encode() + b"\n")

    def started(self) -> None:
        self._write_plan()
        record = first_record(self.id, self.plan, self._started, self._sandbox.tier, self._store)
        self._record = msgspec.structs.replace(record, parent=self.parent, asked=self._asked)
        self.records.write(self._record)
        infos = tuple(
            events.StepInfo(name=step.name, action=step.action, place=step.place, network=step.network, key=step.key)
            for step in self._steps
        )
        self.emit(
            events.BuildStarted(
                at=self._started,
                build=self.id,
                name=self.plan.name,
                arch=self.plan.arch,
                plan=self._record.plan,
                tier=self._sandbox.tier.name,
                steps=infos,
                matrix=self.plan.matrix,
                parent=self.parent,
                record=self.folder,
            )
        )
        if self._sandbox.tier.degraded:
            self.notice(self._sandbox.tier.summary, "warning")

    def witnessed(self) -> None:
        """The audit journal has it that the build begins; raises when it cannot be written."""
        if self._witness is not None and (news := self._witness.started(self._record, self.plan)):
            self.notice(news)

    def cached(self, index: int, result: Result) -> None:
        self._steps[index] = msgspec.structs.replace(
            self._steps[index], outcome="cached", packages=result.packages, fetches=result.fetches, made_by=result.build
        )
        reason = f"made by {result.build}"
        self.emit(events.StepCached(at=time.time(), build=self.id, step=index, reason=reason, made_by=result.build))
        self._artifact(index, result)

    def step_started(self, index: int, log_start: int, reason: str) -> None:
        now = time.time()
        self._steps[index] = msgspec.structs.replace(self._steps[index], started=now, log_start=log_start)
        self.emit(events.StepStarted(at=now, build=self.id, step=index, reason=reason, log_start=log_start))

    def step_finished(self, index: int, context: StepContext, result: Result) -> None:
        self._end_step(index, context, result.seconds, Outcome.SUCCEEDED, "")
        self._steps[index] = msgspec.structs.replace(self._steps[index], packages=result.packages)
        self._artifact(index, result)

    def step_failed(self, index: int, context: StepContext, seconds: float, error: BaseException) -> None:
        self._failed_step = index
        if isinstance(error, ContractorError):
            outcome, message = error.outcome, error.message
        elif isinstance(error, KeyboardInterrupt):
            outcome, message = Outcome.ABORTED, "stopped"
        else:
            outcome, message = Outcome.BROKEN, str(error)
        self._end_step(index, context, seconds, outcome, message)

    def step_left(self, index: int) -> None:
        """A shell was entered instead of the step, which has not run."""
        self._steps[index] = not_run(self.plan.actions[index])
        self.emit(events.StepSkipped(at=time.time(), build=self.id, step=index, reason="a shell instead of it"))

    def left(self, index: int, state: str) -> None:
        """The workspace of a step that did not succeed is kept under this name."""
        self._steps[index] = msgspec.structs.replace(self._steps[index], left=state)

    def tainted(self, plan: Plan, reason: str) -> None:
        """Somebody changed what the steps from here on read: their keys are others now."""
        for index, (old, new) in enumerate(zip(self.plan.actions, plan.actions, strict=True)):
            if old.key != new.key:
                self._steps[index] = msgspec.structs.replace(self._steps[index], key=new.key, tainted=reason)
        self.plan = plan
        self._record = msgspec.structs.replace(self._record, tainted=self._record.tainted or reason)
        self._write_plan()
        self.notice(f"tainted: {reason}; what is made from here on is not found again", "warning")

    def _write_plan(self) -> None:
        with open(f"{self.folder}/plan.json.new", "wb") as file:
            file.write(encode(self.plan))
        os.rename(f"{self.folder}/plan.json.new", f"{self.folder}/plan.json")

    def _end_step(self, index: int, context: StepContext, seconds: float, outcome: Outcome, message: str) -> None:
        exit_ = context.exit
        self._steps[index] = msgspec.structs.replace(
            self._steps[index],
            outcome=outcome.value,
            seconds=seconds,
            cpu_seconds=exit_.cpu_seconds if exit_ else 0.0,
            max_rss=exit_.max_rss if exit_ else 0,
            exit_code=exit_.code if exit_ else None,
            limit=exit_.limit if exit_ else "",
            log_end=context.log.size,
            fetches=tuple(context.fetches),
            message=message,
        )
        now = time.time()
        self.emit(
            events.StepFinished(at=now, build=self.id, step=index, outcome=outcome, seconds=seconds, message=message)
        )

    def _artifact(self, index: int, result: Result) -> None:
        if result.artifact is not None:
            self._artifacts.append(result.artifact)
            self.emit(events.ArtifactStored(at=time.time(), build=self.id, step=index, artifact=result.artifact))

    def exported(self, export: Exporter) -> None:
        """Copy the artifacts out, and remember where to."""
        self._artifacts = list(export(tuple(self._artifacts)))

    def base(self, name: str, build: str) -> None:
        self._bases[name] = build

    def error_of(self, record: Record, message: str) -> ContractorError:
        """Another build's end as an error of this one."""
        kind = ERRORS_BY_OUTCOME.get(Outcome(record.outcome), Broken)
        details = (record.message, *record.details) if record.message else record.details
        return kind(message, details=details, hint=record.hint)

    def finished(self, error: ContractorError | None, memory: str, kept: str) -> Record:
        """The final record; written, and said."""
        outcome = error.outcome if error else Outcome.SUCCEEDED
        seconds = time.monotonic() - self._clock
        record = msgspec.structs.replace(
            self._record,
            outcome=outcome.value,
            finished=self._started + seconds,
            seconds=seconds,
            memory=memory,
            steps=tuple(self._steps),
            artifacts=tuple(self._artifacts),
            bases=self._bases,
            message=error.message if error else "",
            details=error.details if error else (),
            hint=self._hint(error),
            kept=kept,
        )
        if self._witness is not None:
            record = self._witness.finished(record, self.plan, self.records.write)
        else:
            self.records.write(record)
        self.emit(
            events.BuildFinished(
                at=time.time(),
                build=self.id,
                outcome=Outcome(record.outcome),
                seconds=seconds,
                artifacts=record.artifacts,
                step=self._failed_step,
                message=record.message,
                details=record.details,
                hint=record.hint,
                record=self.folder,
                tainted=record.tainted,
            )
        )
        self._events.close()
        if self._uses is not None:
            os.close(self._uses)
        return record

    def _hint(self, error: ContractorError | None) -> str:
        if error is None or isinstance(error, Aborted):
            return error.hint if error else ""
        step = self._failed_step
        hints = [error.hint] if error.hint else [f"contractor log {self.id} --step {step + 1}"] if step >= 0 else []
        left = step >= 0 and bool(self._steps[step].left)
        enter = VERIFY not in self._asked and "contractor shell" not in error.hint  # nothing is kept; a base's own
        if left or (isinstance(error, Failed | OutOfLimits) and enter):
            moment = "as it was left" if left else "before it ran"
            hints.append(f"contractor shell {self.id}  # in its sandbox, {moment}")
        return "\n".join(hints)
