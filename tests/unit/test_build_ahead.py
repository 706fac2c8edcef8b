"""Which step's sandbox may be set up before its turn, and when Contractor takes one that was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from contractor.build.ahead import following
from contractor.build.steer import Steering
from contractor.plan.model import Action, Plan
from contractor.sandbox.ahead import Announced, gate, waits
from contractor.sandbox.spec import SandboxSpec
from contractor.spec.model import EmptyWorkspace, Limits, Place, Shell, Step


def _action(name: str, *, layers: tuple[str, ...] = ("tree",), **step: object) -> Action:
    made = Step(action=Shell(script=name), name=name, place=Place("f", 1, 1), **step)  # type: ignore[arg-type]
    return Action(
        kind="shell", step=made, key=name, inputs={}, env={}, hosts=(), layers=layers, before="", after=name
    )  # fmt: skip


def _plan(*actions: Action) -> Plan:
    return Plan(
        name="p", arch="amd64", epoch=0, epoch_origin="", parameters={}, matrix={}, actions=actions, limits=Limits()
    )  # fmt: skip


ONE, TWO = _action("one"), _action("two")


def test_a_shell_step_after_a_shell_step() -> None:
    assert following(_plan(ONE, TWO), 0, Steering()) is TWO
    assert following(_plan(ONE, TWO), 1, Steering()) is None


def test_the_first_may_have_network_and_secrets() -> None:
    first = _action("one", network=("a.example",), secrets=("key",))
    assert following(_plan(first, TWO), 0, Steering()) is TWO


@pytest.mark.parametrize(
    "after",
    [
        _action("two", network=("a.example",)),
        _action("two", secrets=("key",)),
        _action("two", exclusive="device"),
        _action("two", layers=("tree", "apt")),
        msgspec.structs.replace(
            TWO, kind="empty-workspace", step=msgspec.structs.replace(TWO.step, action=EmptyWorkspace())
        ),
    ],
)  # fmt: skip
def test_not_before_these(after: Action) -> None:
    assert following(_plan(ONE, after), 0, Steering()) is None


def test_not_after_another_action() -> None:
    first = msgspec.structs.replace(ONE, kind="apt")
    assert following(_plan(first, TWO), 0, Steering()) is None


@pytest.mark.parametrize(
    "steering",
    [
        Steering(last=0), Steering(breaks=frozenset({1})), Steering(instead=1), Steering(after=1), Steering(debug=True),
        Steering(needed=frozenset({0})), Steering(trial=lambda _context, _made: None),
    ],
)  # fmt: skip
def test_not_where_somebody_may_come_in_between(steering: Steering) -> None:
    assert following(_plan(ONE, TWO), 0, steering) is None


def test_after_the_last_but_one() -> None:
    assert following(_plan(ONE, TWO, _action("three")), 0, Steering(last=1)) is TWO
    assert following(_plan(ONE, TWO, _action("three")), 0, Steering(needed=frozenset({0, 1}))) is TWO


SPEC = SandboxSpec(argv=("true",), mounts=(), env={}, limits=Limits())


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        for fd in (read, write):
            try:
                os.close(fd)
            except OSError:
                continue


def test_who_waits_is_taken_once(pipe: tuple[int, int]) -> None:
    announced = Announced()
    announced.announce(SPEC, pipe[0])
    assert announced.take(msgspec.structs.replace(SPEC)) == pipe[0]
    assert announced.take(SPEC) is None


def test_another_spec_gives_it_up(pipe: tuple[int, int]) -> None:
    announced = Announced()
    announced.announce(SPEC, pipe[0])
    assert announced.take(msgspec.structs.replace(SPEC, cwd="/")) is None
    assert announced.take(SPEC) is None
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(pipe[0])


def test_one_that_is_gone_or_has_spoken_does_not_wait(pipe: tuple[int, int]) -> None:
    read, write = pipe
    assert waits(read)
    os.write(write, b"bwrap: No space left on device\n")
    assert not waits(read)
    os.read(read, 100)
    assert waits(read)
    os.close(write)
    assert not waits(read)
    assert not waits(-1)


def test_gate_opens_for_a_byte_and_never_ends() -> None:
    ours = gate()
    theirs = os.dup(ours)
    try:
        os.set_blocking(theirs, False)
        with pytest.raises(BlockingIOError):
            os.read(theirs, 1)
        os.write(ours, b"g")
        os.close(ours)
        assert os.read(theirs, 1) == b"g"
        with pytest.raises(BlockingIOError):
            os.read(theirs, 1)
    finally:
        os.close(theirs)
