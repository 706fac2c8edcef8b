"""Upgrade kits: built twice, and applied by the kernel itself, which knows nothing of the tool that made them."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

from pytest_bdd import given, parsers, then, when
from steps_given import copy_example
from world import World

_OPTIONS = ("-p", "SOURCE_DATE_EPOCH=1706745600", "--jobs", "2")


@given("the project is the example iuk")
def _project(world: World) -> None:
    copy_example(world, "iuk")


@when("root and an ordinary user build its kits at the same time")
def _both(worlds: list[World]) -> None:
    started = [(world, world.start(*_OPTIONS, "--output", str(world.top / "out"))) for world in worlds]
    for world, running in started:
        world.done.append(running.wait())
        assert world.last.code == 0, world.last


@then(parsers.parse("both made these kits, and the same SHA256SUMS over them: {names}"))
def _same(worlds: list[World], names: str) -> None:
    sums = [(world.top / "out" / "SHA256SUMS").read_text() for world in worlds]
    assert sums[0] == sums[1]
    files = [line.split("  ")[1] for line in sums[0].splitlines() if not line.startswith("#")]
    assert [file.rpartition("/")[2] for file in files] == names.split()
    for world in worlds:
        for file in files:
            assert (world.top / "out" / file).stat().st_size > 100_000


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def kit(world: World) -> Path:
    (found,) = (world.top / "out").rglob("*.iuk")
    unpacked = world.top / "kit"
    if not unpacked.exists():
        run("unsquashfs", "-no-progress", "-dest", unpacked, found)
    return unpacked


def system(world: World, release: str) -> Path:
    """The system of a release, unpacked: its medium is the artifact of a base that was made in this store."""
    folder = world.top / release
    for path in world.store.glob("builds/*/record.json"):
        record = json.loads(path.read_bytes())
        if record["name"] == release and record["outcome"] == "succeeded":
            digest = record["artifacts"][-1]["digest"]
            blob = world.store / "blobs" / "sha256" / digest[:2] / f"{digest}.zst"
            folder.mkdir()
            run("tar", "--zstd", "-xf", blob, "-C", folder)
            run("unsquashfs", "-no-progress", "-dest", folder / "system", folder / "live" / "filesystem.squashfs")
            return folder / "system"
    raise AssertionError(f"no build of {release} is in the store")


@then(parsers.parse("in a mounted overlay of {old} and the kit everything is as in {new}"))
def _overlay(world: World, old: str, new: str) -> None:
    lower, wanted = system(world, old), system(world, new)
    (image,) = (kit(world) / "overlay" / "live").glob("*.squashfs")
    run("unsquashfs", "-no-progress", "-dest", world.top / "upper", image)
    shown = world.top / "shown"
    shown.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"lowerdir={world.top / 'upper'}:{lower}".encode()
    mounted = libc.mount(b"overlay", bytes(shown), b"overlay", 1, options)  # in a mount namespace of the tests' own
    assert mounted == 0, os.strerror(ctypes.get_errno())
    try:
        assert any(stat.S_ISCHR(path.lstat().st_mode) for path in (world.top / "upper").rglob("*")), "nothing is gone"
        found, expected = described(shown), described(wanted)
        assert len(expected) > 5000
        assert {path for path in {*found, *expected} if found.get(path) != expected.get(path)} == set()
    finally:
        libc.umount2(bytes(shown), 0)


def described(top: Path) -> dict[str, tuple]:
    """Everything that a file is, by its path below `top`."""
    found: dict[str, tuple] = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            names = os.listxattr(path, follow_symlinks=False)
            attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)}
            device = status.st_rdev if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode) else 0
            owner = (status.st_uid, status.st_gid)
            time = int(status.st_mtime)
            found[os.path.relpath(path, top)] = (oct(status.st_mode), owner, time, device, content, attributes)
    return found


@then(parsers.parse("the kit deletes: {names}"))
def _deletes(world: World, names: str) -> None:
    lines = (kit(world) / "control.yml").read_text().splitlines()
    assert lines[:2] == ["---", "delete_files:"]
    assert [json.loads(line.removeprefix("  - ")) for line in lines[2:]] == names.split()


@then("everything in the kit is root's, and its format is 2")
def _container(world: World) -> None:
    (found,) = (world.top / "out").rglob("*.iuk")
    owners = {line.split()[1] for line in run("unsquashfs", "-lln", found).splitlines() if line.startswith(("d", "-"))}
    assert owners == {"0/0"}
    assert (kit(world) / "FORMAT").read_text() == "2\n"
    assert {path.name for path in kit(world).iterdir()} == {"FORMAT", "control.yml", "overlay"}
