"""The conditions of a rebuild: what is chosen, what is said of it, and that all of it is put back."""

from __future__ import annotations

import locale
import os
import subprocess
import time
from pathlib import Path

import pytest
from proof_kit import plan

from contractor.build.inside import vary
from contractor.build.verify import conditions
from contractor.build.verify.conditions import VARIATIONS, Conditions, choose, constant, varied
from contractor.store.layout import Store

CLOCK = Path(vary.__file__).parents[2] / "data" / "clock"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(conditions, "_is_in_memory", lambda _path: False)
    monkeypatch.setattr(conditions, "_free_memory", lambda: 8 << 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    return Store(str(tmp_path / "store"))


def test_everything_that_is_asked_for_is_chosen_and_told(store: Store) -> None:
    found = choose(plan(), store, VARIATIONS)
    assert found.variation == vary.Variation(
        personality=True, cpus=2, hostname=conditions.HOST, tmpfs=2 << 30, date=True
    )
    assert found.umask >= 0
    assert found.skipped == ()
    said = varied(found, 3 * 3600)
    assert said[:2] == ("the time, by 3 hours", "another folder outside")
    assert len(said) == 2 + len(VARIATIONS)
    assert constant(found, VARIATIONS) == (
        "the user outside",
        "the machine and its kernel",
        "the order of files in the system tree",
    )


@pytest.mark.parametrize("name", VARIATIONS)
def test_one_alone_is_chosen_and_the_others_are_told_as_not_varied(store: Store, name: str) -> None:
    found = choose(plan(), store, [name])
    assert len(varied(found, 1)) == 3
    left = [text.split(" (")[0] for text in constant(found, [name])]
    assert left[:-3] == [other for other in VARIATIONS if other != name]


def test_nothing_is_chosen_that_was_not_asked_for(store: Store) -> None:
    found = choose(plan(), store, [])
    assert found == Conditions(vary.Variation())
    assert varied(found, -5) == ("the time (the clock went back)", "another folder outside")
    with found.outside():
        assert os.environ.get("PATH") != "/bin"


def test_what_this_machine_cannot_vary_is_told_with_the_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    monkeypatch.setattr(conditions, "_free_memory", lambda: 100 << 20)
    monkeypatch.setattr(conditions, "has_clock", lambda: False)
    found = choose(plan(), store, VARIATIONS)
    reasons = {text.split(" (")[0]: text for text in constant(found, VARIATIONS)}
    assert reasons["cpus"] == "cpus (there is one)"
    assert reasons["file-order"] == "file-order (the workspace does not fit into free memory)"
    assert reasons["date"] == f"date (there is no clock for {os.uname().machine})"
    assert not any("CPU" in text or "order" in text or "date" in text for text in varied(found, 1))
    monkeypatch.setattr(conditions, "_free_memory", lambda: 8 << 30)
    monkeypatch.setattr(conditions, "_is_in_memory", lambda _path: True)
    assert dict(choose(plan(), store, VARIATIONS).skipped)["file-order"] == "the store is in memory as well"


def test_a_state_that_is_too_large_for_memory_stays_on_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_size", lambda _path: 1 << 30)
    assert choose(plan(), store, VARIATIONS).variation.tmpfs == 0


def test_milder_takes_away_what_a_build_may_not_bear_once(store: Store) -> None:
    milder = choose(plan(), store, VARIATIONS).milder("it failed")
    assert milder is not None
    assert milder.variation == vary.Variation(cpus=2, hostname=conditions.HOST)
    assert milder.umask >= 0
    assert milder.environment
    assert {name for name, why in milder.skipped if why == "it failed"} == {"date", "kernel", "file-order"}
    assert milder.milder("again") is None


def test_outside_is_another_and_is_put_back_whatever_happens(store: Store) -> None:
    def seen() -> tuple[object, ...]:
        mask = os.umask(0)
        os.umask(mask)
        return mask, time.tzname, time.timezone, locale.setlocale(locale.LC_ALL), dict(os.environ)

    before = seen()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), choose(plan(), store, VARIATIONS).outside():
            within = seen()
            raise KeyboardInterrupt
        assert all(now != then for now, then in zip(within, before, strict=True))
        assert seen() == before


@pytest.mark.parametrize("zone", ["UTC", "<+13>-13", "<-11>+11", "Asia/Tokyo"])
def test_the_time_zone_is_another_wherever_one_is(zone: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        day = time.timezone
        with choose(plan(), store, ["environment"]).outside():
            assert abs(time.timezone - day) >= 5 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_folder_in_memory_is_known(tmp_path: Path) -> None:
    assert conditions._is_in_memory("/dev/shm")
    assert not conditions._is_in_memory("/proc")


def test_the_other_clock_is_added_to_what_a_tree_preloads(tmp_path: Path) -> None:
    vary.add_clock(str(tmp_path), b"/lib/its-own.so\n")
    assert (tmp_path / "ld.so.preload").read_text() == "/lib/its-own.so\n/etc/clock.so\n"
    said = subprocess.run(
        ["date", "+%F"], env={"LD_PRELOAD": str(tmp_path / "clock.so")}, capture_output=True, check=True
    )
    later = time.strftime("%F", time.localtime(time.time() + 398 * 86400 + 23312))
    assert said.stdout.decode().strip() == later


def test_the_other_clock_is_what_its_source_says(tmp_path: Path) -> None:
    """With the compiler that it was made by, to the byte; with another one it must at least compile."""
    for name in ("clock.c", "make.sh"):
        (tmp_path / name).write_bytes((CLOCK / name).read_bytes())
    made = subprocess.run(["sh", str(tmp_path / "make.sh")], capture_output=True, check=False)
    if (tmp_path / "clock-amd64.so").exists() and b"12.2.0" in subprocess.run(
        ["gcc", "--version"], capture_output=True
    ).stdout:
        assert (tmp_path / "clock-amd64.so").read_bytes() == (CLOCK / "clock-amd64.so").read_bytes()
    assert b"error" not in made.stderr
