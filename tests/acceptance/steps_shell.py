"""A person at a terminal: builds that open shells, and shells in the sandboxes of builds that have ended."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_bdd import parsers, then, when
from steps_then import unescaped
from world import Done, World

from contractor.core import events
from person import Person


class Sitting:
    """Who sits at the terminal of the command that runs now, if anyone does."""

    def __init__(self) -> None:
        self.person: Person | None = None
        self.events = Path()
        self.began = 0.0

    @property
    def at(self) -> Person:
        assert self.person is not None, "nobody sits at a terminal"
        return self.person

    def sit(self, world: World, command: str, *options: str) -> None:
        """Start a command at a terminal, and wait for the prompt of its shell."""
        world.runs += 1
        self.events, self.began = world.top / f"events-{world.runs}.jsonl", time.monotonic()
        argv = [*world.account.command, command, "--store", str(world.store), *options]
        argv += ["--events", str(self.events)] if command == "build" else []
        environment = {**world.environment, "TERM": "xterm-256color"}
        self.person = Person(argv, popen=world.account.popen, cwd=world.project, env=environment)
        self.prompt()

    def prompt(self) -> None:
        self.at.sees("  leave ")
        self.at.sees(" $ ")

    def rise(self) -> Done:
        code, self.person, person = self.at.leaves(), None, self.at
        person.hang_up()
        return Done(code, b"", person.all().replace("\r\n", "\n").encode(), self.events, time.monotonic() - self.began)


@pytest.fixture
def sitting() -> Iterator[Sitting]:
    made = Sitting()
    yield made
    if made.person is not None:
        made.person.__exit__()


@when(parsers.parse("it is built at a terminal with: {options}"))
def _build(world: World, sitting: Sitting, options: str) -> None:
    sitting.sit(world, "build", *shlex.split(options))


@when("the command for a shell that it names is typed")
def _named(world: World, sitting: Sitting) -> None:
    """The hint of a failure is a command to type: it is typed."""
    line = next(line.strip() for line in world.last.err.splitlines() if "contractor shell " in line)
    words = shlex.split(line.partition("contractor shell ")[2], comments=True)
    sitting.sit(world, "shell", *words)


@then(parsers.parse('above its prompt it says "{text}"'))
def _heading(sitting: Sitting, text: str) -> None:
    assert text in sitting.at.all()


@then(parsers.parse('in the shell "{command}" prints "{text}"'))
@then(parsers.parse('in it "{command}" prints "{text}"'))
def _prints(sitting: Sitting, command: str, text: str) -> None:
    assert sitting.at.run(command).split() == text.split(), sitting.at.recent()


@when(parsers.parse('the shell is left with "{command}"'))
def _left(world: World, sitting: Sitting, command: str) -> None:
    sitting.at.line(command)
    done = sitting.rise()
    if not done.events and world.done:
        done.events = world.last.events  # so that BUILD is still the build that was looked at
    world.done.append(done)


@when(parsers.parse('the shell is left with "{command}", for the next one'))
def _next(sitting: Sitting, command: str) -> None:
    sitting.at.line(command)
    sitting.prompt()


@then(parsers.parse("tainted are the steps: {names}"))
def _tainted(world: World, names: str) -> None:
    record = world.last.record()
    assert [step["name"] for step in record["steps"] if step["tainted"]] == [name.strip() for name in names.split(",")]
    assert record["tainted"]
    planned = (Path(world.last.started()[-1].record) / "plan.json").read_text()
    for step in record["steps"]:
        assert step["key"] in planned
    earlier = {step["key"] for step in world.done[0].record()["steps"]}
    assert {step["key"] in earlier for step in record["steps"] if step["tainted"]} == {False}


@then("the build is not tainted")
def _untainted(world: World) -> None:
    record = world.last.record()
    assert record["tainted"] == ""
    assert [step["name"] for step in record["steps"] if step["tainted"]] == []


@then(parsers.parse("the build has not run the steps: {names}"))
def _not_run(world: World, names: str) -> None:
    outcomes = {step["name"]: step["outcome"] for step in world.last.record()["steps"]}
    for name in names.split(","):
        assert outcomes[name.strip()] == "not run"


@then(parsers.parse("no step ran of: {names}"))
def _none_of(world: World, names: str) -> None:
    assert not {name.strip() for name in names.split(",")} & set(world.last.steps(events.StepStarted))


@then(parsers.parse('it does not print "{text}"'))
def _does_not_print(world: World, text: str) -> None:
    assert text.encode() not in world.last.out, world.last


@then(parsers.parse('the file {name} says "{text}"'))
def _file_says(world: World, name: str, text: str) -> None:
    assert (world.project / name).read_text().strip() == unescaped(text, world)
