"""The contract of a target, as far as types use it: the fake keeps it, and so does the real one (test_real_types)."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_target import FakeTarget

from contractor.buildd.target.target import TargetFailed
from contractor.core.errors import ContractorError, Rejected


def contract(target: Any) -> None:
    """What both must do. target: open, with the programs true, cat and ls."""
    files(target)
    links(target)
    results(target)
    commands(target)


def files(target: Any) -> None:
    target.write("/build/a/b.txt", b"text")
    assert target.read("/build/a/b.txt", 4) == b"text"
    target.write("/build/a/b.txt", b"more", 0o755)
    assert target.read("/build/a/b.txt", 4) == b"more"
    for path, limit in (("/build/a/b.txt", 3), ("/build/a", 9), ("/build/none", 9)):
        with pytest.raises(Rejected):
            target.read(path, limit)
    assert [target.kind(path) for path in ("/build/a/b.txt", "/build/a", "/build/none")] == ["file", "dir", ""]
    target.mkdir("/build/c/d/e")
    assert target.exists("/build/c/d/e") and not target.exists("/build/c/x")
    assert target.list("/build/c") == ["d"] and target.list("/build/none") == []
    target.remove("/build/c")
    target.remove("/build/c")
    assert not target.exists("/build/c")
    with pytest.raises((ContractorError, OSError)):
        target.write("/build/a", b"over a folder")


def links(target: Any) -> None:
    target.write("/build/l/file", b"x")
    make_link(target, "/build/l/abs", "/build/a")
    make_link(target, "/build/l/up", "../../../../../../build/a/b.txt")
    make_link(target, "/build/l/loop", "loop")
    make_link(target, "/build/l/none", "nowhere")
    assert target.read("/build/l/abs/b.txt", 9) == b"more"
    assert target.read("/build/l/up", 9) == b"more"
    assert [target.kind(f"/build/l/{name}", follow=False) for name in ("abs", "up", "file")] == ["link", "link", "file"]
    assert target.kind("/build/l/up") == "file" and target.kind("/build/l/none") == ""
    below = {
        path: target.call("below", top="/build/l", path=path)
        for path in ("file", "up", "abs", "../a", "/build", "no", "")
    }
    assert below == {"file": "file", "up": None, "abs": None, "../a": None, "/build": None, "no": "", "": "dir"}
    assert target.call("files", path="/build/l", limit=9) == [b"file"]
    target.write("/build/l/up", b"own")
    assert target.read("/build/a/b.txt", 9) == b"more", "a link is replaced, not written through"


def results(target: Any) -> None:
    target.write("/build/r/one.deb", b"deb")
    make_link(target, "/build/r/link.deb", "one.deb")
    assert target.result("/build/r/one.deb") and target.result("/build/r/one.deb", "other")
    assert not target.result("/build/r/link.deb") and not target.result("/build/r") and not target.result("/build/r/no")
    target.result_bytes("bytes", b"b")
    assert set(target.files) == {"one.deb", "other", "bytes"}
    assert target.files["one.deb"] == target.files["other"]
    path = Path(target.job.cache, target.files["one.deb"])
    assert path.read_bytes() == b"deb"
    target.add_file(str(path), "/build/r/back")
    assert target.read("/build/r/back", 9) == b"deb"


def commands(target: Any) -> None:
    assert target.run(["true"]).code == 0
    assert target.run(["cat"], stdin=b"in", get_output=True) == b"in"
    assert target.run(["cat", "one.deb"], cwd="/build/r", get_output=True, echo=False) == b"deb"
    assert target.run(["cat", "/none"]).code == 1
    with pytest.raises(TargetFailed) as caught:
        target.run(["cat", "/none"], check=True)
    assert caught.value.code == 1
    with pytest.raises(TargetFailed):
        target.run(["cat", "/none"], get_output=True)


def make_link(target: Any, path: str, to: str) -> None:
    if isinstance(target, FakeTarget):
        target.link(path, to)
    else:
        target.run(["ln", "-s", to, path], echo=False, check=True)


def test_the_fake_keeps_the_contract(tmp_path: Path) -> None:
    def cat(target: FakeTarget, words: Any, call: Any) -> int | bytes:
        if not words:
            return bytes(call.stdin)
        path = os.path.join(call.cwd, words[0])
        return target.read(path, 999) if target.kind(path) == "file" else 1

    contract(FakeTarget(tmp_path, "snap", {"name": "n", "git_repository": "https://h/x"}, {"cat": cat}))


def check_real() -> None:
    """The same of a real target, in a small image."""
    with real() as target:
        contract(target)


@contextlib.contextmanager
def real() -> Iterator[Any]:
    import small_image

    from contractor.buildd.arguments import typed
    from contractor.buildd.log import Log
    from contractor.buildd.model import Job
    from contractor.buildd.target import preparation
    from contractor.buildd.target.target import Target

    top = Path(tempfile.mkdtemp(prefix="contractor-contract-", dir="/var/tmp"))
    try:
        (top / "cache").mkdir()
        image = small_image.make_image(top)
        arguments = {"series": "bookworm", "arch_tag": "amd64", "name": "n", "git_repository": "https://h.example/x"}
        log = os.open(top / "log", os.O_WRONLY | os.O_CREAT)
        job = Job(
            "T-1", "snap", str(image), "image", {}, arguments, str(top / "cache"), str(top / "store"), log, -1, "amd64"
        )
        target = Target(job, Log(log), typed("snap", arguments), lambda _extra: None)
        preparation.begin(target)
        target.unpack()
        preparation.mount(target)
        try:
            yield target
        finally:
            assert target.close() == ""
    finally:
        shutil.rmtree(top, ignore_errors=True)
