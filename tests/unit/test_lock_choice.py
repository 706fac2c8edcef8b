"""Which steps a new lock asks for, which it holds to their versions, and which stay as they are."""

from __future__ import annotations

import msgspec
import pytest
from lock_kit import APT, base_plan, lock_of, plan, steps_of

from contractor.build.lock.choice import Update, choose, require_known
from contractor.build.lock.entries import is_whole
from contractor.build.lock.replay import apt_files
from contractor.build.network import Replay
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.plan.lock import OLDER, Lock
from contractor.plan.locked import asks
from contractor.plan.model import Held, Plan
from contractor.spec import model
from contractor.store.results import Result

TOOLS = plan(APT)
LOCK = lock_of(TOOLS)


def chosen(whole: Plan, old: Lock | None = LOCK, **update) -> dict[str, str]:
    """What is done with each step that installs packages, by its name."""
    wanted = Update(**{name: frozenset(v) if isinstance(v, tuple) else v for name, v in update.items()})
    found = choose(whole, asks(whole), old, wanted)
    names = {a.key: a.step.name for kind in ("debootstrap", "apt") for a in steps_of(whole, kind)}
    return {names[key]: choice.how for key, choice in found.items()}


@pytest.mark.parametrize(
    ("update", "boot", "apt"),
    [
        ({}, "keep", "keep"),
        ({"everything": True}, "ask", "ask"),
        ({"packages": ("hello",)}, "keep", "hold"),
        ({"packages": ("other",)}, "keep", "keep"),
        ({"bases": ("debian-12",)}, "ask", "keep"),
        ({"bases": ("debian-12",), "packages": ("libc6",)}, "hold", "keep"),
    ],
)
def test_what_moves_is_what_was_named(update, boot, apt):
    assert chosen(TOOLS, **update) == {"debootstrap bookworm": boot, "apt hello": apt}


def test_without_a_lock_everything_is_asked():
    assert set(chosen(TOOLS, None).values()) == {"ask"}


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (plan(model.Apt(("hello", "cowsay"))), {"debootstrap bookworm": "keep", "apt hello cowsay": "hold"}),
        (plan(APT, base=base_plan(include=("gcc",))), {"debootstrap bookworm": "hold", "apt hello": "hold"}),
        (plan(APT, base=base_plan(suite="trixie")), {"debootstrap trixie": "ask", "apt hello": "ask"}),
        (
            plan(APT, model.Apt(("gcc",))),
            {"debootstrap bookworm": "keep", "apt hello": "keep", "apt gcc": "ask"},
        ),
    ],
)
def test_a_changed_step_keeps_the_versions_that_it_had_but_never_those_of_another_debian(whole, expected):
    assert chosen(whole) == expected


def test_a_held_step_is_pinned_to_all_versions_but_those_that_move():
    found = choose(TOOLS, asks(TOOLS), LOCK, Update(packages=frozenset({"hello"})))
    (held,) = [choice for choice in found.values() if choice.how == "hold"]
    assert held.held.pins == {"libc6": "2.36"}  # of the base, which stays
    assert held.held.opened
    assert held.held.older and all(line.startswith(f"deb {OLDER}") for line in held.held.older)
    assert held.entry is not None and all(answer.url.startswith(OLDER) for answer in held.entry.answers)


def test_what_apt_is_told():
    fetches = LOCK.steps[1].fetches()
    held = Held(
        pins={"libc6": "2.36"}, older=("deb http://locked.invalid/x/deb.debian.org/debian bookworm main",),
        packages=("hello:amd64=1:1.0",), opened=True,
    )  # fmt: skip
    strict = apt_files(Replay.of(fetches, "the lock"), msgspec.structs.replace(held, opened=False))
    assert strict["/run/contractor/apt.conf"] == b'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n'
    assert b"[check-valid-until=no check-date=no] http://locked" in strict["/run/contractor/sources.list"]
    assert strict["/run/contractor/preferences"] == b"Package: libc6\nPin: version 2.36\nPin-Priority: 1001\n"
    opened = apt_files(Replay.of(fetches, "the lock")._replace(asks="rest"), held)
    assert opened["/run/contractor/apt.conf"] == b""  # today's archive must be of today
    indexes = apt_files(Replay.of(fetches, "the lock")._replace(asks="indexes"), held)
    assert indexes["/run/contractor/apt.conf"] == indexes["/run/contractor/sources.list"] == b""
    assert indexes["/run/contractor/preferences"].startswith(b"Package: hello\nPin: version 1:1.0\n")
    assert apt_files(None, None) == {}


@pytest.mark.parametrize(
    ("update", "says", "hint"),
    [
        (Update(packages=frozenset({"helo"})), "the lock has no package helo", "did you mean hello?"),
        (Update(packages=frozenset({"libc6"})), "but by its base debian-12", "--update libc6 --base debian-12"),
        (Update(packages=frozenset({"lib"}), bases=frozenset({"debian-12"})), "the base debian-12 has", "lib"),
        (Update(bases=frozenset({"debian-13"})), "there is no such base", "debian-12"),
        (Update(packages=frozenset({"zz"})), "the lock has no package zz", "contractor lock SPEC"),
    ],
)
def test_what_is_not_there_cannot_be_updated(update, says, hint):
    with pytest.raises(Rejected, match=says) as caught:
        require_known(update, LOCK, [TOOLS])
    assert hint in caught.value.hint


def test_nothing_of_no_lock_can_be_updated():
    with pytest.raises(Rejected, match="there is no lock yet"):
        require_known(Update(packages=frozenset({"hello"})), None, [TOOLS])
    require_known(Update(everything=True), None, [TOOLS])


@pytest.mark.parametrize(
    ("fetch", "whole"),
    [
        (Fetch("GET", "http://x/a", "allowed", 200, kept=True), True),
        (Fetch("GET", "http://x/a", "allowed", 206), False),
        (Fetch("CONNECT", "x:443", "allowed", 200), False),
        (Fetch("GET", "http://x/a", "allowed", 503), False),
        (Fetch("GET", "http://x/a", "refused", 403), False),
    ],
)
def test_only_what_was_kept_whole_can_be_locked_as_it_was_built(fetch, whole):
    made = Result("k", "apt", "n", "b", 1.0, 1.0, {}, fetches=(fetch,))
    assert is_whole(made) == whole
