"""What a build tells and what it must not: secrets, and the story of events, record and log."""

from __future__ import annotations

import base64
import os

from pytest_bdd import given, parsers, then
from world import World

from contractor.core import events


@given(parsers.parse('a secret {name} in a file outside the project: "{text}"'))
def _secret(world: World, name: str, text: str) -> None:
    path = world.top / f"secret-{name}"
    path.write_bytes(text.replace("\\n", "\n").encode())
    world.account.own(path)
    world.facts[name] = path
    world.facts.setdefault("secret values", []).append(text.replace("\\n", "\n"))


@given(parsers.parse("a secret {name} of {size:d} MB in a file outside the project"))
def _long_secret(world: World, name: str, size: int) -> None:
    path = world.top / f"secret-{name}"
    path.write_bytes(b"0123456789abcde\n" * (size << 16))
    world.account.own(path)
    world.facts[name] = path


@then("no secret is anywhere: not in what was said, the events, the record, the log or the store")
def _nowhere(world: World) -> None:
    lines = [line.encode() for value in world.facts["secret values"] for line in value.splitlines()]
    done = world.last
    texts = {
        "stderr": done.err.encode(),
        "stdout": done.out,
        "events": b"".join(event.data for event in done.events if isinstance(event, events.StepOutput)),
        "event lines": b"".join(events.encode(event) for event in done.events),
    }
    folder = done.started()[-1].record
    for place in (folder, *(str(world.store / name) for name in ("results", "states", "sources"))):
        for where, _folders, files in os.walk(place):
            for name in files:
                with open(os.path.join(where, name), "rb") as file:
                    texts[f"{where}/{name}"] = file.read()
    for where, text in texts.items():
        for line in lines:
            assert line not in text, f"a secret is in {where}"
            assert base64.b64encode(line).rstrip(b"=")[:-1] not in text, f"a secret is in {where}, in base64"


@then(parsers.parse("in the log the secret was replaced {number:d} times"))
def _replaced(world: World, number: int) -> None:
    assert world.last.log().count(b"[secret]") == number, world.last.log()


@then("events, record and log tell the same story")
def _same_story(world: World) -> None:
    done = world.last
    record = done.record()
    started = done.started()[-1]
    mine = [event for event in done.events if event.build == started.build]
    assert mine[0] == started
    assert isinstance(mine[-1], events.BuildFinished)
    assert [step.name for step in started.steps] == [step["name"] for step in record["steps"]]
    assert [step.key for step in started.steps] == [step["key"] for step in record["steps"]]
    outcomes = {event.step: str(event.outcome) for event in mine if isinstance(event, events.StepFinished)}
    outcomes |= {event.step: "cached" for event in mine if isinstance(event, events.StepCached)}
    assert [outcomes.get(index, "not run") for index in range(len(started.steps))] == [
        step["outcome"] for step in record["steps"]
    ]
    log = done.log()
    for index, step in enumerate(record["steps"]):
        output = b"".join(e.data for e in mine if isinstance(e, events.StepOutput) and e.step == index)
        logged = log[step["log_start"] : step["log_end"]]
        assert output == logged or (record["outcome"] == "out-of-limits" and output.startswith(logged))
    assert mine[-1].outcome == record["outcome"]
    assert mine[-1].message == record["message"]
    assert [artifact.digest for artifact in mine[-1].artifacts] == [a["digest"] for a in record["artifacts"]]
    assert started.plan == record["plan"]
    stored = events.Decoder()
    with open(f"{started.record}/events.jsonl", "rb") as file:
        kept = [stored.decode(line) for line in file.read().splitlines()]
    assert kept == [event for event in mine if not isinstance(event, events.StepOutput)]


@then(parsers.parse("each build of the matrix succeeded: {values}"))
def _matrix(world: World, values: str) -> None:
    found = [" ".join(info.matrix.values()) for info in world.last.started()]
    assert found == [value.strip() for value in values.split(",")]
    assert all(world.last.record(index)["outcome"] == "succeeded" for index in range(len(found)))


@then(parsers.parse('in the build of "{value}" the log has "{text}"'))
def _matrix_log(world: World, value: str, text: str) -> None:
    index = [" ".join(info.matrix.values()) for info in world.last.started()].index(value)
    assert text.encode() in world.last.log(index)
