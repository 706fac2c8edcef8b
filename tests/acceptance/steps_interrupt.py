"""Builds that are stopped in the middle: asked to (Ctrl-C), or killed without a word."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pytest_bdd import parsers, then, when
from store_facts import unfinished
from world import Running, World

from contractor.core import events

_SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "kill -9": signal.SIGKILL}
_GONE = 20.0  # seconds that everything of a killed build may take to be gone


@when(parsers.parse('it is built, and ended with {how} when "{text}" is in its output'))
def _at_output(world: World, how: str, text: str) -> None:
    running = world.start()
    running.wait_for(lambda seen: text.encode() in b"".join(e.data for e in seen if isinstance(e, events.StepOutput)))
    _end(world, running, how)


@when(parsers.parse('it is built, and ended with {how} {seconds:g} seconds into the {action} step "{name}"'))
def _at_step(world: World, how: str, seconds: float, action: str, name: str) -> None:
    """A base's steps count as well."""
    running = world.start()
    running.wait_for(lambda seen: _running_step(seen) == (action, name))
    time.sleep(seconds)
    assert _running_step(list(_events(running))) == (action, name), "the step ended too soon for this scenario"
    _end(world, running, how)


def _events(running: Running) -> list[events.AnyEvent]:
    from world import read_events

    return read_events(running.events_file)


def _running_step(seen: list[events.AnyEvent]) -> tuple[str, str] | None:
    """(action, name) of the innermost step that has started and not ended."""
    infos = {event.build: event for event in seen if isinstance(event, events.BuildStarted)}
    running: list[tuple[str, int]] = []
    for event in seen:
        if isinstance(event, events.StepStarted):
            running.append((event.build, event.step))
        elif isinstance(event, events.StepFinished):
            running.remove((event.build, event.step))
    if not running:
        return None
    step = infos[running[-1][0]].steps[running[-1][1]]
    return step.action, step.name


def _end(world: World, running: Running, how: str) -> None:
    inside = _processes_of(running.process.pid)
    assert inside, "nothing of the build was running"
    running.signal(_SIGNALS[how])
    done = running.wait()
    world.done.append(done)
    if how == "kill -9":
        assert done.code == -signal.SIGKILL, done
    until = time.monotonic() + _GONE
    while still := [pid for pid in inside if _alive(pid)]:
        assert time.monotonic() < until, f"still running after {how}: {still}"
        time.sleep(0.02)
    if list(world.store.glob("results/**/*.json")):
        assert unfinished(world.store) == []


def _processes_of(pid: int) -> list[tuple[int, str]]:
    """Everything below a process: (pid, start time), so that a number that is used again is not taken for it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = (int(fields[1]), fields[19])
    found, new = [], {pid}
    while new:
        new = {child for child, (parent, _start) in parents.items() if parent in new}
        found += [(child, parents[child][1]) for child in new]
    return found


def _alive(process: tuple[int, str]) -> bool:
    try:
        fields = Path(f"/proc/{process[0]}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == process[1] and fields[0] != "Z"


@when("a second build of it starts while the first is in the debootstrap step")
def _second_waits(world: World) -> None:
    first = world.start()
    first.wait_for(lambda seen: (_running_step(seen) or ("",))[0] == "debootstrap")
    second = world.start()
    world.facts["waited"] = False
    second.wait_for(lambda seen: any(isinstance(e, events.Notice) and "waiting for it" in e.text for e in seen))
    assert first.process.poll() is None
    world.done += [first.wait(), second.wait()]


@then("the base was made once")
def _once(world: World) -> None:
    made = [
        event
        for done in world.done[-2:]
        for event in done.events
        if isinstance(event, events.BuildStarted) and event.parent
    ]
    assert len(made) == 1, made


@then("the workspace is where it says, with:")
def _kept(world: World, docstring: str) -> None:
    kept = world.last.record()["kept"]
    assert kept, "the record names no kept workspace"
    assert kept in world.last.err or kept in str(world.last.events), "nobody is told where it is"
    assert sorted(os.listdir(kept)) == docstring.split()


@then("all but the first succeed")
def _rest_succeed(world: World) -> None:
    for done in world.done[1:]:
        assert done.code == 0, done


@then("the base has the same digest as in the other store")
def _same_base(world: World) -> None:
    shared = World(world.account, "again")
    shared.specification("steps:\n  - create-systree: {base: debian-12}\n")
    assert shared.build().code == 0
    assert base_digest(world) == base_digest(shared)


def base_digest(world: World) -> str:
    """What create-systree said that it unpacked, when it ran in this store."""
    for log in sorted(world.store.glob("builds/*/log")):
        for line in log.read_bytes().splitlines():
            if line.startswith(b"system tree of sha256:"):
                return line.rpartition(b":")[2].decode()
    raise AssertionError("no build of this store unpacked the base")
