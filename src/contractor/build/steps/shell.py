"""shell: the specification's script in the system tree, offline unless the step names hosts, as the build user.

The script is a read-only file and not an argument, so it may be long and hold anything; bash if the tree has it
(`set -eu -o pipefail`), else sh (`set -eu`).
"""

from __future__ import annotations

from contractor.build.context import Made, StepContext
from contractor.core.errors import Rejected
from contractor.spec.model import Shell

SCRIPT = "/run/contractor/step"


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Shell)
    files = {SCRIPT: action.script.encode(), **secret_files(context)}
    context.place.mount(context.action.layers)
    spec = context.tree_spec(shell_argv(context), context.action.env, files)
    return Made(exit=context.run(spec))


def shell_argv(context: StepContext) -> list[str]:
    """The shell of the mounted tree, with the options that end a script at its first failure."""
    layers = context.action.layers
    if context.place.has_program(layers, "/bin/bash"):
        return ["/bin/bash", "-eu", "-o", "pipefail", SCRIPT]
    if context.place.has_program(layers, "/bin/sh"):
        return ["/bin/sh", "-eu", SCRIPT]
    raise Rejected(
        "the system tree has no /bin/sh", hint="make the tree with `create-systree: {base: debian-12}` or debootstrap"
    )


def secret_files(context: StepContext) -> dict[str, bytes]:
    """/run/secrets/NAME for each secret of the step; Rejected when one was not given."""
    files = {}
    for name in context.action.step.secrets:
        if name not in context.options.secrets:
            raise Rejected(
                f"the step {context.action.step.name!r} needs the secret {name}, which was not given",
                hint=f"contractor build --secret {name}=FILE",
            )
        files[f"/run/secrets/{name}"] = context.options.secrets[name]
    return files
