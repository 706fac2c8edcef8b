"""The cache forgets what is old, and never what is in use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from builder_kit import Daemon, sha1

from contractor.buildd.daemon.cache import OLD, Cache

Start = Callable[..., Daemon]


def test_expiry(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    later = time.time() + OLD + 60
    for name in ("old", "new", "used", "buildlog", ".hidden", "result", "touched"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (0, 0))  # copied here with the time that it had elsewhere
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert cache.expire(set) == []
    os.utime(tmp_path / "new", (later, later))

    def kept() -> set[str]:
        os.utime(tmp_path / "touched", (later, later))
        return {"used", "result"}

    assert cache.expire(kept, later) == ["old"]
    assert sorted(cache.expire(set, later)) == ["result", "used"]
    assert sorted(os.listdir(tmp_path)) == [".hidden", "buildlog", "folder", "link", "new", "touched"]


def test_expiry_spares_what_a_build_uses(start: Start) -> None:
    daemon = start()
    daemon.build("result-ok")
    status = daemon.wait()
    unused = daemon.cache / daemon.put(b"old and unused")
    daemon.kill()
    start(limits={"cache.OLD": 0.0})  # it looks through its cache when it starts
    end = time.monotonic() + 10
    while unused.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    names = set(os.listdir(daemon.cache))
    assert {"buildlog", status["filemap"]["hello.deb"], sha1(b"an image"), sha1(b"a source")} <= names


def test_another_daemons_leavings_go(start: Start, tmp_path: Path) -> None:
    (tmp_path / "filecache").mkdir()
    for name in ("buildlog", "buildlog.unsanitized", ".unfinished", "kept"):
        (tmp_path / "filecache" / name).write_bytes(b"x")
    daemon = start()
    assert [name for name in os.listdir(daemon.cache) if not name.startswith((".state", ".lock"))] == ["kept"]
