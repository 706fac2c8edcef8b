"""What the daemon and a worker have agreed upon, tried with the scripted worker and with the real one."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builder_kit import ARGUMENTS, SCRIPTED

from contractor.buildd.arguments_check import check
from contractor.buildd.daemon.running import WORKER, Worker
from contractor.buildd.daemon.saved import mark_alive, open_log
from contractor.buildd.model import BuildStatus, Event, Job

WORKERS = {"scripted": (SCRIPTED,), "real": WORKER}


class Run:
    """One worker on one job, seen as the daemon sees it."""

    def __init__(self, folder: Path, command: tuple[str, ...], build_id: str) -> None:
        import msgspec

        cache = folder / "cache"
        cache.mkdir()
        for name in ("image", "hello.dsc"):
            (cache / name).write_bytes(b"this is no image\n")
        self.log = cache / "buildlog"
        self.command = command
        self.events: list[Event] = []
        self.code = -1
        self.job = Job(
            id=build_id, tag="binarypackage", image=str(cache / "image"), image_name="image",
            files={"hello.dsc": str(cache / "hello.dsc")}, cache=str(cache), store=str(folder / "store"),
            arguments=msgspec.to_builtins(check("binarypackage", ARGUMENTS, ["hello.dsc"], "amd64")),
            log=open_log(str(self.log), new=True), events=-1, architecture="amd64",
        )  # fmt: skip
        mark_alive(self.job.log)

    def go(
        self, act: Callable[[Worker], Any] = lambda _worker: None, *, at_once: bool = False, after: float = 0.0
    ) -> Event:
        """Until it has ended; the last event. act: done when the first event or byte of the log is there, or at once,
        after some seconds."""
        asyncio.run(self._go(act, at_once, after))
        os.close(self.job.log)
        assert self.events, f"it said nothing, exit code {self.code}"
        return self.events[-1]

    async def _go(self, act: Callable[[Worker], Any], at_once: bool, after: float) -> None:
        over = asyncio.get_running_loop().create_future()
        worker = Worker(self.job, self.command, self.events.append, over.set_result)
        await asyncio.sleep(after)
        while not at_once and not over.done() and not self.events and not self.log.stat().st_size:
            await asyncio.sleep(0.005)
        act(worker)
        self.code = await asyncio.wait_for(over, 60)


@pytest.mark.parametrize("worker", WORKERS)
def test_an_image_that_is_none(tmp_path: Path, worker: str) -> None:
    run = Run(tmp_path, WORKERS[worker], "say-chrootfail")
    last = run.go()
    assert last.ended is not None and last.ended.status is BuildStatus.CHROOTFAIL
    assert [event for event in run.events if event.ended] == [last]
    assert any(event.step for event in run.events)
    assert run.code == 0
    assert run.log.stat().st_size > 0
    visible = {path.name for path in Path(run.job.cache).iterdir() if not path.name.startswith(".")}
    assert visible == {"image", "hello.dsc", "buildlog"}


@pytest.mark.parametrize("worker", WORKERS)
def test_asked_to_end(tmp_path: Path, worker: str) -> None:
    run = Run(tmp_path, WORKERS[worker], "say-wait")
    last = run.go(Worker.terminate)
    assert last.ended is not None
    allowed = {BuildStatus.ABORTED} if worker == "scripted" else {BuildStatus.ABORTED, BuildStatus.CHROOTFAIL}
    assert last.ended.status in allowed  # the real one may have seen before that the image is none


def test_asked_to_end_before_it_has_begun(tmp_path: Path) -> None:
    """However early the signal comes, even before the program is executed: the worker says how the build ended."""
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        run = Run(tmp_path / str(number), WORKER, "say-wait")
        last = run.go(Worker.terminate, at_once=True, after=number * 0.01)
        assert last.ended is not None and last.ended.status is BuildStatus.ABORTED, run.code
        assert run.code == 0


@pytest.mark.parametrize("worker", WORKERS)
def test_killed(tmp_path: Path, worker: str) -> None:
    """It says nothing more, and nothing that it started holds the log any longer."""
    run = Run(tmp_path, WORKERS[worker], "say-wait")
    run.go(Worker.kill)
    assert run.code == 137 or run.events[-1].ended
    fd = os.open(run.log, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
