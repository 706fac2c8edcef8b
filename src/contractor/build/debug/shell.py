"""A person's shell in the sandbox of a step: the same mounts, environment, user, network, limits and filter.

What differs: its input and output are a terminal of its own, TERM is the person's, and no time limit runs. The step's
command is at hand as the function `again`.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from contractor.build import steps
from contractor.build.ending import meaning
from contractor.core.errors import Rejected
from contractor.core.events import ShellFinished, ShellStarted
from contractor.plan.environment import FIXED
from contractor.sandbox.spec import Mount, SandboxSpec
from contractor.sandbox.stage import TREE
from contractor.spec.actions import ACTIONS, CONTRACTOR
from contractor.spec.model import Source

if TYPE_CHECKING:
    from contractor.build.context import StepContext
    from contractor.plan.model import Action
    from contractor.sandbox.terminal import Terminal

_SETUP = "/run/contractor/shell"  # what the shell reads at its start
# `exit` and Ctrl-D mean what they say, whatever the command before them returned.
_EXIT = """exit() { contractor_exit=${1:-0}; builtin exit "$contractor_exit"; }
trap 'builtin exit "${contractor_exit:-0}"' EXIT
"""


class Visit(NamedTuple):
    """How a shell ended. changed: the paths of the workspace that are not as they were; tree: it was written to."""

    code: int
    changed: tuple[bytes, ...]
    tree: bool


class Reason(NamedTuple):
    """Why a person gets a shell, and what leaving it does; for the person."""

    why: str
    leave: str


def enter(context: StepContext, spec: SandboxSpec | None, terminal: Terminal, reason: Reason) -> Visit:
    """Give a person a shell where the step's command runs (spec), or would run if it had one (None).

    Broken: the sandbox could not be set up; Rejected: there is no shell in the tree. What a limit ended has ended, and
    why is said.
    """
    own = spec if spec is not None else beside(context)
    command = shlex.join(own.argv) if spec is not None else ""
    network = ", ".join(context.action.hosts) if own.network else "none"
    made = interactive(context, own, command, terminal.kind)
    context.emit(
        ShellStarted(
            at=time.time(),
            build=context.build,
            step=context.index,
            why=reason.why,
            leave=reason.leave,
            command=command,
            network=network,
        )
    )
    exit_ = context.converse(made, terminal)
    changed = tuple(context.place.call("changed"))
    tree = bool(context.place.call("tree-changed"))
    count = len(changed) + tree
    context.emit(ShellFinished(at=time.time(), build=context.build, step=context.index, code=exit_.code, changed=count))
    trouble = meaning(exit_, own, context.action.step.name) if exit_.limit or not exit_.started else None
    if trouble is not None and not exit_.started:
        raise trouble
    if trouble is not None:
        context.notice(f"the shell was ended: {trouble.message}", "warning")
    return Visit(exit_.code, changed, tree)


def command_of(context: StepContext) -> SandboxSpec | None:
    """What the context's action would run, with its mounts in place; None for one that runs no command."""
    action = context.action
    if not has_command(action):
        return None
    found: list[SandboxSpec] = []

    def catch(spec: SandboxSpec | None) -> None:
        found.extend([spec] if spec is not None else [])
        raise _Caught

    before, context.before = context.before, catch
    try:
        steps.run(context)
    except _Caught:
        pass
    finally:
        context.before = before
    return found[0] if found else None


class _Caught(Exception):
    """The command is known, and need not run."""


def has_command(action: Action) -> bool:
    """Whether the action runs a command in a sandbox."""
    if isinstance(action.step.action, Source):
        return bool(action.step.action.git)
    return ACTIONS[action.kind].place != CONTRACTOR


def beside(context: StepContext) -> SandboxSpec:
    """A sandbox for a step that has none of its own: as a shell step there would have it."""
    layers = context.action.layers
    environment = {**FIXED, "CONTRACTOR_NAME": context.plan.name, "CONTRACTOR_STEP": context.action.step.name}
    if not layers:
        return context.host_spec((), environment, network=False)
    context.place.mount(layers)
    return msgspec.structs.replace(context.tree_spec((), environment, {}), network=False)


def interactive(context: StepContext, spec: SandboxSpec, command: str, kind: str) -> SandboxSpec:
    """The same sandbox with a shell that reads from a terminal."""
    bash = _has(context, spec, "/bin/bash")
    if not bash and not _has(context, spec, "/bin/sh"):
        raise Rejected(
            f"the system tree of the step {context.action.step.name!r} has no /bin/sh: there can be no shell in it",
            hint="`contractor shell --step STEP` enters a step with another tree",
        )
    setup = f"PS1={shlex.quote(_prompt(context, spec, bash=bash))}\n" + (_EXIT if bash else "")
    if command:  # as it ran: where the step begins, and with nothing to read
        setup += f"again() {{ (cd {shlex.quote(spec.cwd)} && {command}) </dev/null; }}\n"
    return msgspec.structs.replace(
        spec,
        argv=("/bin/bash", "--noprofile", "--rcfile", _SETUP, "-i") if bash else ("/bin/sh", "-i"),
        mounts=(*spec.mounts, Mount("file", _SETUP, data=setup.encode(), mode=0o444)),
        env={**spec.env, "TERM": kind, **({} if bash else {"ENV": _SETUP})},
        limits=msgspec.structs.replace(spec.limits, time=0),
        terminal=True,
    )


def _has(context: StepContext, spec: SandboxSpec, program: str) -> bool:
    if spec.mounts[0].source == TREE:
        return context.place.has_program(context.action.layers, program)
    return os.path.exists(program)


def _prompt(context: StepContext, spec: SandboxSpec, *, bash: bool) -> str:
    """`contractor 3 /workspace $`; the step's name may be anything, so its number stands for it."""
    end = "#" if spec.user == 0 else "$"
    if not bash:
        return f"contractor {context.index + 1} {end} "
    return rf"\[\e[1;36m\]contractor {context.index + 1}\[\e[0m\] \w {end} "
