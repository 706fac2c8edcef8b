"""What is there before anything runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from textwrap import indent

from pytest_bdd import given, parsers
from world import World

EXAMPLES = Path(__file__).parents[2] / "examples"


@given("a specification:")
def _specification(world: World, docstring: str) -> None:
    world.specification(docstring)


@given("a specification that begins with the base:")
def _with_base(world: World, docstring: str) -> None:
    world.specification("steps:\n  - create-systree: {base: debian-12}\n" + indent(docstring, "  "))


@given("a small system tree")
def _small_tree(world: World) -> None:
    """The host's sh and a few programs with their libraries: 4 MB, where the base has 200."""
    for source, target in small_tree():
        path = world.project / "tree" / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o755)
    world.account.own(world.project)


@given("a specification that begins with the small system tree:")
def _with_small_tree(world: World, docstring: str) -> None:
    first = ("source: {path: tree}", "create-artifact: tree", "create-systree: tree", "empty-workspace:")
    steps = "steps:\n" + "".join(f"  - {step}\n" for step in first)
    world.specification(steps + indent(docstring, "  "))


def small_tree() -> list[tuple[str, str]]:
    """(file of the host, path in the tree)."""
    programs = {"/bin/dash": "/bin/sh", **{f"/bin/{name}": f"/bin/{name}" for name in ("cat", "head", "sleep", "sync")}}
    libraries = [f"/lib/{os.uname().machine}-linux-gnu/libc.so.6"]
    loaders = [path for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(path)]
    return [*programs.items(), *((path, path) for path in (*libraries, *loaders))]


@given(parsers.parse('a file "{name}" that says "{text}"'))
def _file(world: World, name: str, text: str) -> None:
    world.write(name, text.replace("\\n", "\n"))


@given(parsers.parse('a file "{name}":'))
def _long_file(world: World, name: str, docstring: str) -> None:
    world.write(name, docstring + "\n")


@given(parsers.parse('an executable "{name}":'))
def _executable(world: World, name: str, docstring: str) -> None:
    world.write(name, docstring + "\n", 0o755)


@given("a store of its own, with nothing in it")
def _own_store(world: World) -> None:
    world.store = world.top / "store"


@given("the store is inside the project")
def _store_inside(world: World) -> None:
    world.store = world.project / "state" / "store"


@given("the store is named through a link into the project")
def _store_by_link(world: World) -> None:
    (world.top / "link").symlink_to(world.project)
    world.store = world.top / "link" / "store"


def copy_example(world: World, name: str) -> None:
    shutil.copytree(EXAMPLES / name, world.project, symlinks=True, dirs_exist_ok=True)
    world.account.own(world.project)


@given(parsers.parse('the file "{name}" cannot be read'))
def _unreadable(world: World, name: str) -> None:
    os.chmod(world.project / name, 0)


@given(parsers.parse('the file "{name}" is a link to "{target}"'))
def _link(world: World, name: str, target: str) -> None:
    (world.project / name).symlink_to(target)


@given("files with strange names in the folder src:")
def _strange(world: World, datatable: list[list[str]]) -> None:
    """Each row is a name, written as the inside of a Python bytes literal."""
    names = [row[0].encode().decode("unicode_escape").encode("latin-1") for row in datatable]
    for name in names:
        world.write(b"src/" + name, b"content of " + name)
    world.facts["names"] = names
