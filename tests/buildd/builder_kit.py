"""A daemon in a process of its own, with a client; everything on loopback, on ports that are free."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPTED = str(Path(__file__).with_name("scripted_worker.py"))
ARGUMENTS = {"series": "noble", "suite": "noble", "ogrecomponent": "main"}
_START = """
import sys, json
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.serve import serve
from importlib import import_module
options, worker = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for name, value in options.pop("limits", {}).items():
    module, _, name = name.rpartition(".")
    module = import_module("contractor.buildd.daemon." + module)
    assert hasattr(module, name)
    setattr(module, name, value)
def ready(found):
    print(found[0][1], flush=True)
sys.exit(serve(Configuration(**options), ready, worker))
"""


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Daemon:
    """A running daemon, and ways to talk to it."""

    def __init__(self, folder: Path, worker: list[str], **options: Any) -> None:
        import json

        self.cache = Path(options.get("cache") or folder / "filecache")
        self.log = folder / "daemon.log"
        given = {
            "architecture": "amd64", "cache": str(self.cache), "store": str(folder / "store"), "host": "127.0.0.1",
            "port": 0, "log": str(self.log), **options,
        }  # fmt: skip
        argv = [sys.executable, "-c", _START, json.dumps(given), json.dumps(worker)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"
        self.rpc: Any = xmlrpc.client.ServerProxy(f"{self.url}/rpc", allow_none=True)

    def put(self, data: bytes) -> str:
        """An input in the cache; its name."""
        name = sha1(data)
        self.cache.mkdir(exist_ok=True)
        (self.cache / name).write_bytes(data)
        return name

    def build(self, build_id: str, **arguments: Any) -> list[str]:
        image, source = self.put(b"an image"), self.put(b"a source")
        answer: list[str] = self.rpc.build(
            build_id, "binarypackage", image, {"hello.dsc": source}, {**ARGUMENTS, **arguments}
        )
        return answer

    def wait(self, state: str = "WAITING", seconds: float = 20) -> dict[str, Any]:
        """Its status, once it is in a state."""
        return self.until(lambda status: status["builder_status"] == f"BuilderStatus.{state}", seconds)

    def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while not holds(status := self.rpc.status()):
            assert time.monotonic() < end, status
            time.sleep(0.01)
        found: dict[str, Any] = status
        return found

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def post(self, body: bytes, path: str = "/rpc", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def kill(self) -> None:
        """kill -9."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)
        code = self.process.wait(60)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.rpc("close")()
        return code

    def resident(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]
