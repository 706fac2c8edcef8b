"""Which part of a plan runs, and where a person gets a shell. Nothing here changes what a step makes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from contractor.core.errors import Rejected
from contractor.plan.find import find_step
from contractor.plan.model import Plan

if TYPE_CHECKING:
    from contractor.build.context import StepContext
    from contractor.build.options import Made
    from contractor.sandbox.terminal import Terminal


class Wish(NamedTuple):
    """What was asked for, in the words of the command line: steps by number, name, or how their names begin."""

    start: str | None = None
    until: str | None = None
    only: str | None = None
    breaks: tuple[str, ...] = ()
    shell: str | None = None
    shell_after: str | None = None
    debug: bool = False

    def words(self) -> tuple[str, ...]:
        """As options, for the record."""
        named = {
            "--from": self.start, "--until": self.until, "--only": self.only, "--shell": self.shell,
            "--shell-after": self.shell_after,
        }  # fmt: skip
        found = [word for option, step in named.items() if step is not None for word in (option, step)]
        found += [word for step in self.breaks for word in ("--break", step)]
        return (*found, "--debug") if self.debug else tuple(found)


class Steering(NamedTuple):
    """Positions in a plan. anew: these run even if they have run; last: nothing after it runs; breaks: a shell before;
    instead: a shell in its place, and the end; after: a shell after it, and the end; debug: a shell where a step fails.

    terminal: opens the person's; it is asked for when the first shell is due. needed: only these run at all.
    trial: told what a step made, which is then kept for nobody: no later build finds it.
    """

    anew: Collection[int] = ()
    last: int | None = None
    breaks: frozenset[int] = frozenset()
    instead: int | None = None
    after: int | None = None
    debug: bool = False
    terminal: Callable[[], Terminal] | None = None
    words: tuple[str, ...] = ()
    needed: frozenset[int] | None = None
    trial: Callable[[StepContext, Made], None] | None = None

    def reaches(self, index: int) -> bool:
        """Whether the build gets to a step that somebody wants."""
        ends = [end for end in (self.last, self.instead, self.after) if end is not None]
        return (self.needed is None or index in self.needed) and all(index <= end for end in ends)

    @property
    def shells(self) -> bool:
        return bool(self.breaks) or self.instead is not None or self.after is not None or self.debug


def steer(plan: Plan, wish: Wish, terminal: Callable[[], Terminal] | None) -> Steering:
    """The wish as positions in a plan. Rejected: a step that is not there, or wishes that contradict each other."""
    names = [action.step.name for action in plan.actions]

    def at(text: str | None) -> int | None:
        return None if text is None else find_step(names, text, f"the plan of {plan.name}")

    start, until, only = at(wish.start), at(wish.until), at(wish.only)
    instead, after = at(wish.shell), at(wish.shell_after)
    breaks = frozenset(position for position in map(at, wish.breaks) if position is not None)
    if only is not None and (start is not None or until is not None):
        raise Rejected("--only goes without --from and --until", hint="--only STEP is --from STEP --until STEP")
    if only is not None:
        start = until = only
    ends = {"--only" if only is not None else "--until": until, "--shell": instead, "--shell-after": after}
    given = {option: position for option, position in ends.items() if position is not None}
    if len(set(given.values())) > 1 or (instead is not None and after is not None):
        said = ", ".join(f"{option} {names[position]!r}" for option, position in given.items())
        raise Rejected(f"the build cannot end twice: {said}", hint="leave one of them out")
    last = next(iter(given.values()), None)
    if start is not None and last is not None and start > last:
        raise Rejected(
            f"--from {names[start]!r} comes after {names[last]!r}", hint="the first step must not come after the last"
        )
    for position in sorted(breaks):
        if last is not None and (position > last or position == instead):
            raise Rejected(
                f"--break {names[position]!r} is never reached: the build ends at {names[last]!r}",
                hint="leave one of them out",
            )
    return Steering(
        anew=() if start is None else range(start, len(names)),
        last=last,
        breaks=breaks,
        instead=instead,
        after=after,
        debug=wish.debug,
        terminal=terminal,
        words=wish.words(),
    )
