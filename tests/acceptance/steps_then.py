"""What must be so afterwards."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time

from pytest_bdd import parsers, then
from store_facts import archive_members, leftovers, unfinished
from world import World

from contractor.core import events
from contractor.core.errors import EXIT_CODES, Outcome


@then(parsers.parse("the exit code is {code:d}"))
def _code(world: World, code: int) -> None:
    assert world.last.code == code, world.last


@then(parsers.parse("the outcome is {outcome}"))
def _outcome(world: World, outcome: str) -> None:
    """The same in the exit code, the events and the record, and nothing stays behind."""
    assert world.last.code == EXIT_CODES[Outcome(outcome)], world.last
    finished = [event for event in world.last.events if isinstance(event, events.BuildFinished)]
    assert finished[-1].outcome == outcome
    assert world.last.record()["outcome"] == outcome
    assert world.last.record()["message"] == finished[-1].message
    assert leftovers(world.store, world.last.started()[-1].build) == []


@then("all of them succeed")
def _all_succeed(world: World) -> None:
    for done in world.done:
        assert done.code == 0, done
        assert done.record()["outcome"] == "succeeded"


@then(parsers.parse("the steps that ran are: {names}"))
def _ran(world: World, names: str) -> None:
    assert world.last.steps(events.StepStarted) == [name.strip() for name in names.split(",")], world.last


@then("no step ran")
def _none_ran(world: World) -> None:
    assert world.last.steps(events.StepStarted) == [], world.last
    assert len(world.last.steps(events.StepCached)) == len(world.last.started()[-1].steps)


@then(parsers.parse("no {action} step ran"))
def _no_such_step(world: World, action: str) -> None:
    info = world.last.started()[-1]
    kinds = {step.name: step.action for step in info.steps}
    assert action in kinds.values(), "the specification has no such step: the scenario would say nothing"
    assert action not in [kinds[name] for name in world.last.steps(events.StepStarted)]


@then(parsers.parse('it says "{text}"'))
def _says(world: World, text: str) -> None:
    assert unescaped(text, world) in world.last.err, world.last


@then("it says:")
def _says_all(world: World, docstring: str) -> None:
    for line in docstring.splitlines():
        assert unescaped(line.strip(), world) in world.last.err, f"not said: {line.strip()}\n{world.last}"


@then(parsers.parse('it does not say "{text}"'))
def _does_not_say(world: World, text: str) -> None:
    assert text not in world.last.err, world.last


@then(parsers.parse('it prints "{text}"'))
def _prints(world: World, text: str) -> None:
    assert text.encode() in world.last.out, world.last


@then("there is a hint and no traceback")
def _hint(world: World) -> None:
    assert re.search(r"^ *hint: \S", world.last.err, re.MULTILINE), world.last
    assert "Traceback" not in world.last.err, world.last


@then(parsers.parse('the log has "{text}"'))
def _log_has(world: World, text: str) -> None:
    assert unescaped(text, world).encode("latin-1") in world.last.log()


@then(parsers.parse("the artifact {name} is the same as in the first build"))
def _same(world: World, name: str) -> None:
    assert world.last.digests()[name] == world.digests[name], world.last


@then(parsers.parse("the artifact {name} is another than in the first build"))
def _another(world: World, name: str) -> None:
    assert world.last.digests()[name] != world.digests[name], world.last


@then("all of them made the same artifacts")
def _all_same(world: World) -> None:
    found = [done.digests() for done in world.done]
    assert found[0]
    assert all(digests == found[0] for digests in found)


@then(parsers.parse("the artifact {name} holds:"))
def _holds(world: World, name: str, datatable: list[list[str]]) -> None:
    members = archive_members(world.store, world.last.digests()[name])
    for path, content in datatable:
        assert members[path.encode()][1] == unescaped(content, world).encode(), members
    files = {path for path, (kind, _content) in members.items() if stat.S_ISREG(kind)}
    assert files == {path.encode() for path, _content in datatable}


@then("every file with a strange name is in it, with its content")
def _strange(world: World) -> None:
    members = archive_members(world.store, next(iter(world.last.digests().values())))
    for name in world.facts["names"]:
        assert members[b"src/" + name][1] == b"content of " + name, sorted(members)


@then("everything finished in the store is whole")
def _whole(world: World) -> None:
    assert unfinished(world.store) == []


@then("gc leaves nothing of the killed builds")
def _gc(world: World) -> None:
    """Two hours later: gc leaves what is young, which may only be about to get its lock or its name."""
    later = time.time() - 7200
    for path in (*(world.store / "work").iterdir(), *(world.store / "blobs").glob(".*")):
        os.utime(path, (later, later))
    done = world.run(command="gc")
    assert done.code == 0, done
    assert leftovers(world.store, "") == []


@then("no duration is negative")
def _durations(world: World) -> None:
    record = world.last.record()
    assert record["seconds"] >= 0
    assert record["finished"] >= record["started"]
    assert all(step["seconds"] >= 0 and step["cpu_seconds"] >= 0 for step in record["steps"])


def unescaped(text: str, world: World) -> str:
    for name, value in world.facts.items():
        text = text.replace(f"<{name}>", str(value))
    return text.replace("\\n", "\n").replace("\\xff", "\xff").replace("\\xfe", "\xfe")


@then(parsers.parse('the folder {name} holds what SHA256SUMS says, and "{text}" in {file}'))
def _given(world: World, name: str, text: str, file: str) -> None:
    folder = world.top / name
    assert (folder / file).read_text() == unescaped(text, world), sorted(folder.rglob("*"))
    check = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert check.returncode == 0, check
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {line.split("  ", 1)[1] for line in lines if not line.startswith("#")}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert listed == {file for file in files if file != "SHA256SUMS" and not file.endswith(".intoto.jsonl")}
