"""Stopping a build on a builder: Ctrl-C at `contractor buildd build`, and `contractor buildd abort`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from quirky import Quirky, Script

from contractor.buildd.client.builder import Builder
from contractor.cli.main import main

pytestmark = pytest.mark.usefixtures("here")


class Client:
    """The command in a process of its own, which gets Ctrl-C."""

    def __init__(self, quirky: Quirky, image: Path) -> None:
        self._builder = quirky.builder
        code = (
            "import sys; from contractor.buildd.client import watch; watch._PERIOD = 0.02; "
            "from contractor.cli.main import run; run()"
        )
        words = [
            "buildd",
            "build",
            quirky.url,
            "--type",
            "oci",
            "--image",
            str(image),
            "--arg",
            "series=x",
            "-o",
            "out",
        ]
        self.process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
        self._error = ""

    def wait_for(self, state: str) -> None:
        until = time.monotonic() + 20
        while self._builder._state != state:
            assert self.process.poll() is None and time.monotonic() < until, self.end()
            time.sleep(0.01)

    def asks(self, quirky: Quirky) -> None:
        until = time.monotonic() + 20
        while not quirky.asked:
            assert self.process.poll() is None and time.monotonic() < until, self.end()
            time.sleep(0.01)

    def sees(self, text: str) -> None:
        assert self.process.stderr is not None
        while text not in self._error:
            line = self.process.stderr.readline()
            assert line, f"it ended before {text!r}: {self._error}"
            self._error += line

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        _, rest = self.process.communicate(timeout=20)
        return self.process.returncode, self._error + rest


def test_ctrl_c_aborts_the_build_on_the_builder(quirky: Quirky, image: Path) -> None:
    quirky.builder.script = Script(steps=(b"working\n", threading.Event()))
    client = Client(quirky, image)
    client.sees("working")
    client.interrupt()
    code, error = client.end()
    assert code == 130
    assert "aborting 2" in error
    assert Path("out/buildlog").read_bytes() == b"working\n"
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.IDLE"


def test_a_second_ctrl_c_does_not_wait_for_the_builder(quirky: Quirky, image: Path) -> None:
    gate = threading.Event()
    quirky.builder.script = Script(steps=(b"working\n", gate), stubborn=True)
    client = Client(quirky, image)
    client.sees("working")
    client.interrupt()
    client.wait_for("ABORTING")
    client.interrupt()
    code, error = client.end()
    assert code == 130 and "not waited for" in error
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.ABORTING"
    gate.set()


def test_ctrl_c_while_the_builder_downloads(quirky: Quirky, image: Path) -> None:
    with quirky.builder.lock:  # as the original: it answers nobody
        client = Client(quirky, image)
        client.asks(quirky)
        client.interrupt()
        code, error = client.end()
    assert code == 130 and "aborting" not in error
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.IDLE"


def test_an_abort_that_takes_too_long(
    quirky: Quirky, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contractor.cli.buildd.look.ABORT_PATIENCE", 0.2)
    gate = threading.Event()
    (quirky.builder.cache / "i").write_bytes(b"")
    quirky.builder.script = Script(steps=(gate,), stubborn=True)
    assert main(["buildd", "abort", quirky.url]) == 2
    quirky.builder.build("A-1", "oci", "i", {}, {"series": "x"})
    assert main(["buildd", "clean", quirky.url]) == 2
    assert main(["buildd", "fetch", quirky.url]) == 2
    assert main(["buildd", "abort", quirky.url]) == 6
    assert main(["buildd", "abort", quirky.url, "--no-wait"]) == 0  # again, while it is ABORTING
    seen = quirky.asked.count("status")

    def release() -> None:
        """Once the command knows that it aborts, and waits."""
        until = time.monotonic() + 20
        while quirky.asked.count("status") < seen + 2 and time.monotonic() < until:
            time.sleep(0.01)
        gate.set()

    waiting = threading.Thread(target=release)
    waiting.start()
    monkeypatch.setattr("contractor.cli.buildd.look.ABORT_PATIENCE", 20)
    assert main(["buildd", "abort", quirky.url]) == 0
    waiting.join()
    assert "WAITING with A-1 (ABORTED)" in capfd.readouterr().out
    assert main(["buildd", "clean", quirky.url]) == 0
    assert main(["buildd", "clean", quirky.url]) == 0
    assert capfd.readouterr().out.endswith("is IDLE already\n")


def test_an_aborted_build_that_somebody_has_cleaned_already(
    quirky: Quirky, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (quirky.builder.cache / "i").write_bytes(b"")
    quirky.builder.script = Script(steps=(threading.Event(),))
    quirky.builder.build("A-1", "oci", "i", {}, {"series": "x"})

    def cleaned_at_once(builder: Builder) -> str:
        answer = abort(builder)
        while quirky.builder.status()["builder_status"] != "BuilderStatus.WAITING":
            time.sleep(0.01)
        quirky.builder.clean()
        return answer

    abort = Builder.abort
    monkeypatch.setattr(Builder, "abort", cleaned_at_once)
    assert main(["buildd", "abort", quirky.url]) == 0
    assert "has ended A-1" in capfd.readouterr().out
