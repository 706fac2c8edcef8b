"""`contractor buildd build` and its kin against an independent builder with the quirks of the original."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest
from quirky import Quirky, Script

from contractor.buildd.client import run as client_run
from contractor.cli.main import main

pytestmark = pytest.mark.usefixtures("here")


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def build(quirky: Quirky, *more: str) -> int:
    return main(["buildd", "build", quirky.url, "--type", "oci", "--arg", "series=bookworm", "-o", "out", *more])


def test_a_whole_build(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = {"manifest.json": b"[]", "a.tar.gz": os.urandom(3 << 20)}
    quirky.builder.script = Script(
        steps=(b"one\n\x1b[31mtw", b"o\x07\nthree"), files=results, extra={"revision_id": "abc"}
    )
    (tmp_path / "notes").write_text("n")
    assert build(quirky, "--image", str(image), "--file", "notes", "--arg", 'archives=["deb x"]') == 0
    screen = capfd.readouterr()
    assert "one\ntwo\nthree\n" in screen.err and "\x1b" not in screen.err and "\x07" not in screen.err
    assert screen.out.startswith("OK: built\nrevision abc\n")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in results} == results
    assert (tmp_path / "out" / "buildlog").read_bytes() == b"one\n\x1b[31mtwo\x07\nthree"
    assert sorted(os.listdir("out")) == ["a.tar.gz", "buildlog", "manifest.json"]
    _id, tag, chroot, files, arguments = next(params for name, params in quirky.builder.calls if name == "build")
    assert (tag, chroot, files) == ("oci", sha1(image.read_bytes()), {"notes": sha1(b"n")})
    assert arguments == {"series": "bookworm", "archives": ["deb x"]}
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.IDLE"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("PACKAGEFAIL", 1, "build failed"),
        ("DEPFAIL", 1, "it needs libfoo (>= 2)"),
        ("CHROOTFAIL", 6, "image"),
        ("BUILDERFAIL", 6, "builder failed"),
        ("GIVENBACK", 6, "try again"),
        ("ABORTED", 130, "aborted"),
    ],
)
def test_how_a_build_ended_is_the_exit_code(
    quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str], status: str, code: int, words: str
) -> None:
    quirky.builder.script = Script(status=status, dependencies="libfoo (>= 2)" if status == "DEPFAIL" else "")
    assert build(quirky, "--image", str(image)) == code
    out = capfd.readouterr().out
    assert out.startswith(status) and words in out
    assert Path("out/buildlog").read_bytes() == b"hello\n"


def test_json_and_no_clean(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quirky.builder.script = Script(files={"x": b"y"})
    assert build(quirky, "--image", str(image), "--json", "--no-clean", "--id", "A-1") == 0
    screen = capfd.readouterr()
    told = json.loads(screen.out)
    assert (told["build_id"], told["build_status"], told["exit_code"]) == ("A-1", "OK", 0)
    assert told["files"] == [{"name": "x", "path": "out/x", "digest": sha1(b"y"), "size": 1}]
    assert "not cleaned" in screen.err
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.WAITING"
    assert main(["buildd", "fetch", quirky.url, "--clean"]) == 0  # into a folder of the build's name
    assert Path("A-1/x").read_bytes() == b"y" and Path("A-1/buildlog").exists()
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.IDLE"


def test_an_image_that_is_there_already_may_have_any_name(quirky: Quirky, capfd: pytest.CaptureFixture[str]) -> None:
    (quirky.builder.cache / "bookworm image").write_bytes(b"tar")
    assert build(quirky, "--image", "bookworm image") == 0
    assert build(quirky, "--image", "trixie", "-o", "out2") == 2
    assert "does not have trixie" in capfd.readouterr().err
    assert not Path("out2").exists()


def test_a_dsc_brings_what_it_names(quirky: Quirky, image: Path, tmp_path: Path) -> None:
    (tmp_path / "hello_1.dsc").write_text(
        "Format: 1.0\nChecksums-Sha1:\n aa 4 no.tar.gz\nFiles:\n 00 4 hello_1.tar.gz\n 00 1 ../up\nX: y\n"
    )
    (tmp_path / "hello_1.tar.gz").write_bytes(b"tar!")
    assert build(quirky, "--image", str(image), "--file", "hello_1.dsc") == 0
    files = next(params for name, params in quirky.builder.calls if name == "build")[3]
    assert sorted(files) == ["hello_1.dsc", "hello_1.tar.gz"] and files["hello_1.tar.gz"] == sha1(b"tar!")


def test_connections_that_are_lost_are_made_anew(
    quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contractor.buildd.client.builder._PAUSES", (0.01,))
    monkeypatch.setattr("contractor.buildd.client.files._PAUSES", (0.01,) * 5)
    gate = threading.Event()
    log = b"".join(b"line %d\n" % number for number in range(20000))
    result = os.urandom(1 << 20)
    quirky.builder.script = Script(steps=(log[:100_000], gate, log[100_000:]), files={"x": result})
    quirky.troubles.add("build", "late")
    quirky.troubles.add("ensurepresent", "drop")
    quirky.troubles.add("clean", "late")
    quirky.troubles.add("GET", "cut", 3)

    def trouble() -> None:
        """While it builds; it goes on when all of them have been met."""
        while quirky.builder._state != "BUILDING":
            time.sleep(0.01)
        for kind in ("empty", "cut", "page", "drop"):
            quirky.troubles.add("status", kind)
        while any(times for (method, _), times in quirky.troubles.left.items() if method == "status"):
            time.sleep(0.01)
        gate.set()

    thread = threading.Thread(target=trouble)
    thread.start()
    assert build(quirky, "--image", str(image)) == 0
    thread.join()
    screen = capfd.readouterr()
    assert "the answer to build() was lost, but the builder has the build" in screen.err
    assert "lost the builder" in screen.err
    assert Path("out/buildlog").read_bytes() == log
    assert Path("out/x").read_bytes() == result
    assert [name for name, _ in quirky.builder.calls].count("build") == 1


def test_a_builder_that_stays_away_is_given_up(
    quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contractor.buildd.client.builder._PAUSES", (0.05,))
    quirky.builder.script = Script(steps=(b"begun\n", threading.Event()))

    def vanish() -> None:
        while quirky.builder._state != "BUILDING" or not Path("out").exists():
            time.sleep(0.01)
        time.sleep(0.2)
        quirky.troubles.add("status", "drop", 1000)

    thread = threading.Thread(target=vanish)
    thread.start()
    assert build(quirky, "--image", str(image), "--patience", "0.3") == 6
    thread.join()
    error = capfd.readouterr().err
    assert "trying again for 0.3 s" in error and "the build may go on there" in error and "no answer" in error
    assert Path("out/buildlog").read_bytes() == b"begun\n"


def test_a_builder_without_range(quirky: Quirky, image: Path) -> None:
    quirky.ranges = False
    gate = threading.Event()
    threading.Timer(0.2, gate.set).start()
    quirky.builder.script = Script(steps=(b"one\n", gate, b"two\n"))
    assert build(quirky, "--image", str(image)) == 0
    assert Path("out/buildlog").read_bytes() == b"one\ntwo\n"


def test_a_refusal_is_explained_as_well_as_it_can_be(
    quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["buildd", "build", quirky.url, "--type", "oci", "--image", str(image), "-o", "out"]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert "refused build() and does not say why" in error
    assert "series is missing" in error and "BUILDING" in error and "hangs" in error
    assert main([*words, "--arg", "series=x"]) == 5  # the original's bug: it stays BUILDING
    assert "not free" in capfd.readouterr().err


def test_a_type_that_it_does_not_build(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["buildd", "build", quirky.url, "--type", "deb", "--image", str(image), "-o", "out", "--arg", "series=x"]
    assert main(words) == 5
    assert "does not build deb" in capfd.readouterr().err


def test_what_answers_is_no_builder(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quirky.troubles.add("status", "broken")
    assert main(["buildd", "status", quirky.url]) == 6
    assert "is no builder: its answer is no XML-RPC" in capfd.readouterr().err
    assert main(["buildd", "status", quirky.url + "/elsewhere"]) == 6
    assert "HTTP status 404" in capfd.readouterr().err
    assert main(["buildd", "status", "ftp://x"]) == 2


def test_status_and_info(quirky: Quirky, capfd: pytest.CaptureFixture[str]) -> None:
    (quirky.builder.cache / "i").write_bytes(b"")
    gate = threading.Event()
    quirky.builder.script = Script(
        steps=(b"x" * 5000 + b"\n\x1b]0;title\x07last line\n", gate), extra={"revision_id": "12\x9b2Jab"}
    )
    quirky.builder.build("A-1", "oci", "i", {}, {"series": "x"})
    while b"last" not in quirky.builder._log().read_bytes():
        time.sleep(0.01)
    assert main(["buildd", "status", quirky.url]) == 0
    out = capfd.readouterr().out
    assert "BUILDING" in out and "A-1" in out and "last line" in out and "12ab" in out
    assert "title" not in out and "\x1b" not in out
    assert main(["buildd", "status", quirky.url, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["builder_status"] == "BUILDING" and told["build_id"] == "A-1" and len(told["logtail"]) == 2048
    gate.set()
    assert main(["buildd", "info", quirky.url]) == 0
    assert "amd64" in capfd.readouterr().out
    assert main(["buildd", "info", quirky.url, "--json"]) == 0
    assert "craft" in json.loads(capfd.readouterr().out)["types"]


def test_the_build_of_somebody_else_is_noticed(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gate = threading.Event()
    quirky.builder.script = Script(steps=(b"mine\n", gate))

    def steal() -> None:
        while quirky.builder._state != "BUILDING":
            time.sleep(0.01)
        quirky.builder._build = "OTHER-1"

    thread = threading.Thread(target=steal)
    thread.start()
    assert build(quirky, "--image", str(image)) == 6
    thread.join()
    gate.set()
    assert "lost the build" in capfd.readouterr().err
    assert client_run.ABORT_PATIENCE == 180
