"""Stores for the tests of gc: as values, made at random, and small real ones."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from contractor.core.events import ArtifactInfo
from contractor.store.gc import Policy, Report, Tools, collect
from contractor.store.gc_model import DAY, Build, Ran, Survey, Thing
from contractor.store.gc_policy import YOUNG
from contractor.store.layout import Store, take_lock
from contractor.store.pins import Pin
from contractor.store.remove import remove_tree, usage
from contractor.store.results import Result, Results

NOW = 1_700_000_000.0


def key_of(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def make_result(key: str, **more) -> Result:
    values = {"kind": "shell", "name": "s", "build": "b", "finished": NOW, "seconds": 1.0, "inputs": {}, **more}
    return Result(key=key, **values)


def make_survey(**more) -> Survey:
    return Survey(**{"now": NOW, "since": NOW - YOUNG, **more})


def make_build(number: int, **more) -> Build:
    values = {"name": "b", "outcome": "succeeded", "started": NOW, "finished": NOW, **more}
    return Build(id=f"build-{number}", **values)


@st.composite
def surveys(draw) -> Survey:
    """Chains of results with states, layers and shared artifacts; builds that use, left, pinned or run some of it."""
    keys = [key_of(number) for number in range(draw(st.integers(0, 10)))]
    pool = [key_of(f"blob{number}") for number in range(5)]
    ages = st.integers(0, 40).map(lambda days: NOW - days * DAY)
    results = {}
    for number, key in enumerate(keys):
        if draw(st.integers(0, 5)) == 0:
            continue  # a state without a result
        below = st.sampled_from(["", *keys[:number]])
        digest = draw(st.sampled_from(["", *pool]))
        results[key] = make_result(
            key,
            build=f"build-{draw(st.integers(0, 4))}",
            finished=draw(ages),
            inputs={"tree": draw(below), "source": draw(st.sampled_from(["", *pool]))},
            before=draw(below),
            state=draw(st.booleans()),
            layer=draw(st.booleans()),
            artifact=ArtifactInfo(name="a", digest=digest, size=1, files=1, stored=1) if digest else None,
        )
    builds = draw(_builds(keys, ages))
    lefts = [step.left for build in builds for step in build.steps if step.left]
    running = any(build.running for build in builds)
    sizes, times = st.integers(0, 1000), st.sampled_from([NOW, NOW - YOUNG * 2])
    return make_survey(
        builds={build.id: build for build in builds},
        results=results,
        states=tuple(Thing(f"states/{key}", key, draw(sizes), draw(times)) for key in [*keys, *lefts]),
        layers=tuple(Thing(f"layers/x/{key}", key, draw(sizes), draw(times)) for key in keys),
        blobs=tuple(Thing(f"blobs/{name}", name, draw(sizes), draw(times)) for name in pool),
        live=frozenset(draw(st.lists(st.sampled_from([*keys, *lefts, *pool]), max_size=4)) if running else []),
    )


@st.composite
def _builds(draw, keys: list[str], ages) -> list[Build]:
    found = []
    for number in range(draw(st.integers(0, 5))):
        some = draw(st.lists(st.sampled_from(keys), max_size=4, unique=True)) if keys else []
        failed = draw(st.booleans())
        tainted = draw(st.integers(0, 3)) == 0
        steps = [
            Ran("s", key, "cached", made_by=f"build-{draw(st.integers(0, 4))}", tainted=tainted, before=key_of(0))
            for key in some
        ]
        if failed and draw(st.booleans()):
            below = st.sampled_from(["", *keys])
            layers = tuple(draw(st.lists(st.sampled_from(keys), max_size=2))) if keys else ()
            steps.append(Ran("s", key_of(f"k{number}"), "failed", key_of(f"left{number}"), "", draw(below), layers))
        started = draw(ages)
        found.append(
            make_build(
                number,
                name=draw(st.sampled_from("ab")),
                outcome="failed" if failed else "succeeded",
                started=started,
                finished=started + 60,
                parent=draw(st.sampled_from(["", "", f"build-{number - 1}" if number else ""])),
                whole=draw(st.booleans()),
                keys=frozenset(step.key for step in steps),
                steps=tuple(steps),
                pin=draw(st.sampled_from([None, None, Pin(NOW, "why")])),
                running=draw(st.integers(0, 4)) == 0,
                kept=draw(st.integers(0, 4)) == 0,
                size=draw(st.integers(0, 100)),
            )
        )
    return found


_days = st.none() | st.integers(0, 30).map(float)
policies = st.builds(
    Policy,
    size=st.none() | st.integers(0, 8000),
    keep_days=_days,
    keep_builds=st.none() | st.integers(0, 3),
    failed_days=_days,
    superseded_days=_days,
    records_days=_days,
)


# --- small real stores ---


def _remove(folder: str, names: list[str]) -> list[str]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        for name in names:
            remove_tree(fd, name)
    finally:
        os.close(fd)
    return []


def _measure(folder: str, name: str) -> int:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return usage(fd, name)[0]
    finally:
        os.close(fd)


TOOLS = Tools(_remove, _measure)


def run_gc(store: Store, *, dry_run: bool = False, **policy) -> Report:
    return collect(store, Policy(**policy), TOOLS, dry_run=dry_run)


def put(store: Store, path: str, *, old: bool = True, data: bytes = b"x" * 5000) -> Path:
    found = Path(store.root, path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_bytes(data)
    if old:
        age(found)
    return found


def age(path: Path) -> None:
    moment = time.time() - 2 * YOUNG
    os.utime(path, (moment, moment), follow_symlinks=False)


def finished(store: Store, name: str, **more) -> str:
    """A result with its state in the store."""
    key = key_of(name)
    put(store, f"states/{key}")
    Results(store, "x").add(make_result(key, **{"finished": time.time(), "state": True, **more}))
    return key


def live(store: Store, build: str, uses: str) -> int:
    folder = Path(store.root, "work", build)
    folder.mkdir()
    (folder / "uses").write_text(uses)
    lock = take_lock(f"{folder}/lock")
    assert lock is not None
    age(folder)
    return lock


def build_id(name: str, days: float = 0.0) -> str:
    """The id of a build of so many days ago."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - days * DAY))
    return f"{stamp}-{name}-{key_of(name)[:4]}"


def add_build(store: Store, name: str, days: float, outcome: str, steps: list[dict], **more) -> str:
    """A build of so many days ago: steps as {key, outcome, left, before, layers, made_by}."""
    build = build_id(name, days)
    moment = time.time() - days * DAY
    actions = [{"key": s["key"], "before": s.get("before", ""), "layers": s.get("layers", [])} for s in steps]
    told = [{"name": step["key"][:4], **step} for step in steps]
    record = {"started": moment, "finished": moment, "name": name, "outcome": outcome, "steps": told, **more}
    put(store, f"builds/{build}/record.json", data=msgspec.json.encode(record))
    put(store, f"builds/{build}/plan.json", data=msgspec.json.encode({"actions": actions}))
    return build


def failed_build(store: Store, name: str, days: float, *, left: str = "") -> tuple[str, str, str, str]:
    """A build whose second step failed: its id, the key of its tree's layer, of the first step, and what was left."""
    layer = key_of(f"{name} tree")
    put(store, f"layers/x/{layer}/etc/file")
    Results(store, "x").add(make_result(layer, finished=time.time() - days * DAY, layer=True))
    first = finished(store, f"{name} first", finished=time.time() - days * DAY, inputs={"tree": layer})
    state = left or key_of(f"{name} left")
    put(store, f"states/{state}")
    steps = [
        {"key": first, "outcome": "succeeded", "layers": [layer]},
        {"key": key_of(f"{name} second"), "outcome": "failed", "left": state, "before": first, "layers": [layer]},
    ]
    return add_build(store, name, days, "failed", steps), layer, first, state
