"""Several builds at once: when each of them was in which step, and that none is left behind."""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from itertools import combinations

from pytest_bdd import parsers, then, when
from steps_interrupt import _GONE, _SIGNALS, _alive, _processes_of
from world import World

from contractor.core import events


def intervals(world: World, step: str) -> list[tuple[float, float]]:
    """When each build wrote "begin STEP" and "end STEP"."""
    seen: dict[str, dict[bytes, float]] = {}
    for event in world.last.events:
        if isinstance(event, events.StepOutput):
            for word in (b"begin", b"end"):
                if word + b" " + step.encode() in event.data:
                    seen.setdefault(event.build, {})[word] = event.at
    return [(times[b"begin"], times[b"end"]) for times in seen.values()]


def overlapping(world: World, step: str) -> int:
    found = intervals(world, step)
    assert len(found) == len(world.last.started()) > 1, world.last
    return sum(1 for a, b in combinations(found, 2) if a[0] < b[1] and b[0] < a[1])


@then(parsers.parse("builds were in the step {step} at the same time"))
def _together(world: World, step: str) -> None:
    assert overlapping(world, step) > 0, intervals(world, step)


@then(parsers.parse("no two builds were in the step {step} at the same time"))
def _alone(world: World, step: str) -> None:
    assert overlapping(world, step) == 0, intervals(world, step)


@then(parsers.parse('the step "{step}" ran once in all builds'))
def _once(world: World, step: str) -> None:
    builds = range(len(world.last.started()))
    ran = [build for build in builds if step in world.last.steps(events.StepStarted, build)]
    cached = [build for build in builds if step in world.last.steps(events.StepCached, build)]
    assert len(ran) == 1 and len(ran) + len(cached) == len(builds), world.last


@then(parsers.parse("sha256sum finds all of these as SHA256SUMS says: file tree.tar.zst, of {names}"))
def _sums(world: World, names: str) -> None:
    folder = world.top / "out"
    listed = [line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines() if line[0] != "#"]
    assert listed == [f"WHO-{name}/{file}" for name in names.split() for file in ("made/file", "tree.tar.zst")]
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    done = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done


@then("there is no SHA256SUMS over all")
def _no_sums(world: World) -> None:
    assert (world.top / "out" / "WHO-a" / "SHA256SUMS").exists()
    assert not (world.top / "out" / "SHA256SUMS").exists()


@when(parsers.parse("it is built with {number:d} at once, and ended with {how} when all are in the middle: {names}"))
def _ended(world: World, number: int, how: str, names: str) -> None:
    running = world.start("--jobs", str(number), "-p", shlex.quote(names).strip("'"))
    running.wait_for(lambda seen: sum(1 for e in seen if isinstance(e, events.StepStarted)) >= number)
    time.sleep(0.5)
    world.facts["inside"] = _processes_of(running.process.pid)
    assert len(world.facts["inside"]) >= number, "nothing of the builds was running"
    running.signal(_SIGNALS[how])
    done = running.wait()
    world.done.append(done)
    assert done.code == (-signal.SIGKILL if how == "kill -9" else 130), done


@then("nothing of them is running any more")
def _nothing(world: World) -> None:
    until = time.monotonic() + _GONE
    while still := [pid for pid in world.facts["inside"] if _alive(pid)]:
        assert time.monotonic() < until, f"still running: {still}"
        time.sleep(0.02)
    ours = {event.build for event in world.last.started()}  # another scenario may have kept its workspace
    assert [build for build in ours if (world.store / "work" / build / "place" / "ws").exists()] == []
