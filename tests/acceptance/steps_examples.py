"""Root and an ordinary user at the same time: two stores that cannot know each other."""

from __future__ import annotations

import json

import pytest
from accounts import Account, kinds
from pytest_bdd import given, parsers, then, when
from steps_given import copy_example
from world import World

from contractor.core import events


@pytest.fixture
def worlds(accounts: dict[str, Account]) -> list[World]:
    if len(kinds()) < 2:
        pytest.skip("only root can build as somebody else as well")
    return [World(accounts[kind], "example") for kind in kinds()]


@given(parsers.parse("the example {name}"))
def _example(worlds: list[World], name: str) -> None:
    for world in worlds:
        copy_example(world, name)


@when("root and an ordinary user build it, each in an own store")
def _both(worlds: list[World]) -> None:
    for world, running in [(world, world.start("--output", str(world.top / "out"))) for world in worlds]:
        world.done.append(running.wait())


@then(parsers.parse("both succeed, and make the same {artifact}"))
def _same(worlds: list[World], artifact: str) -> None:
    for world in worlds:
        assert world.last.code == 0, world.last
        assert (world.top / "out" / "SHA256SUMS").read_text().count("\n") >= 1
    assert len({str(world.store) for world in worlds}) == 2
    assert [list(world.last.digests()) for world in worlds] == [[artifact]] * 2
    assert len({world.last.digests()[artifact] for world in worlds}) == 1, [world.last for world in worlds]


@then("neither runs anything when it builds again")
def _nothing(worlds: list[World]) -> None:
    for world in worlds:
        before = world.last.digests()
        again = world.build()
        assert again.code == 0, again
        assert again.steps(events.StepStarted) == [], again
        assert again.digests() == before


@when("root and an ordinary user list their artifacts")
def _list(worlds: list[World]) -> None:
    """Of the bases that were made when the tests began, at the same time and in two stores."""
    for world in worlds:
        world.done.append(world.run("list", "--json", command="artifacts"))


@then(parsers.parse("both have the same {artifact}"))
def _has_the_same(worlds: list[World], artifact: str) -> None:
    lists = [json.loads(world.last.out)["artifacts"] for world in worlds]
    found = [{made["digest"] for made in made_there if made["name"] == artifact} for made_there in lists]
    assert found[0] == found[1], found
    assert len(found[0]) == 1, found
