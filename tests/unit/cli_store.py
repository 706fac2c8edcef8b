"""A store with builds in it, made without a sandbox: what the tests of commands look at."""

from __future__ import annotations

import os
from pathlib import Path

from contractor.core.events import ArtifactInfo
from contractor.store.compress import ZstdSink
from contractor.store.layout import Store
from contractor.store.pack import PackOptions, pack
from contractor.store.records import Record, Records, StepRecord
from contractor.store.results import artifact_path

OLD, NEW = "20250304-101500-hello-aaaa", "20250305-101500-hello-bbbb"


def step(name: str, outcome: str = "succeeded", **more) -> StepRecord:
    values = {"action": "shell", "key": f"key-{name}", "place": "bwrap", "network": "none", **more}
    return StepRecord(name=name, outcome=outcome, **values)


def record(build: str, outcome: str = "succeeded", **more) -> Record:
    values = {
        "name": build[16:-5],
        "started": 1741083300.0,
        "plan": "0" * 64,
        "arch": "amd64",
        "epoch": 1700000000,
        "epoch_origin": "given",
        "parameters": {},
        "matrix": {},
        "inputs": {},
        "tier": "id-range",
        "degraded": False,
        "memory": "cgroup",
        "limits": {},
        "tools": {},
        "host": {},
        "spec": "contractor.yaml",
        "finished": 1741083312.0,
        "seconds": 12.0,
        **more,
    }
    return Record(id=build, outcome=outcome, **values)


def add(store: Store, made: Record, log: bytes = b"") -> Record:
    os.makedirs(Records(store).folder(made.id), exist_ok=True)
    Records(store).write(made)
    Path(Records(store).folder(made.id), "log").write_bytes(log)
    return made


def artifact(store: Store, tree: Path, name: str = "hello", form: str = "tar.zst") -> ArtifactInfo:
    """Store a folder as an artifact, as create-artifact would."""
    temporary = store.path("blobs", ".artifact-test")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    with ZstdSink(fd) as sink:
        done = pack(root, None, PackOptions(mtime_limit=1700000000), sink)
    os.close(root)
    os.close(fd)
    final = artifact_path(store, done.digest)
    os.makedirs(os.path.dirname(final), exist_ok=True)
    os.rename(temporary, final)
    stored = os.path.getsize(final)
    return ArtifactInfo(name=name, digest=done.digest, size=done.size, files=done.files, stored=stored, format=form)


def two_builds(store: Store) -> None:
    """A build that ran two steps, and one that found the first of them and failed in the second."""
    log = b"compiling\nwarning: \x1b[31mred\nlinked" + b"\nok 1\nok 2\n"
    first = step("Compile", log_start=0, log_end=33, seconds=2.0, cpu_seconds=1.5, max_rss=50_000_000)
    second = step("Test", log_start=33, log_end=len(log), seconds=1.0)
    add(store, record(OLD, steps=(first, second)), log)
    again = step("Compile", "cached", made_by=OLD)
    failed = step("Test", "failed", key="other", log_start=0, log_end=8, exit_code=2, message="it failed")
    never = step("Pack", "not run")
    error = {"message": "the step 'Test' failed", "details": ("line",), "hint": "contractor log"}
    add(store, record(NEW, "failed", steps=(again, failed, never), **error), b"not ok 1")
