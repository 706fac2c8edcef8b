"""Run what has to be run for a lock: the steps that install packages and what these stand on, and no more."""

from __future__ import annotations

from contractor.build.executor import execute
from contractor.build.options import Emit, Options
from contractor.build.steer import Steering
from contractor.core.errors import ERRORS_BY_OUTCOME, Broken, ContractorError, Outcome
from contractor.core.events import AnyEvent, StepOutput
from contractor.plan.lock import LOCKED_KINDS
from contractor.plan.model import Action, Plan
from contractor.sandbox.local import LocalSandbox
from contractor.spec.model import base_of
from contractor.store.layout import Store

_MOST_SAID = 64 << 10  # bytes


class Refused(Exception):
    """A build for a lock that did not succeed, and its error. said: the end of what its steps said."""

    def __init__(self, error: ContractorError, said: bytes) -> None:
        super().__init__(error.message)
        self.error = error
        self.said = said


def execute_for_lock(plan: Plan, store: Store, sandbox: LocalSandbox, options: Options, emit: Emit) -> None:
    """Refused: it did not succeed."""
    said = bytearray()

    def listen(event: AnyEvent) -> None:
        if isinstance(event, StepOutput):  # of bases, too
            said.extend(event.data)
            del said[:-_MOST_SAID]
        emit(event)

    steering = Steering(needed=needed(plan), words=("--lock",))
    record = execute(plan, store, sandbox, listen, options._replace(steering=steering))
    if record.outcome != Outcome.SUCCEEDED.value:
        kind = ERRORS_BY_OUTCOME.get(Outcome(record.outcome), Broken)
        error = kind(f"no lock was written: {record.message}", details=record.details, hint=record.hint)
        raise Refused(error, bytes(said))


def needed(plan: Plan) -> frozenset[int]:
    """The positions of the steps that install packages, and of all that these stand on."""
    makers = {action.key: position for position, action in enumerate(plan.actions)}
    wanted: set[int] = set()
    waiting = [n for n, action in enumerate(plan.actions) if action.kind in LOCKED_KINDS or _is_of_base(action)]
    while waiting:
        position = waiting.pop()
        if position in wanted:
            continue
        wanted.add(position)
        action = plan.actions[position]
        below = [action.artifact, *action.layers, action.before if "workspace" in action.inputs else ""]
        waiting += [makers[key] for key in below if key in makers]
    return frozenset(wanted)


def _is_of_base(action: Action) -> bool:
    return bool(base_of(action.step.action))
