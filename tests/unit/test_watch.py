"""What a watched build looks at, what counts as a change, and who wakes it."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.debug import waking
from contractor.build.debug.waking import Waker
from contractor.build.debug.watching import Folder, Inputs, changes, directories, inputs_of, look
from contractor.build.prepare import Request
from contractor.cli.commands import build as command
from contractor.core.errors import Rejected
from contractor.plan.model import Action, Plan
from contractor.spec.model import Custom, Limits, Place, Source, Step
from contractor.store.layout import Store

SPEC = """contractor: 1
name: watched
source: {path: src}
pipelines: {tests: {file: tests.yaml}}
steps:
  - shell: "true"
  - pipeline: tests
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    top = tmp_path / "project"
    for name, text in (("contractor.yaml", SPEC), ("src/a.c", "a"), ("src/deep/b.c", "b")):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def plan(*kinds: object, file: str = "contractor.yaml", bases: dict[str, Plan] | None = None) -> Plan:
    steps = [Step(kind, "step", Place("contractor.yaml", 1, 1)) for kind in kinds]
    actions = tuple(Action("shell", step, "key", {}, {}, (), (), "", "") for step in steps)
    return Plan("watched", "amd64", 0, "given", {}, {}, actions, Limits(), bases=bases or {}, file=file)


def source_inputs(project: Path, **more: object) -> Inputs:
    leave = (str(project / "contractor.yaml"), str(project / ".contractor"), *more.pop("leave", ()))
    return Inputs(frozenset([str(project / "contractor.yaml")]), frozenset([Folder(str(project), leave)]))


def names(paths: list[str], top: Path) -> list[str]:
    return [os.path.relpath(path, top) for path in paths]


def test_everything_that_a_plan_was_made_from_is_looked_at(project: Path) -> None:
    base = plan(Custom("helper"), file=str(project / "bases" / "own.yaml"))
    request = Request(str(project / "contractor.yaml"), leave=(str(project / "out"),))
    found = inputs_of(
        request, [plan(Source(path="src"), Custom("mine"), Source(git="x", ref="y"), bases={"own": base})]
    )
    assert sorted(names(list(found.files), project)) == [
        ".contractor/actions/mine",
        ".contractor/bases/own.yaml",
        "bases/.contractor/actions/helper",
        "bases/own.yaml",
        "contractor.lock",
        "contractor.yaml",
        "tests.yaml",
    ]
    (folder,) = found.folders
    assert folder.path == str(project / "src")
    assert names(list(folder.leave), project) == ["contractor.yaml", ".contractor", "out"]


def test_a_broken_specification_still_names_its_files(project: Path) -> None:
    (project / "contractor.yaml").write_text(SPEC.replace("steps:", "stepz:"))
    found = inputs_of(Request(str(project / "contractor.yaml")), [])
    assert {"contractor.yaml", "tests.yaml"} <= set(names(list(found.files), project))
    (project / "contractor.yaml").unlink()
    assert inputs_of(Request(str(project / "contractor.yaml")), []).files


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda top: (top / "src/a.c").write_text("other"), ["src/a.c"]),
        (lambda top: (top / "src/new/c.c").parent.mkdir() or (top / "src/new/c.c").write_text(""), ["src/new/c.c"]),
        (lambda top: (top / "src/a.c").unlink(), ["src/a.c"]),
        (lambda top: (top / "src/a.c").rename(top / "src/z.c"), ["src/a.c", "src/z.c"]),
        (lambda top: (top / "src/a.c").chmod(0o755), ["src/a.c"]),
        (lambda top: (top / "src/l").symlink_to("a.c"), ["src/l"]),
        (lambda top: (top / "contractor.yaml").write_text(SPEC + "\n"), ["contractor.yaml"]),
        (lambda top: (top / "contractor.yaml").unlink(), ["contractor.yaml"]),
        (lambda top: (top / "out/result").write_text("1"), []),
        (lambda top: (top / ".contractor/x").write_text("1"), []),
        (lambda top: (top / "src/empty").mkdir(), []),
        (lambda top: (top / "src/.a.c.swp").write_text("1"), []),
        (lambda top: (top / "src/a.c~").write_text("1"), []),
        (lambda top: (top / "src/.#a.c").symlink_to("user@host"), []),
        (lambda top: (top / "src/4913").write_text(""), []),
        (lambda top: (top / "src/a.c").read_text(), []),
    ],
)
def test_what_is_a_change_and_what_is_none(
    project: Path, store: Store, change: Callable[[Path], object], seen: list[str]
) -> None:
    for name in ("out", ".contractor"):
        (project / name).mkdir()
    inputs = source_inputs(project, leave=(str(project / "out"),))
    before = look(inputs, store)
    assert changes(before, look(inputs, store)) == []
    change(project)
    assert names(changes(before, look(inputs, store)), project) == seen


def test_the_store_inside_the_source_is_no_change(project: Path) -> None:
    inside = Store(str(project / "state" / "store"))
    before = look(source_inputs(project), inside)
    (project / "state" / "store" / "builds" / "x").write_text("1")
    assert changes(before, look(source_inputs(project), inside)) == []


def test_a_file_that_we_write_to_is_no_change(project: Path, store: Store) -> None:
    with open(project / "src" / "log", "wb", buffering=0) as log:
        status = os.fstat(log.fileno())
        ours = frozenset([(status.st_dev, status.st_ino)])
        before = look(source_inputs(project), store, ours)
        log.write(b"a line")
        assert changes(before, look(source_inputs(project), store, ours)) == []
        assert changes(look(source_inputs(project), store), before) != []


def test_a_source_that_goes_and_comes_back_is_a_change_each_time(project: Path, store: Store) -> None:
    inputs = Inputs(frozenset(), frozenset([Folder(str(project / "src"), ())]))
    before = look(inputs, store)
    (project / "src").rename(project / "away")
    gone = look(inputs, store)
    assert changes(before, gone) != []
    (project / "away").rename(project / "src")
    assert changes(gone, look(inputs, store)) != []


def test_what_git_ignores_is_neither_looked_at_nor_watched(project: Path, store: Store) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (project / ".gitignore").write_text("build/\n")
    (project / "build" / "deep").mkdir(parents=True)
    inputs = source_inputs(project)
    before = look(inputs, store)
    (project / "build" / "deep" / "object.o").write_text("1")
    assert changes(before, look(inputs, store)) == []
    watched = {os.path.relpath(path, project) for path in directories(inputs, store)}
    assert {".", "src", "src/deep"} <= watched
    assert not any(path.startswith((".git", "build")) for path in watched)


SIGNATURES = st.one_of(st.none(), st.tuples(*[st.integers(0, 3)] * 5))
LOOKS = st.dictionaries(st.sampled_from(["/a", "/b/c", "/b/d", "/b/.c.swp", "/e~"]), SIGNATURES)


@given(LOOKS, LOOKS)
def test_changes_are_the_same_both_ways_and_none_to_itself(one: dict, other: dict) -> None:
    assert changes(one, other) == changes(other, one)
    assert changes(one, one) == []
    assert not {"/b/.c.swp", "/e~"} & set(changes(one, other))


@given(LOOKS, LOOKS)
def test_no_change_means_that_the_source_is_as_it_was(one: dict, other: dict) -> None:
    if changes(one, other) == []:
        for path in ("/a", "/b/c", "/b/d"):
            assert one.get(path) == other.get(path)


def woken(waker: Waker, change: Callable[[], object]) -> float:
    """Seconds from a change until the waker says so."""
    changed_at: list[float] = []

    def later() -> None:
        changed_at.append(time.monotonic())
        change()

    timer = threading.Timer(0.05, later)
    timer.start()
    deadline = time.monotonic() + 10

    def check() -> None:
        assert time.monotonic() < deadline, "nobody woke us"

    waker.wait(check)
    timer.join()
    return time.monotonic() - changed_at[0]


def test_inotify_wakes_once_a_change_is_over(project: Path, store: Store) -> None:
    with Waker() as waker:
        waker.watch(directories(source_inputs(project), store))
        assert waker.why == ""
        assert woken(waker, lambda: (project / "src" / "a.c").write_text("new")) < 5
        assert not waker.stale
        assert woken(waker, lambda: os.replace(project / "src" / "a.c", project / "src" / "deep" / "b.c")) < 5
        woken(waker, lambda: (project / "src" / "more").mkdir())
        assert waker.stale, "a directory came, which is not watched yet"


def test_a_watched_directory_that_goes_is_no_trouble(project: Path, store: Store) -> None:
    with Waker() as waker:
        waker.watch(directories(source_inputs(project), store))
        woken(waker, lambda: (project / "src" / "deep" / "b.c").unlink() or (project / "src" / "deep").rmdir())
        waker.watch({*directories(source_inputs(project), store), str(project / "never")})
        assert waker.why == ""


class Full:
    """inotify, all of whose watches are taken."""

    def add_watch(self, _path: str, _mask: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        """Nothing is open."""


def test_without_watches_left_the_clock_does_and_says_why(project: Path) -> None:
    with Waker() as waker:
        waker._inotify.close()
        waker._inotify = Full()
        waker.watch({str(project)})
        assert "max_user_watches" in waker.why
        began = time.monotonic()
        waker.wait(lambda: None, pause=0.3)
        assert 0.25 < time.monotonic() - began < 5
        assert waker.stale


def test_a_shared_file_system_is_looked_at_by_the_clock(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_mounts", lambda: {"/": "ext4", str(project): "nfs4"})
    with Waker() as waker:
        waker.watch({str(project / "src")})
        assert "shared with other machines (nfs4)" in waker.why


def test_being_stopped_ends_the_waiting(project: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with Waker() as waker:
        waker.watch({str(project)})
        with pytest.raises(KeyboardInterrupt):
            waker.wait(stop)


@pytest.mark.parametrize("options", [["--shell", "1"], ["--shell-after", "1"], ["--break", "1"], ["--keep"]])
def test_what_makes_no_sense_at_every_change_is_refused(options: list[str]) -> None:
    with pytest.raises(Rejected, match="do not go together") as caught:
        command.run(["--watch", *options])
    assert caught.value.hint


def test_a_plan_without_steps_has_only_its_file(project: Path) -> None:
    empty = msgspec.structs.replace(plan(), actions=())
    assert inputs_of(Request(str(project / "contractor.yaml")), [empty]).folders == frozenset()
