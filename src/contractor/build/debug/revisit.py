"""Enter a step of a build that has ended: the tree and the workspace as they were, and the step's own sandbox.

What is changed there is thrown away with the workspace; the store is only read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from contractor.build.context import StepContext
from contractor.build.debug.shell import Reason, beside, command_of, enter
from contractor.build.ending import meaning
from contractor.build.log import Log
from contractor.build.network import Door
from contractor.build.options import Emit, Options
from contractor.build.place import Place
from contractor.core.errors import Rejected
from contractor.plan.model import Action, Plan
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.spec import Caller, SandboxSpec
from contractor.spec.actions import ACTIONS
from contractor.store.layout import Store, in_use
from contractor.store.missing import missing
from contractor.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contractor.sandbox.terminal import Terminal

Moment = Literal["before", "after", "left"]


class Scene(NamedTuple):
    """A step and the moment at which it is entered. left: the state's name, for the moment "left"."""

    build: str
    plan: Plan
    step: int
    moment: Moment
    left: str = ""

    @property
    def action(self) -> Action:
        """The step's action, with the tree as it was at that moment."""
        action = self.plan.actions[self.step]
        if self.moment != "after" or "tree" not in ACTIONS[action.kind].writes:
            return action
        below = () if action.kind == "create-systree" else action.layers
        return msgspec.structs.replace(action, layers=(*below, action.key))

    @property
    def again(self) -> bool:
        """Whether the step's own command makes sense here: a tree that has been written is not written again."""
        return self.moment != "after" or "tree" not in ACTIONS[self.action.kind].writes


_WORDS = {
    "before": "as it was before the step",
    "after": "as it was after the step",
    "left": "as the failed step left it",
}


def converse(scene: Scene, store: Store, sandbox: LocalSandbox, options: Options, asked: tuple[Terminal, Emit]) -> int:
    """A person's shell; returns how it ended."""
    terminal, emit = asked
    with _entered(scene, store, sandbox, options, emit) as context:
        spec = _command(scene, context)
        why = f"{_WORDS[scene.moment]}, in the build {scene.build}"
        return enter(context, spec, terminal, Reason(why, "exit; what is changed here is thrown away")).code


def run_command(
    scene: Scene,
    store: Store,
    sandbox: LocalSandbox,
    options: Options,
    asked: tuple[Sequence[str], Callable[[bytes], None], Emit],
) -> int:
    """One command instead of the step's, without a terminal; its output goes to the function. Returns its exit code.

    Broken or OutOfLimits: it did not come to an end of its own.
    """
    argv, show, emit = asked
    with _entered(scene, store, sandbox, options, emit) as context:
        spec = _command(scene, context) or beside(context)
        own = msgspec.structs.replace(spec, argv=tuple(argv))
        with Door(context.access, context.fetched) as door:
            exit_ = context.place.run(own, Caller(show, door.open, options.tick))
        trouble = meaning(exit_, own, scene.action.step.name) if exit_.limit or not exit_.started else None
        if trouble is not None:
            raise trouble
        return exit_.code


def _command(scene: Scene, context: StepContext) -> SandboxSpec | None:
    """What the step runs. It may be lost: the program of a custom action and a repository are read where they are."""
    try:
        return command_of(context) if scene.again else None
    except (Rejected, OSError) as error:
        why = error.message if isinstance(error, Rejected) else f"{error.filename}: {error.strerror}"
        context.notice(f"what the step ran cannot be run again: {why}", "warning")
        return None


@contextmanager
def _entered(scene: Scene, store: Store, sandbox: LocalSandbox, options: Options, emit: Emit) -> Iterator[StepContext]:
    """The build's place as it was, for as long as the block lasts."""
    action = scene.action
    before = action.after if scene.moment == "after" else action.before
    session = f"shell-{os.getpid()}-{os.urandom(4).hex()}"
    results = Results(store, sandbox.ids)
    with ExitStack() as stack:
        stack.enter_context(in_use(store, session))
        with store.using():
            names = {made.key: made.step.name for made in scene.plan.actions}
            if gone := missing(store, sandbox.ids, action.layers, before, scene.left, names):
                hint = _BUILD_AGAIN
                if "belongs to other ids" in gone:
                    hint = "enter it as the user who built it, with the same isolation"
                elif scene.left and not missing(store, sandbox.ids, action.layers, before):
                    hint = "--before enters it as it was before the step"
                raise Rejected(f"step {scene.step + 1} of {scene.build} cannot be entered: {gone}", hint=hint)
            with open(store.path("work", session, "uses"), "w", encoding="ascii") as file:
                file.write("\n".join([before, scene.left, *action.layers]))
        log = Log(os.devnull, 0)
        stack.callback(log.close)
        place = Place(store, results, sandbox, store.path("work", session, "place"))
        stack.callback(lambda: place.close(keep=False, on_trouble=lambda _trouble: None))
        context = StepContext(place, store, scene.plan, options, log)
        context.begin(scene.build, scene.step, action, emit)
        if scene.moment == "left":
            place.at_left(scene.left, before)
        else:
            place.at(before)
        yield context


_BUILD_AGAIN = "build again: what is missing is made anew, and the step can be entered after it"
