"""What `contractor buildd` says to a person: wrong words, a default at hand, and an abort that comes too late."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from quirky import Quirky, Script

from contractor.buildd.client.answers import Status
from contractor.buildd.client.builder import Builder
from contractor.cli.commands.buildd import parser
from contractor.cli.main import main

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stauts"], "hint: did you mean `contractor buildd status`?"),
        (["frobnicate"], "hint: `contractor buildd --help` lists what there is"),
        (["\x1b[31m"], "there is no `contractor buildd"),
        ([], "required"),
        (["status", ""], "'' is no builder's URL"),
        (["build", "--type", "oci"], "--image"),
    ],
)
def test_wrong_words(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["buildd", *words]) == 2
    error = capfd.readouterr().err
    assert said in error and "hint: " in error and "\x1b" not in error and "Traceback" not in error


@pytest.mark.parametrize("build_id", ["a/b", "..", ".x", "", "-x", "a\nb"])
def test_an_id_that_no_builder_takes(
    quirky: Quirky, image: Path, build_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--type", "oci", "--image", str(image), "--arg", "series=x", f"--id={build_id}"]
    assert main(["buildd", "build", quirky.url, *given]) == 2
    assert "error: --id" in capfd.readouterr().err
    assert quirky.asked == []


@pytest.mark.parametrize("do", ["status", "info", "abort", "clean", "fetch", "build"])
def test_the_builder_is_this_machine_when_none_is_named(do: str) -> None:
    more = ["--type", "oci", "--image", "x"] if do == "build" else []
    assert parser().parse_args([do, *more]).url == "localhost"


def test_the_log_and_the_result_are_set_apart(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quirky.builder.script = Script(steps=(b"the last line",))
    given = ["--type", "oci", "--image", str(image), "--arg", "series=x", "-o", "out"]
    assert main(["buildd", "build", quirky.url, *given]) == 0
    found = capfd.readouterr()
    assert found.err.endswith("the last line\n\n") and found.out.startswith("OK: built\n")


def test_a_build_that_ends_when_it_is_to_be_aborted(
    quirky: Quirky, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    (quirky.builder.cache / "i").write_bytes(b"")
    quirky.builder.script = Script(steps=(gate,))
    quirky.builder.build("A-1", "oci", "i", {}, {"series": "x"})
    look = Builder.status

    def status(builder: Builder) -> Status:
        found = look(builder)
        gate.set()
        until = time.monotonic() + 20
        while quirky.builder._state == "BUILDING" and time.monotonic() < until:
            time.sleep(0.01)
        return found

    monkeypatch.setattr(Builder, "status", status)
    assert main(["buildd", "abort", quirky.url]) == 0
    assert "WAITING with A-1 (OK)" in capfd.readouterr().out
