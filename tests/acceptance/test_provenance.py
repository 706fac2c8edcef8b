"""The scenarios of provenance, keys and the audit journal."""

from __future__ import annotations

from pathlib import Path

from pytest_bdd import parsers, scenarios, then, when
from world import World

scenarios("features/provenance.feature")


@when("everything but the copies and the public key is gone")
def _elsewhere(world: World) -> None:
    """As on a machine where nothing was ever built."""
    world.environment.update(XDG_CONFIG_HOME=f"{world.top}/other", XDG_STATE_HOME=f"{world.top}/other")
    world.store = world.top / "other-store"


@when(parsers.parse("a byte of {name} is another"))
def _changed(world: World, name: str) -> None:
    path: Path = world.top / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@when(parsers.parse("entry {number:d} of the audit journal is cut out"))
def _cut(world: World, number: int) -> None:
    path = world.store / "journal" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > number
    path.write_bytes(b"".join([*lines[: number - 1], *lines[number:]]))


@then("the exit code is not 0")
def _failed(world: World) -> None:
    assert world.last.code in (2, 3), world.last


@then("there is no traceback")
def _plain(world: World) -> None:
    assert "Traceback" not in world.last.err
    assert world.last.err.startswith("error: ")
