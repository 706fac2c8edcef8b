"""The machine around a build: servers, and file systems that are small, full, or of the wrong kind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from pytest_bdd import given, parsers, then, when
from store_facts import leftovers
from world import World

from contractor.core import events


@pytest.fixture
def machine() -> Iterator[contextlib.ExitStack]:
    """What a scenario has taken of the machine, given back at its end."""
    with contextlib.ExitStack() as stack:
        yield stack


@given(parsers.parse("a server that {answers}"))
def _server(world: World, machine: contextlib.ExitStack, answers: str) -> None:
    world.facts["PORT"] = machine.enter_context(servers.serve(servers.ANSWERS[answers]))
    world.facts["CONTENT"] = hashlib.sha256(servers.content("")[2]).hexdigest()


@given("a port where nobody listens")
def _no_server(world: World, machine: contextlib.ExitStack) -> None:
    taken = machine.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))  # held, but not listening: nobody else can begin to
    world.facts["PORT"] = taken.getsockname()[1]


@given(parsers.parse("a store on a disk of {size:d} MB"))
def _small_disk(world: World, machine: contextlib.ExitStack, size: int) -> None:
    image = world.top / "disk.img"
    with image.open("wb") as file:
        file.truncate(size << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    _mount(world, machine, ["-o", "loop", str(image)])


@given("a store on an overlay, which cannot hold another one")
def _overlay(world: World, machine: contextlib.ExitStack) -> None:
    for name in ("lower", "upper", "work"):
        (world.top / name).mkdir()
    options = ",".join(f"{name}dir={world.top / name}" for name in ("lower", "upper", "work"))
    _mount(world, machine, ["-t", "overlay", "-o", options, "none"])


@given("a store on a file system that is read-only")
def _read_only(world: World, machine: contextlib.ExitStack) -> None:
    _mount(world, machine, ["-t", "tmpfs", "-o", "ro,size=1m", "none"])


def _mount(world: World, machine: contextlib.ExitStack, arguments: list[str]) -> None:
    """In the tests' own mount namespace; the store is a folder of it."""
    disk = world.top / "disk"
    disk.mkdir()
    subprocess.run(["mount", *arguments, str(disk)], check=True)
    machine.callback(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=True))
    if os.access(disk, os.W_OK):
        world.account.own(disk)
    world.store = disk / "store"


@when(parsers.parse("all but {free:d} MB of the disk are taken"))
@given(parsers.parse("all but {free:d} MB of the disk are taken"))
def _take(world: World, free: int) -> None:
    ballast = world.store.parent / "ballast"
    ballast.unlink(missing_ok=True)
    found = os.statvfs(world.store.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - (free << 20))


@when("the disk has space again")
def _free(world: World) -> None:
    Path(world.store.parent, "ballast").unlink()


@when("the clutter is gone")
def _no_clutter(world: World) -> None:
    (world.project / "big").write_bytes(b"small\n")


@given(parsers.parse('a file "{name}" of {size:d} MB that cannot be made smaller'))
def _big_file(world: World, name: str, size: int) -> None:
    world.write(name, os.urandom(size << 20))


@then("the store is no larger than before")
def _not_larger(world: World) -> None:
    """Of the source's archives: what another build of the same adds to the store is a record."""
    blobs = sorted(path.name for path in world.store.glob("blobs/sha256/*/*"))
    assert world.facts.setdefault("blobs", blobs) == blobs


@given("the store's size is noted")
def _note(world: World) -> None:
    world.facts["blobs"] = sorted(path.name for path in world.store.glob("blobs/sha256/*/*"))


@then("the build ended as broken or out-of-limits")
def _no_fault(world: World) -> None:
    assert world.last.code in (4, 6), world.last


@then("no work of the build is left")
def _no_work(world: World) -> None:
    assert leftovers(world.store, "") == []


@then("no half-written file is left in the store")
def _no_half(world: World) -> None:
    assert [path.name for path in (world.store / "blobs").glob(".*")] == []


@then(parsers.parse("the steps that ran do not include {name}"))
def _not_again(world: World, name: str) -> None:
    assert world.last.steps(events.StepStarted), "nothing ran at all"
    assert name not in world.last.steps(events.StepStarted), world.last


@then("it builds all the same, or says what the store's file system lacks")
def _overlay_or_not(world: World) -> None:
    """Kernels differ in what they let an overlay lie on."""
    if world.last.code:
        assert world.last.code in (5, 6), world.last
        assert "file system" in world.last.err, world.last
        assert "--store" in world.last.err, world.last
    else:
        assert world.last.digests()["result"], world.last
