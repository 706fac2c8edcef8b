"""A builder in a process of its own, a repository that it fetches, and the client that follows it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_bdd import given, parsers, then, when
from world import Running, World

sys.path.append(str(Path(__file__).parents[1] / "buildd"))
_PATIENCE = 60.0


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shell, some tools and git of this machine: what it is built in."""
    from small_image import make_image

    return make_image(tmp_path_factory.mktemp("image"))


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@given("a builder")
def _builder(world: World, machine: contextlib.ExitStack, image: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        world.facts["BUILDER"] = f"127.0.0.1:{free.getsockname()[1]}"
    (world.top / "filecache").mkdir()
    shutil.copyfile(image, world.top / "filecache" / "image")
    world.account.own(world.top)
    _start(world)
    machine.callback(lambda: _stop(world, signal.SIGTERM))


@when("the builder is started again")
def _start(world: World) -> None:
    port = world.facts["BUILDER"].rpartition(":")[2]
    argv = [*world.account.command, "buildd", "serve", "--bindport", port, "--store", str(world.store)]
    with (world.top / "builder.log").open("ab") as log:
        server = world.account.popen([*argv, "--filecache", str(world.top / "filecache")], stdout=log, stderr=log)
    world.facts["SERVER"] = server
    until(lambda: server.poll() is not None or _get(world, "/filecache/none") == b"", "the builder does not answer")
    assert server.poll() is None, (world.top / "builder.log").read_text()


def _get(world: World, path: str) -> bytes | None:
    """b"": there is no such file; None: nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{world.facts['BUILDER']}{path}", timeout=20) as answer:
            return answer.read()
    except urllib.error.HTTPError:
        return b""
    except OSError:
        return None


def _stop(world: World, number: signal.Signals) -> int:
    server: subprocess.Popen[bytes] = world.facts["SERVER"]
    server.send_signal(number)
    return server.wait(_PATIENCE)


@when("the builder is killed with kill -9")
def _kill(world: World) -> None:
    assert _stop(world, signal.SIGKILL) == -signal.SIGKILL


@given("a repository with the Dockerfile:")
def _repository(world: World, machine: contextlib.ExitStack, docstring: str) -> None:
    from small_image import make_repository, served

    world.facts["NAP"] = str(86400 + int(world.token[:5], 16))  # seconds that nobody else sleeps
    folder = world.top / "repository"
    make_repository(folder, {"Dockerfile": docstring.replace("<NAP>", world.facts["NAP"]) + "\n"})
    world.facts["REPOSITORY"] = f"{machine.enter_context(served(folder))}/source.git"


def _client(world: World, words: list[str]) -> Running:
    world.runs += 1
    argv = [*world.account.command, "buildd", words[0], world.facts["BUILDER"], *words[1:]]
    return Running(world, argv, world.top / f"events-{world.runs}.jsonl", None)


def _build(world: World, options: str) -> Running:
    given = ["name=hello", "series=bookworm", f"git_repository={world.facts['REPOSITORY']}"]
    arguments = [word for argument in given for word in ("--arg", argument)]
    return _client(world, ["build", "--type", "oci", "--image", "image", *arguments, *shlex.split(options)])


@when(parsers.parse("it is built on the builder with: {options}"))
def _built(world: World, options: str) -> None:
    world.done.append(_build(world, options).wait())


@when(parsers.parse('it is built on the builder, and "{text}" is in its log'))
def _building(world: World, text: str) -> None:
    running = world.facts["CLIENT"] = _build(world, "")
    log = lambda: _get(world, "/filecache/buildlog") or b""  # noqa: E731
    until(lambda: running.process.poll() is not None or text.encode() in log(), f"{text} is never in the log")
    assert running.process.poll() is None, running.wait()
    assert _asleep(world)


@when(parsers.parse("the builder is asked for: {question}"))
def _asked(world: World, question: str) -> None:
    world.done.append(_client(world, question.split()).wait())


@then(parsers.parse('the build ends with exit code {code:d}, and "{word}"'))
def _ended(world: World, code: int, word: str) -> None:
    done = world.facts["CLIENT"].wait()
    assert done.code == code, done
    assert word in done.out.decode() + done.err, done


def _asleep(world: World) -> list[str]:
    """Processes of the build, which sleep as long as nobody else does."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[:2] == [b"sleep", world.facts["NAP"].encode()]:
                found.append(path.parent.name)
    return found


@then("nothing of the build runs any more")
def _nothing(world: World) -> None:
    until(lambda: not _asleep(world), "something of the build still runs")


@then(parsers.parse('the file {name} of the build says "{text}"'))
def _file_says(world: World, name: str, text: str) -> None:
    assert text in (world.project / name).read_text(), (world.project / name).read_text()


@then(parsers.parse('the last layer in {name} has the file {file}, which says "{text}"'))
def _layer(world: World, name: str, file: str, text: str) -> None:
    (entry,) = json.loads((world.project / name / "manifest.json").read_bytes())
    layer = entry["Layers"][-1].removesuffix("/layer.tar")
    with tarfile.open(world.project / name / f"{layer}.tar.gz") as archive:
        member = archive.extractfile(file)
        assert member is not None
        assert text in member.read().decode().splitlines()


@then(parsers.parse("{first} and {second} have the same files"))
def _same(world: World, first: str, second: str) -> None:
    contents = [{p.name: p.read_bytes() for p in (world.project / name).iterdir()} for name in (first, second)]
    assert contents[0] == contents[1]
    assert {"buildlog", "manifest.json"} < set(contents[0])


@then("the builder has no results any more")
def _forgotten(world: World) -> None:
    left = {name for name in os.listdir(world.top / "filecache") if not name.startswith(".")}
    assert left <= {"image", "buildlog"}, left
    assert _get(world, "/filecache/buildlog") in (b"", None)
