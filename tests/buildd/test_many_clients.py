"""Many clients that call whatever they like at once: each answer is legal, and no status is half of one state."""

from __future__ import annotations

import random
import threading
import time
import xmlrpc.client
from collections import Counter
from typing import Any

from builder_kit import ARGUMENTS, Daemon

KEYS = {
    "IDLE": set(),
    "BUILDING": {"build_id", "logtail"},
    "ABORTING": {"build_id"},
    "WAITING": {"build_id", "build_status"},
}
LEGAL: dict[str, set[Any]] = {
    "abort": {"BuilderStatus.ABORTING", 8002},
    "clean": {"BuilderStatus.IDLE", 8002},
    "build": {"BuilderStatus.BUILDING", "BuilderStatus.UNKNOWNSUM", 8002},
}
WANTED = {
    ("build", "BuilderStatus.BUILDING"),
    ("build", 8002),
    ("clean", "BuilderStatus.IDLE"),
    ("abort", "BuilderStatus.ABORTING"),
    *(("status", state) for state in KEYS),
}


def check(status: dict[str, Any]) -> str:
    state = str(status["builder_status"].partition(".")[2])
    files = {"filemap", "dependencies"} if status.get("build_status") == "BuildStatus.OK" else set()
    assert set(status) - {"builder_status", "builder_version"} == KEYS[state] | files, status
    assert not files or list(status["filemap"]) == ["hello.deb"]
    return state


def test_many_clients(daemon: Daemon) -> None:
    image = daemon.put(b"an image")
    began = time.monotonic()
    seen: Counter[tuple[str, Any]] = Counter()
    wrong: list[BaseException] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        rpc: Any = xmlrpc.client.ServerProxy(f"{daemon.url}/rpc", allow_none=True)
        try:
            while not wrong and not (time.monotonic() - began > 1.5 and set(seen) >= WANTED):
                assert time.monotonic() - began < 60, seen
                call = chance.choice(["status", "status", "abort", "clean", "build", "build", "ensurepresent"])
                try:
                    if call == "status":
                        seen[call, check(rpc.status())] += 1
                        continue
                    if call == "ensurepresent":
                        assert rpc.ensurepresent(image, "nonsense", "", "") == [True, "Cache"]
                        continue
                    build_id = chance.choice(["say-result-ok", "say-wait", "crash"])
                    params = (build_id, "binarypackage", image, {"x.dsc": image}, ARGUMENTS) if call == "build" else ()
                    answer = getattr(rpc, call)(*params)
                    found = answer[0] if call == "build" else answer
                except xmlrpc.client.Fault as fault:
                    assert fault.faultString == "error"
                    found = fault.faultCode
                assert found in LEGAL[call], (call, found)
                seen[call, found] += 1
        except BaseException as error:
            wrong.append(error)
        finally:
            rpc("close")()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert set(seen) >= WANTED
    assert len(daemon.children()) <= 1
    assert "failed" not in daemon.log.read_text()
