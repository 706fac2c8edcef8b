"""execute(plan, store, sandbox, emit): the recipe of a build. Read this first.

For each action: is there a finished result for its key? Then nothing runs. Else bring the workspace to the state
before it, run it, keep what it left (state, layer, artifact), and only then make its result findable.
"""

from __future__ import annotations

import contextlib
import time
from contextlib import ExitStack

from contractor.build import steps
from contractor.build.ahead import following
from contractor.build.bases import Origins, ensure_base
from contractor.build.bookkeeping import Bookkeeping, Origin
from contractor.build.context import StepContext
from contractor.build.export.diagnostics import keep_diagnostics
from contractor.build.finding import Finder
from contractor.build.keeping import keep_what_is_left, keep_workspace
from contractor.build.log import Log
from contractor.build.matrix.turns import exclusive, same_step
from contractor.build.options import Emit, Made, Options
from contractor.build.place import Place
from contractor.build.secrets.leaks import Leaked, may_be_kept, require_none_left
from contractor.build.steer import Steering
from contractor.build.sweep import sweep, unmark
from contractor.build.visits import Ended, Visits
from contractor.core.errors import Aborted, ContractorError, Failed, OutOfLimits, Rejected, from_exception
from contractor.plan.model import Action, Plan
from contractor.plan.planner import base_artifact
from contractor.sandbox.local import LocalSandbox
from contractor.spec.actions import ACTIONS
from contractor.spec.model import base_of
from contractor.store import space
from contractor.store.layout import Store, in_use
from contractor.store.records import Record
from contractor.store.results import Result, Results


def execute(plan: Plan, store: Store, sandbox: LocalSandbox, emit: Emit, options: Options, parent: str = "") -> Record:
    """Run a plan and return its record, whatever the outcome: a build that fails is not an exception.

    parent: the build that needs this one as a base. Ctrl-C ends the step and gives an aborted build.
    """
    results = Results(store, sandbox.ids)
    asked = options.steering.words if options.steering is not None else ()
    books = Bookkeeping(plan, store, sandbox, emit, Origin(parent, asked, options.witness))
    with ExitStack() as stack:
        stack.enter_context(in_use(store, books.id))
        aside = options.steering is not None and options.steering.trial is not None
        place = Place(store, results, sandbox, f"{store.root}/work/{books.id}/place", aside=aside)
        place.variation = options.variation
        log = Log(f"{books.folder}/log", plan.limits.log)
        stack.callback(log.close)
        build = _Build(plan, store, sandbox, books, StepContext(place, store, plan, options, log))
        books.started()
        try:
            books.witnessed()
            space.require(store)
            sweep(store)
            build.precheck()
            build.steps()
            if options.export is not None:
                books.exported(options.export)
            error: ContractorError | None = None
        except ContractorError as trouble:
            error = trouble
        except KeyboardInterrupt:
            error = Aborted("the build was stopped", hint="build again: finished steps are kept")
        except Exception as trouble:
            error = from_exception(trouble)
        if error is not None:
            keep_diagnostics(build.context, books, error)
        memory = place.memory
        keep = options.keep and may_be_kept(place, options.secrets, lambda why: books.notice(why, "warning"))
        kept = f"{place.folder}/ws" if keep and place.started else ""
        if kept:
            books.notice(f"the workspace is kept: {kept}")
        place.close(keep=keep, on_trouble=lambda trouble: books.notice(trouble.message, "warning"))
        unmark(place)
        return books.finished(error, memory, kept)


class _Build:
    """A running build: what it has, and one step of it."""

    def __init__(
        self, plan: Plan, store: Store, sandbox: LocalSandbox, books: Bookkeeping, context: StepContext
    ) -> None:
        self.plan = plan
        self.store = store
        self.sandbox = sandbox
        self.books = books
        self.context = context
        self.results = Results(store, sandbox.ids)
        self.finder = Finder(self.results)
        self.steering = context.options.steering or Steering()
        self.origin = Origins()
        self.explained = False
        self.visits = Visits(plan, self.steering, context, books)

    def precheck(self) -> None:
        """Say what is not locked, and end here when nobody may be asked for what is not in the store."""
        if not self.plan.unlocked and not self.context.options.offline:
            return
        from contractor.build.lock.precheck import Ground, precheck

        wanted = [n for n in range(len(self.plan.actions)) if self.steering.reaches(n)]
        runs = [n for n in wanted if self._asked_for(n) or self.results.find(self.plan.actions[n].key) is None]
        precheck(self.plan, Ground(self.store, self.results, self.context.options, runs), self.books)

    def steps(self) -> None:
        """Every action in its turn, as far as was asked."""
        with contextlib.suppress(Ended):
            for index in range(len(self.plan.actions)):
                if self.steering.needed is None or index in self.steering.needed:
                    self._step(index)
                    self.visits.after(index)

    def _step(self, index: int) -> None:
        """Run an action, or find that it has run."""
        if self.context.options.tick is not None:
            self.context.options.tick()
        action = self.visits.plan.actions[index]
        found = self._found(index, action)
        self.context.begin(self.books.id, index, action, self.books.emit)
        with ExitStack() as turn:
            if found is None and self._can_be_found(index, action):
                turn.enter_context(same_step(self.context))  # of several builds that need a step, one runs it
                found = self._found(index, action)
            if found is not None:
                self.books.cached(index, found)
            else:
                self._run_step(index, action, turn)

    def _run_step(self, index: int, action: Action, turn: ExitStack) -> None:
        self.books.step_started(index, self.context.log.size, self._why(index))
        began = time.monotonic()
        try:
            if base := base_of(action.step.action):
                ensure_base(self.context, self.results, base, self._make_base)
            result = self._run(began)
        except Ended:
            self.books.step_left(index)
            raise
        except BaseException as error:
            self.books.step_failed(index, self.context, time.monotonic() - began - self.context.paused, error)
            if isinstance(error, Failed | Rejected | OutOfLimits):
                self.books.left(index, "" if isinstance(error, Leaked) else keep_what_is_left(self.context, self.books))
                turn.close()  # a person may look around for hours
                self.visits.failed(error)
            raise
        self.finder.made(self.context.action, self.books.id)
        self.books.step_finished(index, self.context, result)

    def _why(self, index: int) -> str:
        """Why the first step that runs does: the others mostly run because of it."""
        if self.books.parent or self.explained:
            return ""
        self.explained = True
        if index in self.steering.breaks or index == self.steering.instead:
            return ""  # the shell says so
        if self._asked_for(index) or self.context.options.variation is not None:
            return "as asked"
        from contractor.build.compare.history import why_it_runs  # 10 ms, of use only to who has built it before

        return why_it_runs(self.books.records, self.plan, self.books.id, index)

    def _asked_for(self, index: int) -> bool:
        """Whether somebody wants the step to run, or a shell before it, whatever is stored."""
        steering = self.steering
        return self.context.options.fresh or index in (*steering.anew, *steering.breaks, steering.instead)

    def _can_be_found(self, index: int, action: Action) -> bool:
        """Whether the step, once it has run, leaves a result that another build looks for."""
        lasting = "workspace" not in ACTIONS[action.kind].writes or not self.books.parent
        return lasting and self.steering.trial is None and not self._asked_for(index)

    def _found(self, index: int, action: Action) -> Result | None:
        if self._asked_for(index):
            return None
        with self.store.using():
            self.books.use(action.key)
            return self.finder.find(action)

    def _following(self, index: int) -> Action | None:
        """The action that runs after this one, if its sandbox may be set up meanwhile."""
        action = following(self.visits.plan, index, self.steering)
        if action is None or self._asked_for(index + 1) or self.results.find(action.key) is None:
            return action
        return None

    def _make_base(self, name: str, plan: Plan, options: Options) -> None:
        record = execute(plan, self.store, self.sandbox, self.books.emit, options, parent=self.books.id)
        self.books.base(name, record.id)
        if record.outcome != "succeeded":
            raise self.books.error_of(record, f"the base {name} could not be made")

    def _run(self, began: float) -> Result:
        """The action itself, and then what it left: stored first, found by its key only when all of it is there."""
        context, place, action = self.context, self.context.place, self.context.action
        writes = ACTIONS[action.kind].writes
        touches = "workspace" in writes or "workspace" in ACTIONS[action.kind].reads
        if (touches and action.after) or self.steering.shells:  # what ends empty need not begin with anything
            place.at(action.before)
        self.visits.begin(context.index)
        if "workspace" in writes:
            place.touched()
        context.following = lambda: self._following(context.index)
        with exclusive(context):
            made: Made = steps.run(context)
        action = context.action  # under another key, if a shell changed what it read
        self.origin = self.origin.joined(tuple(context.fetches), made.packages)
        kept = self.origin if self.books.parent and made.artifact else Origins(tuple(context.fetches), made.packages)
        trial = self.steering.trial
        if trial is not None:
            require_none_left(place, place.secrets)
            trial(context, made)
        stored = (
            trial is None and "workspace" in writes and keep_workspace(context, action, base=bool(self.books.parent))
        )
        result = Result(
            key=action.key,
            kind=action.kind,
            name=action.step.name,
            build=self.books.id,
            finished=time.time(),
            seconds=time.monotonic() - began - context.paused,
            inputs=action.inputs,
            layer="tree" in writes,
            state=stored,
            below=self.finder.below(action),
            before=action.before,
            artifact=made.artifact if trial is None else None,
            fetches=kept.fetches,
            packages=kept.packages,
            blobs=made.blobs,
        )
        if trial is None and (stored or "workspace" not in writes or action.after != action.key):
            self.results.add(result)
        if made.whole and context.options.packed and action is base_artifact(self.plan) is self.plan.actions[-1]:
            context.options.packed(place, action)
        return result
