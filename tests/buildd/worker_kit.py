"""A worker as the daemon starts it: a job in, events and a log out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Worker:
    """A started worker. prefix: a command that becomes another user first. folder: the cache, the log, the store."""

    def __init__(self, folder: Path, tag: str, image: Path, arguments: dict[str, Any], **more: Any) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir(exist_ok=True)
        self.log_path = folder / "buildlog"
        prefix: list[str] = more.pop("prefix", [])
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        read, write = os.pipe()
        job = {
            "id": "TEST-1",
            "tag": tag,
            "image": str(image),
            "image_name": image.name,
            "files": {},
            "arguments": {"series": "bookworm", "arch_tag": "amd64", **arguments},
            "cache": str(self.cache),
            "store": str(folder / "store"),
            "log": log,
            "events": write,
            "architecture": "amd64",
            **more,
        }
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder)}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-P", "-m", "contractor.buildd.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(log, write), env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(log)
        os.close(write)
        self._events = os.fdopen(read, "rb")
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode())
        self.process.stdin.close()

    def event(self) -> dict[str, Any]:
        """The next event; empty at their end."""
        line = self._events.readline()
        found: dict[str, Any] = json.loads(line) if line else {}
        return found

    def finish(self, timeout: float = 600.0) -> Done:
        """Wait for its end."""
        events = []
        while event := self.event():
            events.append(event)
        assert self.process.stdout is not None
        with self.process.stdout, self._events:
            words = self.process.stdout.read().decode()
        self.process.wait(timeout)
        return Done(self, events, words)

    @property
    def log(self) -> str:
        return self.log_path.read_bytes().decode(errors="replace")


class Done:
    """How it ended."""

    def __init__(self, worker: Worker, events: list[dict[str, Any]], words: str) -> None:
        ended = [event["ended"] for event in events if event.get("ended")]
        self.ended: dict[str, Any] = ended[-1] if ended else {}
        self.steps = [event["step"] for event in events if event.get("step")]
        self.extra: dict[str, Any] = ([{}] + [event["extra"] for event in events if event.get("extra")])[-1]
        self.words = words
        self.log = worker.log
        self.code = worker.process.returncode
        self._cache = worker.cache

    @property
    def status(self) -> str:
        return str(self.ended.get("status", ""))

    @property
    def files(self) -> dict[str, str]:
        return self.ended.get("files") or {}

    def content(self, name: str) -> bytes:
        return (self._cache / self.files[name]).read_bytes()

    def __repr__(self) -> str:
        return f"{self.ended} {self.steps} exit {self.code}\n{self.words}\n{self.log[-6000:]}"
