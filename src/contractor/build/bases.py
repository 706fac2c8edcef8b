"""The bases of a build: each is the artifact of a plan of its own, made when nobody has made it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contractor.core.errors import ContractorError
from contractor.plan.planner import base_artifact
from contractor.store.layout import locked

if TYPE_CHECKING:
    from collections.abc import Callable

    from contractor.build.context import StepContext
    from contractor.build.options import Options
    from contractor.build.place import Place
    from contractor.core.fetch import Fetch
    from contractor.plan.model import Action, Plan
    from contractor.store.results import Result, Results

    Make = Callable[[str, Plan, Options], None]  # a base by its name, with what its plan is to be run

_WAIT = 3600.0  # seconds to wait for another build that makes the same base


class Origins(NamedTuple):
    """What was fetched and installed. A base's artifact has those of all its steps: these leave no result."""

    fetches: tuple[Fetch, ...] = ()
    packages: tuple[str, ...] = ()

    def joined(self, fetches: tuple[Fetch, ...], packages: tuple[str, ...]) -> Origins:
        return Origins((*self.fetches, *fetches), packages or self.packages)


def ensure_base(context: StepContext, results: Results, name: str, make: Make) -> None:
    """Make the base whose artifact the context's step takes, unless it is there; one build at a time.

    make: runs the base's plan; raises what its end means.
    """
    plan = context.plan.bases[name]
    key = base_artifact(plan).key
    fresh = context.options.fresh_bases
    if (found := results.find(key)) is not None and not fresh:
        _check(context, name, found)
        return
    with locked(
        context.store.path("locks", f"base-{key}"),
        what=f"another build that makes the base {name}",
        wait=_WAIT,
        waiting=lambda: context.notice(f"another build makes the base {name}: waiting for it", "wait"),
        tick=context.options.tick,
    ):
        if (found := results.find(key)) is None or fresh:
            make(name, plan, _options(context))
            found = results.find(key)
    _check(context, name, found)


def _options(context: StepContext) -> Options:
    """Those of the build, but for what concerns its own steps and artifacts."""
    action, steering = context.action, context.options.steering
    takes_it = action.kind == "create-systree" and (steering is None or steering.trial is None)

    def packed(place: Place, made: Action) -> None:
        place.adopt_workspace(action.key, made.inputs["epoch"])
        context.tree_made = True

    return context.options._replace(
        fresh=context.options.fresh_bases,
        keep=False,
        secrets={},
        export=None,
        variation=None,
        packed=packed if takes_it else None,
        steering=None,
        names=context.names,
    )


def _check(context: StepContext, name: str, result: Result | None) -> None:
    """A base that is not the one that was locked: no success where that is required, else said."""
    if name not in context.plan.expected:
        return
    from contractor.build.lock.precheck import check_base

    error: ContractorError | None = check_base(context.plan, name, result, context.store)
    if error is not None and context.options.locked:
        raise error
    if error is not None:
        context.notice(error.message, "warning")
