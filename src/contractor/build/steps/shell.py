"""shell: the specification's script in the system tree, offline unless the step names hosts, as the build user.

The script is a read-only file and not an argument, so it may be long and hold anything; bash if the tree has it
(`set -eu -o pipefail`), else sh (`set -eu`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contractor.build.context import StepContext
from contractor.build.options import Made
from contractor.core.errors import Rejected
from contractor.spec.model import Shell

if TYPE_CHECKING:
    from contractor.plan.model import Action
    from contractor.sandbox.spec import SandboxSpec
    from contractor.spec.model import Step

SCRIPT = "/run/contractor/step"


def run(context: StepContext) -> Made:
    context.place.mount(context.action.layers)

    def ahead() -> SandboxSpec | None:
        action = context.following()
        return command(context, action) if action is not None else None

    return Made(exit=context.run(command(context, context.action), following=ahead))


def command(context: StepContext, action: Action) -> SandboxSpec:
    """What a shell step runs. Its tree must be mounted."""
    shell = action.step.action
    assert isinstance(shell, Shell)
    files = {SCRIPT: shell.script.encode(), **secret_files(context, action.step)}
    return context.tree_spec(_argv(context, action.layers), action.env, files, action.step)


def _argv(context: StepContext, layers: tuple[str, ...]) -> list[str]:
    """The shell of the mounted tree, with the options that end a script at its first failure."""
    if context.place.has_program(layers, "/bin/bash"):
        return ["/bin/bash", "-eu", "-o", "pipefail", SCRIPT]
    if context.place.has_program(layers, "/bin/sh"):
        return ["/bin/sh", "-eu", SCRIPT]
    raise Rejected(
        "the system tree has no /bin/sh", hint="make the tree with `create-systree: {base: debian-12}` or debootstrap"
    )


def secret_files(context: StepContext, step: Step) -> dict[str, bytes]:
    """/run/secrets/NAME for each secret of the step; Rejected when one was not given."""
    files = {}
    for name in step.secrets:
        if name not in context.options.secrets:
            raise Rejected(
                f"the step {step.name!r} needs the secret {name}, which was not given",
                hint=f"contractor build --secret {name}=FILE",
            )
        files[f"/run/secrets/{name}"] = context.options.secrets[name]
    return files
