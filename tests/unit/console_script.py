"""A scripted build for the console's tests, and a demo of it in a terminal:

python tests/unit/console_script.py [success|failure|aborted|cached] [live|plain|quiet] [github|gitlab]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from contractor.cli.console.console import Console, make_console
from contractor.core.errors import Outcome
from contractor.core.events import (
    AnyEvent,
    ArtifactInfo,
    ArtifactStored,
    BuildFinished,
    BuildStarted,
    Notice,
    StepCached,
    StepFetched,
    StepFinished,
    StepInfo,
    StepOutput,
    StepStarted,
)

DIGEST = "3f9a" * 16
BUILD, BASE = "20250304-101500-hello-amd64", "20250304-101502-debian-12"
RECORD = "/home/ann/.local/share/contractor/builds/" + BUILD

STEPS = [
    ("source", "source"),
    ("create-systree debian-12", "create-systree"),
    ("Build dependencies", "apt"),
    ("fetch hello_2.10.orig.tar.gz", "fetch"),
    ("fetch hello_2.10-3.debian.tar.xz", "fetch"),
    ("fetch hello_2.10-3.dsc", "fetch"),
    ("Unpack", "shell"),
    ("Compile", "shell"),
    ("Test", "shell"),
    ("create-artifact hello", "create-artifact"),
]
BASE_STEPS = [
    ("debootstrap bookworm", "debootstrap"),
    ("Common packages", "apt"),
    ("create-artifact", "create-artifact"),
]


def infos(steps: list[tuple[str, str]]) -> tuple[StepInfo, ...]:
    return tuple(StepInfo(name=name, action=action, place="tree", network="none", key="k") for name, action in steps)


class Script:
    """Events with a clock: `at` moves by what each step takes."""

    def __init__(self, steps: list[tuple[str, str]] = STEPS, build: str = BUILD) -> None:
        self.at = 1_700_000_000.0
        self.build = build
        self.steps = infos(steps)

    def start(self, name: str = "hello", parent: str = "", **more: object) -> BuildStarted:
        return BuildStarted(
            at=self.at, build=self.build, name=name, arch="amd64", plan=DIGEST, tier="id range", steps=self.steps,
            parent=parent, record=RECORD, **more,
        )  # fmt: skip

    def begin(self, step: int, reason: str = "") -> StepStarted:
        return StepStarted(at=self.at, build=self.build, step=step, reason=reason)

    def cached(self, step: int) -> StepCached:
        return StepCached(at=self.at, build=self.build, step=step)

    def says(self, step: int, data: bytes, took: float = 0.1) -> StepOutput:
        self.at += took
        return StepOutput(at=self.at, build=self.build, step=step, data=data)

    def fetched(self, step: int, url: str, verdict: str = "allowed", reason: str = "") -> StepFetched:
        return StepFetched(
            at=self.at, build=self.build, step=step, method="GET", url=url, verdict=verdict, size=4096, reason=reason
        )

    def done(self, step: int, seconds: float, outcome: Outcome = Outcome.SUCCEEDED) -> StepFinished:
        self.at += 0.01
        return StepFinished(at=self.at, build=self.build, step=step, outcome=outcome, seconds=seconds)

    def stored(self, step: int, artifact: ArtifactInfo) -> ArtifactStored:
        return ArtifactStored(at=self.at, build=self.build, step=step, artifact=artifact)

    def notice(self, text: str, level: str = "info") -> Notice:
        return Notice(at=self.at, build=self.build, text=text, level=level)

    def end(self, outcome: Outcome = Outcome.SUCCEEDED, seconds: float = 185.0, **more: object) -> BuildFinished:
        return BuildFinished(at=self.at, build=self.build, outcome=outcome, seconds=seconds, **more)


ARTIFACTS = (
    ArtifactInfo(name="hello", digest=DIGEST, size=1_234_567, files=14, stored=300_000, path="out/hello.tar.zst"),
    ArtifactInfo(name="hello-dbgsym", digest="77c0" * 16, size=45_300, files=1, stored=9_000),
)


def compiling(script: Script, step: int, lines: int) -> Iterator[AnyEvent]:
    for number in range(lines):
        flags = "-DHAVE_CONFIG_H -I. -I./lib -g -O2 -ffile-prefix-map=/build=."
        yield script.says(step, f"gcc {flags} -c -o lib/part{number}.o lib/part{number}.c\n".encode())


def base(outer: Script) -> Iterator[AnyEvent]:
    script = Script(BASE_STEPS, BASE)
    script.at = outer.at
    yield script.start("debian-12", parent=outer.build)
    yield script.begin(0)
    for number in range(12):
        yield script.says(0, f"I: extracting package-{number}_1.0_amd64.deb...\n".encode())
    yield script.done(0, 14.2)
    yield script.begin(1)
    for percent in range(0, 101, 10):
        yield script.says(1, f"\rReading package lists... {percent}%".encode())
    yield script.says(1, b"\n")
    yield script.done(1, 5.1)
    yield script.begin(2)
    yield script.done(2, 0.8)
    yield script.end(seconds=20.3)
    outer.at = script.at


def success() -> Iterator[AnyEvent]:
    script = Script()
    yield script.start(matrix={"variant": "plain"})
    yield script.begin(0)
    yield script.done(0, 0.12)
    yield script.begin(1)
    yield from base(script)
    yield script.done(1, 20.4)
    yield script.begin(2)
    yield script.says(2, "Get:1 http://deb.debian.org/debian bookworm/main 日本語 [größe 1,2 MB]\n".encode())
    yield script.says(2, b"\x1b[32mSetting up \x1b]0;evil title\x07debhelper\x1b[0m (13.11.4) ...\n", 1.0)
    yield script.done(2, 12.3)
    for step in (3, 4, 5):
        yield script.cached(step)
    yield script.begin(6)
    yield script.done(6, 0.05)
    yield script.begin(7)
    yield from compiling(script, 7, 15)
    for _ in range(3):
        yield script.fetched(7, "https://pypi.org/simple/", "refused", "the step declares no network")
    yield script.notice("memory is only watched here, not limited: no cgroup is delegated to this user", "warning")
    yield from compiling(script, 7, 10)
    yield script.done(7, 143.0)
    yield script.begin(8)
    yield script.done(8, 3.4)
    yield script.begin(9)
    yield script.stored(9, ARTIFACTS[0])
    yield script.done(9, 0.3)
    yield script.end(artifacts=ARTIFACTS, record=RECORD)


def failure(outcome: Outcome = Outcome.FAILED) -> Iterator[AnyEvent]:
    script = Script()
    yield script.start()
    for step in range(7):
        yield script.cached(step)
    yield script.begin(7)
    yield from compiling(script, 7, 22)
    yield script.says(7, b"src/hello.c: In function 'main':\nsrc/hello.c:42:3: error: expected ';' before 'return'\n")
    yield script.says(7, b"make[2]: *** [Makefile:1291: src/hello.o] Error 1\nmake: *** [Makefile:988: all] Error 2")
    yield script.done(7, 7.9, outcome)
    yield script.end(
        outcome, seconds=8.1, step=7, message="the command ended with exit code 2",
        details=("script: contractor.yaml:31:7", "command: make -j8"), hint=f"contractor log {BUILD} --step 8",
        record=RECORD,
    )  # fmt: skip


def cached() -> Iterator[AnyEvent]:
    script = Script([(f"step {n}", "shell") for n in range(50)])
    yield script.start()
    for step in range(50):
        yield script.cached(step)
    yield script.end(seconds=0.04, artifacts=ARTIFACTS)


SCENES = {"success": success, "failure": failure, "aborted": lambda: failure(Outcome.ABORTED), "cached": cached}


def play(console: Console, events: Iterator[AnyEvent]) -> None:
    """All events, with a tick after each, as `execute()` would."""
    for event in events:
        console(event)
        console.tick(event.at)


def main(scene: str = "success", mode: str = "auto", ci: str = "") -> None:
    def width() -> int:
        return os.get_terminal_size(2).columns if os.isatty(2) else 0

    console = make_console(
        sys.stderr, mode=mode, colour="NO_COLOR" not in os.environ, ci=ci, width=width, verbose="VERBOSE" in os.environ
    )
    last = None
    try:
        for event in SCENES[scene]():
            pause = 0 if last is None else min(1.0, event.at - last)
            time.sleep(max(0.0, pause) if mode != "plain" else 0)
            console(event)
            console.tick(event.at)
            last = event.at
    finally:
        console.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
