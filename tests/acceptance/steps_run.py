"""What is done: commands that run to their end."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time

from pytest_bdd import given, parsers, when
from world import World


@given("it has been built")
def _has_been_built(world: World) -> None:
    assert world.build().code == 0, world.last


@given("it has been built, and failed")
def _has_failed(world: World) -> None:
    assert world.build().code == 1, world.last


@when("it is built")
@when("it is built again")
def _build(world: World) -> None:
    world.build()


@when(parsers.parse("it is built with: {options}"))
def _build_with(world: World, options: str) -> None:
    for name, value in {"TOP": world.top, "PROJECT": world.project, **world.facts}.items():
        options = options.replace(f"${name}", str(value))
    world.build(*shlex.split(options))


@when(parsers.parse("this is run: contractor {command}"))
def _command(world: World, command: str) -> None:
    build = world.last.started()[-1].build if world.done and world.last.events else ""
    name, *rest = shlex.split(command.replace("BUILD", build))
    world.done.append(world.run(*rest, command=name))


@when("the command that it names is run")
def _named_command(world: World) -> None:
    """The hint of a failure is a command to type: it is typed."""
    line = next(line for line in world.last.err.splitlines() if line.startswith("hint: contractor "))
    _command(world, line.removeprefix("hint: contractor "))


@when(parsers.parse('in {name}, "{old}" becomes "{new}"'))
@given(parsers.parse('in {name}, "{old}" becomes "{new}"'))
def _edit(world: World, name: str, old: str, new: str) -> None:
    path = world.project / name
    text = path.read_text()
    assert old in text, f"{old!r} is not in {name}"
    path.write_text(text.replace(old, new))


@when(parsers.parse("{number:d} builds of it run at the same time"))
def _at_once(world: World, number: int) -> None:
    running = [world.start() for _ in range(number)]
    world.done += [one.wait() for one in running]


@when(parsers.parse("the clock of everything in the store is {hours:d} hours {direction}"))
def _clock(world: World, hours: int, direction: str) -> None:
    """As it looks when the machine's clock was wrong when the store was written, or is now."""
    until = time.monotonic() + 5  # results move up when they have been synced
    while list(world.store.glob("results/unsynced/*/*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    offset = hours * 3600 * (1 if direction == "ahead" else -1)
    now = time.time() + offset
    for folder, _folders, files in os.walk(world.store):
        for name in files:
            if os.access(os.path.join(folder, name), os.W_OK):
                with contextlib.suppress(FileNotFoundError):
                    os.utime(os.path.join(folder, name), (now, now), follow_symlinks=False)
    for path in (*world.store.glob("results/**/*.json"), *world.store.glob("builds/*/record.json")):
        with contextlib.suppress(FileNotFoundError):  # settled meanwhile
            path.write_bytes(json_with_times(path.read_bytes(), offset))


def json_with_times(data: bytes, offset: float) -> bytes:
    value = json.loads(data)
    for key in ("started", "finished"):
        if key in value:
            value[key] += offset
    return json.dumps(value).encode()


@when("it is built, and whoever read what it says has gone")
def _nobody_reads(world: World) -> None:
    read, write = os.pipe()
    os.close(read)
    running = world.start(stderr=write)
    os.close(write)
    world.done.append(running.wait())


@when("it is built, with the disk full for what it says")
def _full(world: World) -> None:
    with open("/dev/full", "wb") as full:
        world.done.append(world.start(stderr=full.fileno()).wait())
