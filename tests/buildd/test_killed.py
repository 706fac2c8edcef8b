"""kill -9 before every operation on the disk that a build has: at restart the truth is told, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from builder_kit import ARGUMENTS, SCRIPTED

from contractor.buildd.daemon.builder import Builder
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.diary import Diary

OPERATIONS = {"open", "os.rename", "os.remove"}
# What was told last -> what may be true later: what was decided by then may have been made durable.
TRUE = {"IDLE": {"IDLE", "WAITING"}, "BUILDING": {"WAITING"}, "WAITING": {"WAITING", "IDLE"}, "CLEAN": {"IDLE"}}


def make(folder: Path) -> Builder:
    configuration = Configuration(
        architecture="amd64", cache=str(folder / "cache"), store=str(folder / "store"), log=str(folder / "log")
    )
    return Builder(configuration, Diary(str(folder / "log")), [SCRIPTED])


async def live(folder: Path, tell: Any) -> None:
    """A whole life: idle, a build with a result, its end, clean."""
    builder = make(folder)
    await builder.start()
    tell("IDLE")
    await builder.build("say-result-extra-ok", "binarypackage", "image", {"x.dsc": "source"}, ARGUMENTS)
    tell("BUILDING")
    while builder.status()["builder_status"] != "BuilderStatus.WAITING":
        await asyncio.sleep(0.005)
    tell("WAITING")
    await builder.clean()
    tell("CLEAN")


def die_at(number: int, folder: Path, told: int) -> int:
    """In a child: live, and die before an operation; how many there were, if it lived to the end."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in OPERATIONS and str(folder / "cache") in str(arguments[0]):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    asyncio.run(live(folder, lambda state: os.write(told, f"{state} ".encode())))
    return count


async def come_back(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What a new builder says, and what is in its cache once it is idle."""
    builder = make(folder)
    await builder.start()
    status = builder.status()
    if status["builder_status"] == "BuilderStatus.WAITING":
        for name in status.get("filemap", {}).values():
            assert builder.cache.has(name)
        assert await builder.clean() == "BuilderStatus.IDLE"
    assert builder.status()["builder_status"] == "BuilderStatus.IDLE"
    await builder.stop()
    return status, sorted(os.listdir(folder / "cache"))


def test_kill_9_before_every_operation(tmp_path: Path) -> None:
    number, seen = 0, set()
    while True:
        number += 1
        folder = tmp_path / str(number)
        (folder / "cache").mkdir(parents=True)
        for name in ("image", "source"):
            (folder / "cache" / name).write_bytes(b"x")
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, f"end {die_at(number, folder, write)}".encode())
            finally:
                os._exit(0)
        os.close(write)
        with open(read, "rb") as file:
            told = file.read().decode().split()
        os.waitpid(pid, 0)
        if "end" in told:
            assert told[:4] == ["IDLE", "BUILDING", "WAITING", "CLEAN"]
            assert int(told[5]) == number - 1  # every operation has been tried
            break
        status, left = asyncio.run(come_back(folder))
        last = told[-1] if told else "IDLE"
        state = status["builder_status"].partition(".")[2]
        assert state in TRUE[last], (number, told, status)
        if last == "WAITING" and state == "WAITING":
            assert status["build_status"] == "BuildStatus.OK" and status["revision_id"] == "abc"
        assert left == [".lock", ".state.json", "image", "source"], (number, told)
        seen.add((last, state))
    assert number > 20
    assert {("IDLE", "IDLE"), ("IDLE", "WAITING"), ("BUILDING", "WAITING"), ("WAITING", "IDLE")} <= seen
