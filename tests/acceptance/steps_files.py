"""Files, folders and specifications that nobody writes on purpose."""

from __future__ import annotations

import calendar
import os
import re
from pathlib import Path

from pytest_bdd import given, parsers, then, when
from world import World


@given("a specification of 10 MB")
def _large(world: World) -> None:
    line = "  - shell: echo " + "x" * 80 + "\n"
    world.specification("steps:\n  - create-systree: {base: debian-12}\n" + line * (10_000_000 // len(line)))


@given("a specification with an anchor of anchors, 10 to the 12th items in all")
def _bomb(world: World) -> None:
    lines = ["contractor: 1", "name: bomb", "a0: &a0 lol"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 13)]
    world.specification("\n".join(lines))


@given(parsers.parse("a specification of the bytes {numbers}"))
def _bytes(world: World, numbers: str) -> None:
    world.write("contractor.yaml", bytes.fromhex(numbers))


@given(parsers.parse('the project is in a folder named "{name}"'))
def _project_named(world: World, name: str) -> None:
    world.project = _folder(world, name)


@given(parsers.parse('the store is in a folder named "{name}"'))
def _store_named(world: World, name: str) -> None:
    world.store = _folder(world, name) / "store"


def _folder(world: World, name: str) -> Path:
    raw = name.encode().decode("unicode_escape").encode("latin-1")
    path = Path(os.fsdecode(os.fsencode(world.top) + b"/" + raw))
    path.mkdir()
    world.account.own(path)
    return path


@given(parsers.parse('the file "{name}" is from the year {year:d}'))
def _from_year(world: World, name: str, year: int) -> None:
    time = calendar.timegm((year, 1, 1, 0, 0, 0))
    os.utime(world.project / name, (time, time))


@when("a folder that nobody may read is in the store")
def _closed(world: World) -> None:
    """As steps leave them in kept workspaces, and packages in layers."""
    path = world.store / "work" / "kept" / "place" / "ws" / "closed"
    path.mkdir(parents=True)
    world.account.own(world.store / "work" / "kept")
    path.chmod(0)


@then(parsers.parse("it took less than {seconds:g} seconds"))
def _quick(world: World, seconds: float) -> None:
    assert world.last.seconds < seconds


@then(parsers.parse('the log is exactly "{text}"'))
def _log_is(world: World, text: str) -> None:
    assert world.last.log() == text.encode().decode("unicode_escape").encode("latin-1")


@then(parsers.parse('no result or source in the store has "{text}"'))
def _not_in_store(world: World, text: str) -> None:
    from store_facts import archive

    source = next(iter(world.last.record()["inputs"].values()))
    assert text.encode() not in archive(world.store, source)
    assert text.encode() not in world.last.log()


@then("it prints no negative duration")
def _no_negative(world: World) -> None:
    assert world.last.out, world.last
    assert not re.search(rb"(^|\s)-[0-9]", world.last.out), world.last


@then("the record has the fetch, with its size and sha256")
def _fetch(world: World) -> None:
    fetches = [fetch for step in world.last.record()["steps"] for fetch in step["fetches"]]
    assert [(fetch["size"], fetch["sha256"], fetch["verdict"]) for fetch in fetches] == [
        (12, world.facts["CONTENT"], "allowed")
    ]
