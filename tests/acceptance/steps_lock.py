"""Locks, builds without network, and capsules."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import servers
from mirror import ARCHIVE, SUITE, Mirror
from pytest_bdd import given, parsers, then, when
from store_facts import archive_members
from world import World

from contractor.core import events

# The tree of the base with our own archive in place of Debian's: a base of its own, so that it is made once for all
# scenarios, and is no part of what `--fresh` runs again.
_TREE = """contractor: 1
name: own
epoch: 1686355200
steps:
  - unpack-artifact: {{base: debian-12}}
  - create-systree: {{base: debian-12}}
  - name: our own archive
    shell: |
      rm -rf etc/apt/sources.list* etc/apt/trusted.gpg.d
      mkdir -p etc/apt/trusted.gpg.d etc/apt/sources.list.d
      echo 'deb {archive} {suite} main' > etc/apt/sources.list
      echo '{key}' | base64 -d > etc/apt/trusted.gpg.d/tests.gpg
  - create-artifact: own
"""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return Mirror(tmp_path_factory.mktemp("mirror"))


@given(parsers.parse("a mirror with {packages}"))
def _mirror(world: World, archive: Mirror, machine: contextlib.ExitStack, packages: str) -> None:
    """Every scenario has a package of its own name, so that nothing of another's is found."""
    world.facts["OWN"] = f"own-{world.token}"
    world.facts["MIRROR"] = archive
    port = machine.enter_context(servers.serve(archive.answer))
    world.environment["http_proxy"] = f"http://127.0.0.1:{port}"
    _now_has(world, packages)


@when(parsers.parse("the mirror has {packages} instead"))
@given(parsers.parse("the mirror has {packages} instead"))
def _now_has(world: World, packages: str) -> None:
    world.facts["MIRROR"].set(f"{packages}, {world.facts['OWN']} 1.0")


@when("the mirror has other bytes under the same names")
def _other_bytes(world: World) -> None:
    world.facts["MIRROR"].publish(again=b"other bytes\n")


@when(parsers.parse("the mirror's Release file is valid for {seconds:d} seconds"))
@given(parsers.parse("the mirror's Release file is valid for {seconds:d} seconds"))
def _valid(world: World, seconds: int) -> None:
    world.facts["MIRROR"].publish(valid=seconds)
    world.facts["END"] = time.time() + seconds


@when("its time is over")
def _over(world: World) -> None:
    time.sleep(max(0.0, world.facts["END"] - time.time()) + 1.5)


@when("the mirror's Release file is from tomorrow")
def _tomorrow(world: World) -> None:
    world.facts["MIRROR"].publish(dated=86400)


@given("a specification that installs from it:")
def _from_it(world: World, docstring: str) -> None:
    world.write(".contractor/bases/own.yaml", _TREE.format(archive=ARCHIVE, suite=SUITE, key=world.facts["MIRROR"].key))
    steps = "\n".join(f"  {line}" for line in docstring.splitlines())
    world.specification(f"steps:\n  - create-systree: {{base: own}}\n{steps}")


@when("it is locked")
@given("it has been locked")
@when("it is locked again")
def _lock(world: World) -> None:
    _lock_with(world, "")
    assert world.last.code == 0, world.last


@when(parsers.parse("it is locked with: {options}"))
def _lock_with(world: World, options: str) -> None:
    world.done.append(world.run("--plain", *options.split(), command="lock"))


@when(parsers.parse("of what was fetched, {what} are gone from the store"))
def _gone(world: World, what: str) -> None:
    """all files, or the packages: of what the lock names; the bases' apart, for these are for all scenarios."""
    lock = json.loads((world.project / "contractor.lock").read_bytes())
    answers = [answer for step in lock["steps"] if not step["base"] for answer in step["answers"]]
    for answer in answers:
        if what == "all files" or answer["url"].endswith(".deb"):
            (world.store / "captured" / answer["sha256"][:2] / answer["sha256"]).unlink(missing_ok=True)


@when("the mirror is asked no more")
def _note_asked(world: World) -> None:
    world.facts["ASKED"] = len(world.facts["MIRROR"].asked)


@then("the mirror was not asked")
def _not_asked(world: World) -> None:
    assert world.facts["MIRROR"].asked[world.facts["ASKED"] :] == []


@then("the lock is as it was")
def _same_lock(world: World) -> None:
    found = (world.project / "contractor.lock").read_bytes()
    assert world.facts.setdefault("LOCK", found) == found


@given("the lock is noted")
@when("the lock is noted")
def _note_lock(world: World) -> None:
    world.facts["LOCK"] = (world.project / "contractor.lock").read_bytes()


@then("all that the step asked for came from the store")
def _from_store(world: World) -> None:
    fetches = [fetch for step in world.last.record()["steps"] for fetch in step["fetches"]]
    assert fetches, world.last
    assert {fetch["reason"] for fetch in fetches} == {"from the store"}


@when(parsers.parse("in the lock, the digest of the base debian-12 is another"))
def _other_base(world: World) -> None:
    path = world.project / "contractor.lock"
    text = path.read_text()
    found = next(line for line in text.split('"bases"')[1].splitlines() if '"digest"' in line)
    path.write_text(text.replace(found, f'   "digest": "{hashlib.sha256(b"another").hexdigest()}"'))


# --- git ---


@given("a git repository on a server, with a tag v1")
def _repository(world: World, machine: contextlib.ExitStack) -> None:
    folder = world.top / "repository"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    _git(folder, "init", "-q")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "one")
    _git(folder, "tag", "v1")
    _git(folder, "update-server-info")
    world.facts["REPOSITORY"] = folder
    world.facts["COMMIT"] = _git(folder, "rev-parse", "HEAD").strip()

    def answer(path: str) -> tuple[int, str, bytes]:
        file = folder / ".git" / path.removeprefix("/r.git/").split("?")[0]
        if folder.exists() and file.is_file():
            return 200, "application/octet-stream", file.read_bytes()
        return 404, "text/plain", b"not here\n"

    world.facts["PORT"] = machine.enter_context(servers.serve(answer))


def _git(folder: Path, *arguments: str) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@t",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@t",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True,
        env={**identity, "PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    return done.stdout


@when("the tag is moved to another commit")
def _moved(world: World) -> None:
    folder = world.facts["REPOSITORY"]
    (folder / "hello.txt").write_text("moved\n")
    _git(folder, "commit", "-q", "-a", "-m", "two")
    _git(folder, "tag", "-f", "v1")
    _git(folder, "update-server-info")


@when("the repository is gone")
def _repository_gone(world: World) -> None:
    shutil.rmtree(world.facts["REPOSITORY"])


# --- elsewhere ---


@when("the capsule is unpacked on a machine with an empty store and without network")
def _elsewhere(world: World) -> None:
    """The same account, in a network namespace with nothing in it, where this test run may make one."""
    world.store = world.top / "store-elsewhere"
    world.environment = {}
    if os.geteuid() == 0:
        who = ("setpriv", f"--reuid={world.account.uid}", f"--regid={world.account.uid}", "--clear-groups")
        world.account = world.account._replace(uid=0, command=("unshare", "-n", *who, *world.account.command))
    world.done.append(world.run("import", "scenario.capsule", str(world.top / "elsewhere"), command="capsule"))
    assert world.last.code == 0, world.last


@when(parsers.parse("it is built there with: {options}"))
def _build_there(world: World, options: str) -> None:
    world.build(str(world.top / "elsewhere"), *options.split())


@when(parsers.parse("the capsule loses its last {count:d} bytes"))
def _shorter(world: World, count: int) -> None:
    path = world.project / "scenario.capsule"
    os.truncate(path, path.stat().st_size - count)


@then("the two capsules are the same")
def _same_capsules(world: World) -> None:
    assert world.last.code == 0, world.last
    first, second = (world.project / name for name in ("scenario.capsule", "again.capsule"))
    assert first.read_bytes() == second.read_bytes()


@then(parsers.parse('there is no file "{name}" in the project'))
def _no_file(world: World, name: str) -> None:
    assert not (world.project / name).exists()


@then("the steps that ran are none")
def _nothing_ran(world: World) -> None:
    assert world.last.steps(events.StepStarted) == []


@then("the artifact result is a checkout with a program and a link")
def _checkout(world: World) -> None:
    members = archive_members(world.store, world.last.digests()["result"])
    assert {
        path: (kind & 0o170000, kind & 0o777)
        for path, (kind, _content) in members.items()
        if path.strip(b"/") != b"src"
    } == {
        b"src/hello.txt": (0o100000, 0o644),
        b"src/link": (0o120000, 0o777),
        b"src/run.sh": (0o100000, 0o755),
    }
    assert members[b"src/hello.txt"][1] == b"hello\n"
