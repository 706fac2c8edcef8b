"""Charms, rocks and other crafts: a folder with the tool's yaml, which the tool of the image packs.

The tools are Canonical's charmcraft, rockcraft and sourcecraft; none of them comes with Contractor. They run in their
destructive mode: the target is the machine that they may change.
"""

from __future__ import annotations

from contractor.buildd.arguments import Craft, Packed
from contractor.buildd.builds.checkout import (
    check_out,
    collect,
    folder_in,
    package_fail,
    program,
    say_channels,
)
from contractor.buildd.target.target import Target
from contractor.core.values import Value

_OUTPUT = "/build/output"


class Tool(Value, frozen=True):
    """A row of the table. project: the file that says what is packed. endings: of the results, the first of which must
    be among them. output: the tool is told where to leave what it makes.
    """

    name: str
    project: tuple[str, ...]
    endings: tuple[str, ...]
    output: bool = False


TOOLS = {
    "charm": Tool("charmcraft", ("charmcraft.yaml",), (".charm", ".manifest")),
    "rock": Tool("rockcraft", ("rockcraft.yaml",), (".rock", ".manifest")),
    "craft": Tool("sourcecraft", ("sourcecraft.yaml",), (".tar.xz",), output=True),
}


def build(target: Target, arguments: Packed) -> str:
    """Fetch, pack, collect."""
    tool = TOOLS[target.job.tag]
    path = program(target, tool.name)
    if not path:
        raise package_fail(
            f"{tool.name} is not in this image, and a {target.job.tag} cannot be packed without it",
            hint=f"build with an image that has {tool.name} in its PATH",
        )
    say_channels(target, arguments.channels)
    top = check_out(target, arguments, arguments.name)
    folder = folder_in(target, top, arguments.build_path, "build_path")
    if not any(target.kind(f"{folder}/{name}") == "file" for name in tool.project):
        where = arguments.build_path or "the top of the source"
        raise package_fail(f"there is no {tool.project[0]} in {where}", hint="build_path names the folder that has it")
    left = folder
    argv = [path, "pack", "-v", "--destructive-mode"]
    if tool.output:
        target.mkdir(_OUTPUT)
        argv += ["--output", _OUTPUT]
        left = _OUTPUT
    target.run(argv, env=_environment(arguments), cwd=folder, network=True, check=True)
    names = collect(target, left, tool.endings)
    if not any(name.endswith(tool.endings[0]) for name in names):
        raise package_fail(f"{tool.name} left no *{tool.endings[0]} in {left}")
    return "OK"


def _environment(arguments: Packed) -> dict[str, str]:
    env: dict[str, str] = {}
    if arguments.craft_platform:
        env["CRAFT_PLATFORM"] = arguments.craft_platform
    if isinstance(arguments, Craft):
        env |= arguments.environment_variables
    return env
