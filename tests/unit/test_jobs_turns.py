"""Builds that wait for each other: of two that run the same step one waits, and an exclusive name has one holder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contractor.build.matrix import turns
from contractor.core.errors import Broken
from contractor.store.layout import Store

KEY, OTHER = "a" * 64, "b" * 64


def context(store: Store, build: str = "b1", *, key: str = KEY, name: str = "", tick: Callable[[], None] | None = None):
    """As much of a step's context as waiting needs."""
    notices: list[tuple[str, str]] = []
    made: Any = SimpleNamespace(
        store=store, build=build, paused=0.0, notices=notices,
        action=SimpleNamespace(key=key, step=SimpleNamespace(exclusive=name)),
        limits=SimpleNamespace(time=0.0), options=SimpleNamespace(tick=tick),
        notice=lambda text, level="info": notices.append((text, level)),
    )  # fmt: skip
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


class Other:
    """Another build that has its turn until it is let go."""

    def __init__(self, turn: Callable[[Any], Any], its_context: Any) -> None:
        self._turn, self._context = turn, its_context
        self._has, self._leave = threading.Event(), threading.Event()

    def __enter__(self) -> Other:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._has.wait(10)
        return self

    def _run(self) -> None:
        with self._turn(self._context):
            self._has.set()
            self._leave.wait(30)

    def let_go(self, after: float = 0.0) -> None:
        threading.Timer(after, self._leave.set).start()

    def __exit__(self, *_error: object) -> None:
        self._leave.set()
        self._thread.join()


def test_the_second_waits_for_the_same_step(store: Store) -> None:
    mine = context(store)
    with Other(turns.same_step, context(store)) as other:
        other.let_go(0.2)
        began = time.monotonic()
        with turns.same_step(mine) as held:
            assert held and time.monotonic() - began > 0.15
    assert mine.notices == [("another build runs this step already: waiting for it", "wait")]


def test_nobody_waits_for_another_step(store: Store) -> None:
    mine = context(store, key=OTHER)
    with Other(turns.same_step, context(store)), turns.same_step(mine) as held:
        assert held
    assert mine.notices == []


def test_who_waits_too_long_runs_the_step_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.2)
    with Other(turns.same_step, context(store)), turns.same_step(context(store)) as held:
        assert not held


def test_an_exclusive_name_has_one_holder_and_says_whose_it_is(store: Store) -> None:
    mine = context(store, "b2", name="disk")
    with Other(turns.exclusive, context(store, "b1", name="disk")) as other:
        other.let_go(0.2)
        with turns.exclusive(mine):
            pass
    assert mine.notices[0] == ("waiting for disk, which b1 has", "wait")
    assert mine.notices[1][0].startswith("has disk, after ")
    assert mine.paused > 0.15, "waiting is no part of the step's time"


def test_other_names_and_no_name_do_not_wait(store: Store) -> None:
    with Other(turns.exclusive, context(store, name="disk")):
        for name in ("mksquashfs", ""):
            mine = context(store, name=name)
            with turns.exclusive(mine):
                assert mine.notices == [] and mine.paused < 0.05


def test_a_holder_that_never_ends_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.2)
    with (
        Other(turns.exclusive, context(store, name="disk")),
        pytest.raises(Broken, match="waited too long for disk"),
        turns.exclusive(context(store, name="disk")),
    ):
        pass


def test_a_new_holder_gives_the_queue_its_patience_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.6)
    path = store.path("locks", "exclusive-disk")
    mine = context(store, "b9", name="disk")
    with Other(turns.exclusive, context(store, "b1", name="disk")) as other:
        threading.Timer(0.4, lambda: Path(path).write_text("b2\n")).start()
        other.let_go(0.8)
        with turns.exclusive(mine):
            pass
    assert mine.paused > 0.7


def test_ctrl_c_ends_the_waiting(store: Store) -> None:
    def tick() -> None:
        raise KeyboardInterrupt

    with (
        Other(turns.same_step, context(store)),
        pytest.raises(KeyboardInterrupt),
        turns.same_step(context(store, tick=tick)),
    ):
        pass
    with turns.same_step(context(store)) as held:
        assert held, "nothing is held any more"


def test_a_killed_holder_holds_nothing(store: Store) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with turns.same_step(context(store)), turns.exclusive(context(store, name="disk")):
            os.write(write, b"x")
            time.sleep(60)
        os._exit(0)
    assert os.read(read, 1) == b"x"
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    mine = context(store, name="disk")
    with turns.same_step(mine) as held, turns.exclusive(mine):
        assert held and mine.notices == []
    os.close(read)
    os.close(write)
