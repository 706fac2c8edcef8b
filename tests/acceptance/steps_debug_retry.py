"""Steps that are run again, and builds that are watched."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pytest_bdd import given, parsers, then, when
from store_facts import leftovers
from world import PATIENCE, Running, World, read_events

from contractor.core import events

_SILENCE = 1.5  # seconds without a build after which none will come


@given("it has been built until it succeeds")
def _until_it_succeeds(world: World) -> None:
    until = time.monotonic() + PATIENCE
    while world.build().code != 0:
        assert world.last.code == 1, world.last
        assert time.monotonic() < until, "it never succeeded"


@then("no place of an attempt is left")
def _no_place(world: World) -> None:
    for build in (world.store / "builds").iterdir():
        assert leftovers(world.store, build.name) == []
    layers = [path.name for path in (world.store / "layers").glob("*/[!.]*")]
    results = {path.stem for path in world.store.glob("results/**/*.json")}
    assert layers
    assert set(layers) <= results, "a layer of an attempt has a name"


@when(parsers.parse("the state after the step {name} is lost"))
def _lost(world: World, name: str) -> None:
    """As after a crash, or an ordinary rm."""
    steps = json.loads((world.store / "builds" / _last_build(world) / "record.json").read_text())["steps"]
    (key,) = [step["key"] for step in steps if step["name"] == name]
    (world.store / "states" / key).unlink()


def _last_build(world: World) -> str:
    return world.last.started()[-1].build if world.last.events else sorted(os.listdir(world.store / "builds"))[-1]


class Watched:
    """A watched build, of which some builds have been seen."""

    def __init__(self, running: Running, err: Path) -> None:
        self.running = running
        self.err = err
        self.seen = 0

    def builds(self) -> list[events.BuildFinished]:
        return [event for event in self.events() if isinstance(event, events.BuildFinished)]

    def events(self) -> list[events.AnyEvent]:
        return read_events(self.running.events_file)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert self.running.process.poll() is None, f"it ended before {what}: {self.running.wait()}"
            assert time.monotonic() < until, f"{what}: never; {self.err.read_text(errors='replace')}"
            time.sleep(0.01)

    def next(self) -> events.BuildFinished:
        """The next build's end."""
        self.until(lambda: len(self.builds()) > self.seen, "the next build ended")
        self.seen += 1
        return self.builds()[self.seen - 1]

    def ran(self, build: str) -> list[str]:
        started = [event for event in self.events() if event.build == build]
        (info,) = [event for event in started if isinstance(event, events.BuildStarted)]
        return [info.steps[event.step].name for event in started if isinstance(event, events.StepStarted)]

    def wait_for_output(self, text: str, times: int) -> None:
        def said() -> bool:
            output = b"".join(event.data for event in self.events() if isinstance(event, events.StepOutput))
            return output.count(text.encode()) >= times

        self.until(said, f"{text!r} was in its output")

    def waits(self) -> None:
        """Until it says for the last build that it watches."""
        self.until(lambda: self._said() >= self.seen, "it watched")

    def _said(self) -> int:
        return self.err.read_text(errors="replace").count("Watching ")


def _watched(world: World) -> Watched:
    found = world.facts["watched"]
    assert isinstance(found, Watched)
    return found


def _start(world: World, *options: str) -> Watched:
    running = world.start("--watch", *options)
    watched = Watched(running, world.top / f"err-{world.runs}")
    world.facts["watched"] = watched
    return watched


@when("it is built and watched")
@when(parsers.parse("it is built and watched with: {options}"))
def _watch(world: World, options: str = "") -> None:
    watched = _start(world, *options.split())
    assert watched.next().outcome == "succeeded", watched.err.read_text()
    watched.waits()


@when(parsers.parse('it is built and watched, and "{name}" is saved with "{text}" at "{words}"'))
def _change_meanwhile(world: World, name: str, text: str, words: str) -> None:
    watched = _start(world)
    watched.wait_for_output(words, 1)
    _save(world, name, text)
    assert watched.next().outcome == "succeeded", watched.err.read_text()


@when(parsers.parse('"{name}" is saved as editors do, with "{text}"'))
def _save(world: World, name: str, text: str) -> None:
    """A new file beside it that takes its name."""
    path = world.project / name
    beside = path.with_name(f"{path.name}.new~")
    beside.write_text(text.replace("\\n", "\n"))
    world.account.own_one(beside)
    os.replace(beside, path)


@when(parsers.parse('"{name}" is touched as an editor opens it'))
def _open(world: World, name: str) -> None:
    path = world.project / name
    path.with_name(f".{path.name}.swp").write_text("an editor's own")
    path.read_bytes()


@then(parsers.parse("the next build of it is {outcome}, and ran: {names}"))
def _next(world: World, outcome: str, names: str) -> None:
    watched = _watched(world)
    ended = watched.next()
    assert ended.outcome == outcome, watched.err.read_text()
    assert watched.ran(ended.build) == [name.strip() for name in names.split(",")]
    watched.waits()


@then(parsers.parse('it says meanwhile "{text}"'))
def _says_meanwhile(world: World, text: str) -> None:
    watched = _watched(world)
    watched.until(lambda: text in watched.err.read_text(), f"it said {text!r}")
    watched.until(lambda: watched.err.read_text().rstrip().endswith("Ctrl-C ends"), "it watched on")


@then("no other build of it starts")
def _none(world: World) -> None:
    watched = _watched(world)
    time.sleep(_SILENCE)
    started = [event for event in watched.events() if isinstance(event, events.BuildStarted)]
    assert len(started) == watched.seen, watched.err.read_text()


@then(parsers.parse("Ctrl-C ends it with exit code {code:d}"))
def _stop(world: World, code: int) -> None:
    watched = _watched(world)
    watched.running.signal(signal.SIGINT)
    done = watched.running.wait()
    world.done.append(done)
    assert done.code == code, done
    assert leftovers(world.store, "") == []


@then(parsers.parse('Ctrl-C at the next "{words}" ends it with exit code {code:d}'))
def _stop_at(world: World, words: str, code: int) -> None:
    watched = _watched(world)
    watched.wait_for_output(words, watched.seen + 1)
    _stop(world, code)
