"""A builder daemon to be measured, with a server that gives it files and a client that takes little time itself.

python -m bench.buildd_load serve FILE            prints its port, and answers every GET with the file
python -m bench.buildd_load daemon OPTIONS WORKER prints its port: a daemon with this configuration and worker (JSON)
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPTED = str(ROOT / "tests" / "buildd" / "scripted_worker.py")
WORKER = ("-P", "-m", "contractor.buildd.worker")
_STATUS = b"<?xml version='1.0'?><methodCall><methodName>status</methodName><params></params></methodCall>"
_REQUEST = (
    b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(_STATUS) + _STATUS
)
_TICKS = os.sysconf("SC_CLK_TCK")


def serve(path: str) -> None:
    size = os.stat(path).st_size
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()

    def answer(client: socket.socket) -> None:
        with client, open(path, "rb") as file:
            while client.recv(65536):
                client.sendall(head)
                offset = 0
                while offset < size:
                    offset += os.sendfile(client.fileno(), file.fileno(), offset, 1 << 30)

    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def daemon(options: str, worker: str) -> None:
    from contractor.buildd.daemon.configuration import Configuration
    from contractor.buildd.daemon.serve import serve as run

    run(Configuration(**json.loads(options)), lambda found: print(found[0][1], flush=True), json.loads(worker))


class Process:
    """One of the two, in a process of its own; a context manager. prefix: becomes another user."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        argv = [*prefix, sys.executable, "-m", "bench.buildd_load", *arguments]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, env=env)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)


class Daemon(Process):
    """A running daemon on a folder."""

    def __init__(self, folder: Path, worker: list[str], prefix: tuple[str, ...] = ()) -> None:
        self.cache = folder / "filecache"
        options = {
            "architecture": "amd64", "cache": str(self.cache), "store": str(folder / "store"), "host": "127.0.0.1",
            "port": 0, "log": str(folder / "daemon.log"),
        }  # fmt: skip
        super().__init__("daemon", json.dumps(options), json.dumps(worker), prefix=prefix)
        self.rpc: Any = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{self.port}/rpc", allow_none=True)

    def build(self, build_id: str) -> None:
        """With the scripted worker."""
        for name in ("image", "source"):
            (self.cache / name).write_bytes(b"x")
        given = {"series": "bookworm", "suite": "bookworm", "ogrecomponent": "main"}
        assert self.rpc.build(build_id, "binarypackage", "image", {"x.dsc": "source"}, given)[0].endswith("BUILDING")

    def finish(self, *, abort: bool = True) -> None:
        if abort:
            self.rpc.abort()
        while not self.rpc.status()["builder_status"].endswith("WAITING"):
            time.sleep(0.01)
        self.rpc.clean()

    def megabytes(self, what: str = "VmRSS") -> float:
        """VmRSS now, VmHWM at its most."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        raise ValueError(what)

    def cpu(self) -> float:
        """Seconds of the processor."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def statuses(port: int, rate: float, stop: threading.Event, most: int = 1 << 30) -> list[float]:
    """Seconds of each status() on one connection, at a rate a second."""
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        while not stop.is_set() and len(taken) < most:
            due = began + len(taken) / rate
            if (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            at = time.perf_counter()
            client.sendall(_REQUEST)
            data = client.recv(65536)
            while not data.endswith(b"</methodResponse>\n"):
                data += client.recv(65536)
            taken.append(time.perf_counter() - at)
    return taken


if __name__ == "__main__":
    {"serve": serve, "daemon": daemon}[sys.argv[1]](*sys.argv[2:])
