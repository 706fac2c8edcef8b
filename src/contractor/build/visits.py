"""When a person gets a shell in a running build, and what becomes of the plan if they change something there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from contractor.build.export.diagnostics import keep_diagnostics
from contractor.core import digest
from contractor.core.errors import Aborted, ContractorError
from contractor.plan.rekey import Changed, rekey, shell_state
from contractor.spec.actions import ACTIONS
from contractor.store.results import Result, Results

if TYPE_CHECKING:
    from contractor.build.bookkeeping import Bookkeeping
    from contractor.build.context import StepContext
    from contractor.build.debug.shell import Visit
    from contractor.build.steer import Steering
    from contractor.plan.model import Plan
    from contractor.sandbox.spec import SandboxSpec


_GO_ON = "exit goes on with the step, exit 1 stops the build"


class Ended(Exception):
    """The build ends here."""


class Visits:
    """plan: as it is now; a shell that changed something gives what follows other keys (plan/rekey.py)."""

    def __init__(self, plan: Plan, steering: Steering, context: StepContext, books: Bookkeeping) -> None:
        self.plan = plan
        self._steering = steering
        self._context = context
        self._books = books
        self._results = Results(context.store, "")
        context.before = self.before

    def begin(self, index: int) -> None:
        """Before a step whose action runs no command: its shell comes now, for others when the command is known."""
        if index == self._steering.instead or index in self._steering.breaks:
            from contractor.build.debug.shell import has_command

            if not has_command(self.plan.actions[index]):
                self.before(None)

    def before(self, spec: SandboxSpec | None) -> None:
        """Just before a step's command. Ended: the shell was instead of it. Aborted: the shell said no."""
        context, index = self._context, self._context.index
        if index == self._steering.instead:
            self._enter(spec, "instead of the step, which does not run", "exit ends the build")
            raise Ended
        if index not in self._steering.breaks or context.visited:
            return
        context.visited = True
        visit = self._enter(spec, "before the step; what is changed here taints what is made of it", _GO_ON)
        if visit.changed or visit.tree:
            self._taint(visit)
        if visit.code:
            raise Aborted(
                f"the shell before the step {context.action.step.name!r} ended with {visit.code}",
                hint="`exit 0` goes on with the build",
            )

    def failed(self, error: ContractorError) -> None:
        """A step failed, its mounts and the workspace are as it left them."""
        if self._steering.debug and self._context.place.started:
            keep_diagnostics(self._context, self._books, error)  # before anybody changes what they are of
            try:
                self._enter(self._context.spec, "as the failed step left it", "exit ends the build, which stays failed")
            except ContractorError as trouble:
                self._books.notice(f"there is no shell: {trouble.message}", "warning")
            except KeyboardInterrupt:
                return  # the terminal has gone: the step has failed all the same

    def after(self, index: int) -> None:
        """A step succeeded and what it left is stored. Ended: nothing more was asked for."""
        if index == self._steering.after:
            action = self.plan.actions[index]
            layers = (*action.layers, action.key) if "tree" in ACTIONS[action.kind].writes else action.layers
            layers = layers[-1:] if action.kind == "create-systree" else layers
            self._context.action = msgspec.structs.replace(action, layers=layers)
            self._context.place.at(action.after)
            self._enter_after()
        if index in (self._steering.after, self._steering.last):
            raise Ended

    def _enter_after(self) -> None:
        from contractor.build.debug.shell import command_of

        context = self._context
        again = "tree" not in ACTIONS[context.action.kind].writes
        spec = context.spec or (command_of(context) if again else None)
        self._enter(spec if again else None, "after the step", "exit ends the build")

    def _enter(self, spec: SandboxSpec | None, why: str, leave: str) -> Visit:
        from contractor.build.debug.shell import Reason, enter  # much, and rarely needed

        assert self._steering.terminal is not None
        return enter(self._context, spec, self._steering.terminal(), Reason(why, leave))

    def _taint(self, visit: Visit) -> None:
        """What the shell left is a state of its own; what is made from it is named by that."""
        context, index = self._context, self._context.index
        action = self.plan.actions[index]
        state = None
        if visit.changed:
            state = shell_state(action.before, context.build, index)
            context.place.save(state, action.before)
            self._results.add(
                Result(
                    key=state,
                    kind="shell",
                    name=f"a shell before {action.step.name!r}",
                    build=context.build,
                    finished=time.time(),
                    seconds=0.0,
                    inputs={},
                    state=True,
                    before=action.before,
                )
            )
        states = {action.before: state} if state is not None else {}
        salt = digest.of_value({"shell": context.build, "step": index})
        extra = {index: {"shell": salt}} if visit.tree else {}
        self.plan = rekey(self.plan, Changed(states, extra=extra), index)
        context.plan, context.action = self.plan, self.plan.actions[index]
        self._books.tainted(self.plan, f"a shell changed the workspace or the tree before step {index + 1}")
