"""Figures of the builder daemon: how fast it answers, fetches and begins, and what it takes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.buildd_load import ROOT, SCRIPTED, WORKER, Daemon, Process, statuses
from bench.figures import Figure
from bench.machine import Machine, median

_SIZE = 500_000_000


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-buildd-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _image(folder: Path) -> tuple[Path, str]:
    """A file of 500 MB, and its sha1."""
    path = folder / "image"
    sha1 = hashlib.sha1()
    with path.open("wb") as file:
        for _ in range(_SIZE // 1_000_000):
            piece = os.urandom(1_000_000)
            sha1.update(piece)
            file.write(piece)
    return path, sha1.hexdigest()


def status(_machine: Machine) -> list[Figure]:
    """status() 20 times a second from each of two managers, while a 500 MB image comes and a build writes its log."""
    with _folder() as folder:
        path, sha1 = _image(folder)
        with Process("serve", str(path)) as server, Daemon(folder, [SCRIPTED]) as daemon:
            daemon.build("steady")
            found: list[float] = []
            stop = threading.Event()
            polls = [threading.Thread(target=lambda: found.extend(statuses(daemon.port, 100, stop))) for _ in range(2)]
            for poll in polls:
                poll.start()
            for _ in range(5):
                answer = daemon.rpc.ensurepresent(sha1, f"http://127.0.0.1:{server.port}/", "", "")
                assert answer == [True, "Download"], answer
                (daemon.cache / sha1).unlink()
            stop.set()
            for poll in polls:
                poll.join()
            daemon.finish()
    found.sort()
    p99, worst = found[int(len(found) * 0.99)] * 1e3, found[-1] * 1e3
    words = f"{p99:.1f} ms (of {len(found)}; at most {worst:.0f})"
    return [Figure("status() while 500 MB arrive and a build writes, p99", "20 ms", words, p99 <= 20)]


def thousand(_machine: Machine) -> list[Figure]:
    """1,000 status() a second for five seconds, with the tail of a log that grows."""
    with _folder() as folder, Daemon(folder, [SCRIPTED]) as daemon:
        daemon.build("steady")
        statuses(daemon.port, 1000, threading.Event(), 500)
        shares, slow = [], 0.0
        for _ in range(3):
            before, began = daemon.cpu(), time.perf_counter()
            statuses(daemon.port, 1000, threading.Event(), 3000)
            shares.append((daemon.cpu() - before) / 3)  # seconds that 3,000 calls take, were the client on time or not
            slow = max(slow, time.perf_counter() - began)
        daemon.finish()
    share = median(shares)
    return [Figure("1,000 status() a second", "50 % of a core", f"{share:.0%} (3,000 in {slow:.1f} s)", share <= 0.5)]


def fetch(_machine: Machine) -> list[Figure]:
    """ensurepresent of 500 MB, and curl of the same into the same folder; in turns."""
    ours, theirs = [], []
    with _folder() as folder:
        path, sha1 = _image(folder)
        with Process("serve", str(path)) as server, Daemon(folder, [SCRIPTED]) as daemon:
            url = f"http://127.0.0.1:{server.port}/"
            for _ in range(5):
                began = time.perf_counter()
                subprocess.run(["curl", "-sf", "-o", str(folder / "curl"), url], check=True)
                theirs.append(_SIZE / (time.perf_counter() - began) / 1e6)
                (folder / "curl").unlink()
                began = time.perf_counter()
                assert daemon.rpc.ensurepresent(sha1, url, "", "") == [True, "Download"]
                ours.append(_SIZE / (time.perf_counter() - began) / 1e6)
                (daemon.cache / sha1).unlink()
    ratio = median(ours) / median(theirs)
    words = f"{ratio:.2f}x ({median(ours):.0f} of {median(theirs):.0f} MB/s)"
    return [Figure("ensurepresent of 500 MB over loopback", "at least 0.5x curl", words, ratio >= 0.5)]


def memory(_machine: Machine) -> list[Figure]:
    """Resident size: after a start, and at its most while a build runs, an image arrives and a client asks."""
    with _folder() as folder:
        path, sha1 = _image(folder)
        with Process("serve", str(path)) as server, Daemon(folder, [SCRIPTED]) as daemon:
            daemon.rpc.status()
            idle = daemon.megabytes()
            daemon.build("steady")
            daemon.rpc.ensurepresent(sha1, f"http://127.0.0.1:{server.port}/", "", "")
            statuses(daemon.port, 500, threading.Event(), 1000)
            most = daemon.megabytes("VmHWM")
            daemon.finish()
    return [
        Figure("builder daemon: memory while idle", "60 MB", f"{idle:.0f} MB", idle <= 60),
        Figure("builder daemon: most memory, building and fetching", "80 MB", f"{most:.0f} MB", most <= 80),
    ]


def first_line(machine: Machine) -> list[Figure]:
    """From build() to the first line that a program in the target writes, the image being a layer already. The target's
    apt-get is a script that writes a line: what is left is the daemon, the worker and the sandbox."""
    sys.path.append(str(ROOT / "tests" / "buildd"))
    from target_kit import image_of, small_tree

    folder = machine.folder / "buildd"
    small_tree(folder / "tree", {"apt-get": "echo the first line"})
    (folder / "filecache").mkdir()
    image_of(folder / "tree", folder / "filecache" / "image")
    (folder / "filecache" / "x.dsc").write_text("Source: x\n")
    machine.own(folder)
    as_user = ("setpriv", f"--reuid={machine.user}", f"--regid={machine.user}", "--init-groups")
    prefix = as_user if os.getuid() == 0 else ()
    archives = ["deb http://deb.debian.org/debian bookworm main"]
    given = {"series": "bookworm", "suite": "bookworm", "ogrecomponent": "main", "archives": archives}
    taken = []
    with Daemon(folder, [*WORKER], prefix) as daemon:
        for number in range(12):
            log = daemon.cache / "buildlog"
            began = time.perf_counter()
            daemon.rpc.build(f"TIMED-{number}", "binarypackage", "image", {"x.dsc": "x.dsc"}, given)
            while not log.exists() or b"\nthe first line\n" not in log.read_bytes():
                if time.perf_counter() - began > 60:
                    raise TimeoutError(log.read_text())
                time.sleep(0.001)
            taken.append(time.perf_counter() - began)
            daemon.finish(abort=False)
    found = median(taken[2:])  # the first one makes the layer
    words = f"{found:.3f} s (with an image that is new: {taken[0]:.2f} s)"
    return [Figure("build() to a step's first line, image cached", "0.3 s", words, found <= 0.3)]


ALL: dict[str, Callable[[Machine], list[Figure]]] = {
    "buildd-status": status,
    "buildd-thousand": thousand,
    "buildd-fetch": fetch,
    "buildd-memory": memory,
    "buildd-first-line": first_line,
}
