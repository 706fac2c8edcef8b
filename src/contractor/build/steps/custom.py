"""custom: an executable of the project (.contractor/actions/NAME), in the system tree as a shell step would run.

Its arguments come as CONTRACTOR_ARG_<NAME> in the environment and as JSON on the standard input.
"""

from __future__ import annotations

import msgspec

from contractor.build.context import StepContext
from contractor.build.facts import custom_path
from contractor.build.options import Made
from contractor.build.steps.shell import secret_files
from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.spec.model import Custom

_PROGRAM, _INPUT = "/run/contractor/action", "/run/contractor/arguments"


def run(context: StepContext) -> Made:
    action = context.action.step.action
    assert isinstance(action, Custom)
    content = _executable(context, action.name)
    arguments = {
        "CONTRACTOR_ARG_" + name.upper().replace("-", "_"): value if isinstance(value, str) else _text(value)
        for name, value in action.args.items()
    }
    files = {_PROGRAM: content, _INPUT: msgspec.json.encode(action.args), **secret_files(context, context.action.step)}
    context.place.mount(context.action.layers)
    argv = ["/bin/sh", "-c", f'exec "$0" < {_INPUT}', _PROGRAM]
    spec = context.tree_spec(argv, {**context.action.env, **arguments}, files)
    mounts = tuple(
        msgspec.structs.replace(mount, mode=0o555) if mount.target == _PROGRAM else mount for mount in spec.mounts
    )
    return Made(exit=context.run(msgspec.structs.replace(spec, mounts=mounts)))


def _executable(context: StepContext, name: str) -> bytes:
    """As it was when the plan was made; kept in the store, for the build can be verified when it has changed since."""
    wanted = str(context.action.inputs["executable"])
    blobs = context.store.blobs
    if blobs.has(wanted):
        with blobs.open(wanted) as kept:
            content = kept.read()
        if digest.of_bytes(content) == wanted:
            return content
    content = custom_path(context.options.folder, name).read_bytes()
    if digest.of_bytes(content) != wanted:
        raise Rejected(f"the custom action {name} has changed since the build was planned", hint="build again")
    blobs.add_bytes(content)
    return content


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)
