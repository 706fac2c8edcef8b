"""One scenario's world: an account, a project's folder, a store, and what the commands that were run left behind."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts import Account

from contractor.core import events

PATIENCE = 240.0  # seconds that any one command may take


class Done:
    """A command that has ended: its exit code, what it said, the events that it wrote, the record of its build."""

    def __init__(self, code: int, out: bytes, err: bytes, events_file: Path, seconds: float) -> None:
        self.code = code
        self.out = out
        self.err = err.decode("utf-8", "replace")
        self.seconds = seconds
        self.events = read_events(events_file)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out.decode('utf-8', 'replace')}{self.err}"

    def started(self) -> list[events.BuildStarted]:
        """The builds of the command itself, not those of bases."""
        return [event for event in self.events if isinstance(event, events.BuildStarted) and not event.parent]

    def steps(self, kind: type, build: int = -1) -> list[str]:
        """Names of the steps of one build that an event of this kind is about."""
        info = self.started()[build]
        found = [event for event in self.events if isinstance(event, kind) and event.build == info.build]
        return [info.steps[event.step].name for event in found]

    def record(self, build: int = -1) -> dict[str, Any]:
        return json.loads(Path(self.started()[build].record, "record.json").read_bytes())

    def log(self, build: int = -1) -> bytes:
        return Path(self.started()[build].record, "log").read_bytes()

    def digests(self) -> dict[str, str]:
        stored = [event for event in self.events if isinstance(event, events.ArtifactStored)]
        mine = {info.build for info in self.started()}
        return {event.artifact.name: event.artifact.digest for event in stored if event.build in mine}


def read_events(path: Path) -> list[events.AnyEvent]:
    """What is whole in an events file; a killed writer may have left half a line."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [events.Decoder().decode(line) for line in lines]


class World:
    def __init__(self, account: Account, name: str) -> None:
        self.account = account
        self.token = secrets.token_hex(6)
        self.top = account.top / f"{name[:40]}-{self.token}"
        self.project = self.top / "project"
        self.project.mkdir(parents=True)
        account.own(self.top)
        self.store = account.store
        self.environment: dict[str, str] = {}
        self.done: list[Done] = []
        self.digests: dict[str, str] = {}  # of the first build that made them
        self.facts: dict[str, Any] = {}  # what a step remembers for a later one
        self.runs = 0

    @property
    def last(self) -> Done:
        return self.done[-1]

    def write(self, name: str | bytes, content: str | bytes, mode: int = 0o644) -> Path:
        """A file of the project, and its folders, all the account's own."""
        path = Path(os.fsdecode(os.path.join(os.fsencode(self.project), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        self.account.own(self.project)
        return path

    def specification(self, text: str) -> None:
        """Write contractor.yaml; its head is added, with a word in `env` that no other scenario has.

        So that scenarios can share a store, and with it the base, and still find nothing of each other's there.
        """
        for name, value in self.facts.items():
            text = text.replace(f"<{name}>", str(value))
        if not text.startswith("contractor:"):
            text = f"contractor: 1\nname: scenario\nenv: {{SCENARIO: {self.token}}}\n{text}"
        self.write("contractor.yaml", text + "\n")

    def start(self, *arguments: str, command: str = "build", stderr: int | None = None) -> Running:
        """stderr: a descriptor that is somebody else's, in place of a file that `Done` has."""
        self.runs += 1
        file = self.top / f"events-{self.runs}.jsonl"
        argv = [*self.account.command, command, "--store", str(self.store)]
        if command == "build" and "--events" not in arguments:
            argv += ["--events", str(file)]
        return Running(self, [*argv, *arguments], file, stderr)

    def run(self, *arguments: str, command: str = "build") -> Done:
        return self.start(*arguments, command=command).wait()

    def build(self, *arguments: str) -> Done:
        self.done.append(self.run(*arguments))
        for name, digest in self.last.digests().items():
            self.digests.setdefault(name, digest)
        return self.last


class Running:
    """A command that runs, its output going to files so that it never waits for us."""

    def __init__(self, world: World, argv: list[str], events_file: Path, stderr: int | None) -> None:
        self.events_file = events_file
        self._out = (world.top / f"out-{world.runs}").open("w+b")
        self._err = (world.top / f"err-{world.runs}").open("w+b")
        self._began = time.monotonic()
        self.process = world.account.popen(
            argv,
            cwd=world.project,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err if stderr is None else stderr,
        )

    def wait_for(self, condition: Callable[[list[events.AnyEvent]], bool]) -> None:
        """Until the events so far fulfil a condition."""
        until = time.monotonic() + PATIENCE
        while not condition(read_events(self.events_file)):
            assert self.process.poll() is None, f"it ended before it came so far: {self.wait()}"
            assert time.monotonic() < until, f"it never came so far: {read_events(self.events_file)}"
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def wait(self) -> Done:
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Done(code, texts[0], texts[1], self.events_file, time.monotonic() - self._began)
