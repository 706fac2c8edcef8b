"""contractor pin: builds that nothing takes away."""

from __future__ import annotations

import json
import os
import time

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds

from contractor.build import removal
from contractor.cli.main import main
from contractor.core.errors import Unavailable
from contractor.store import layout
from contractor.store.layout import Store, take_lock
from contractor.store.pins import pin_of


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    def no_sandbox(**_given):
        raise Unavailable("no sandbox in unit tests")

    monkeypatch.setattr(removal, "choose", no_sandbox)
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def test_pin_list_and_remove(store, capsys):
    assert main(["pin"]) == 0
    assert "nothing is pinned" in capsys.readouterr().err
    assert main(["pin", OLD, NEW, "--reason", "ticket 12"]) == 0
    assert capsys.readouterr().out == f"pinned: {OLD} (ticket 12)\npinned: {NEW} (ticket 12)\n"
    assert main(["pin"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["build", "needs", "would", "free", "pinned", "reason"]
    assert {line.split()[0] for line in lines[1:]} == {OLD, NEW}
    assert lines[1].endswith("ticket 12")
    assert main(["pin", "--json"]) == 0
    pins = json.loads(capsys.readouterr().out)["pins"]
    assert [pin["reason"] for pin in pins] == ["ticket 12"] * 2
    assert pins[0].keys() == {"build", "at", "reason", "size", "alone", "gone"}
    assert main(["show", NEW]) == 0
    assert [line.split()[3:] for line in capsys.readouterr().out.splitlines() if "  pinned  " in line] == [
        ["ticket", "12"]
    ]
    assert main(["pin", "--remove", NEW]) == 0
    assert main(["pin", "--remove", NEW]) == 0
    found = capsys.readouterr()
    assert found.out == f"no longer pinned: {NEW}\n"
    assert f"not pinned: {NEW}" in found.err
    assert pin_of(store, NEW) is None and pin_of(store, OLD) is not None


def test_a_pin_gets_another_reason(store, capsys):
    assert main(["pin", OLD, "--reason", "one"]) == main(["pin", OLD, "--reason", "two"]) == 0
    pin = pin_of(store, OLD)
    assert pin is not None and pin.reason == "two"


def test_what_is_already_gone_is_said(store, capsys):
    add(store, record("20250310-101500-hello-ffff", steps=(step("Compile", key="3d" * 32),)))
    assert main(["pin", "last"]) == 0
    assert "no longer in the store: step 1 (Compile): its result" in capsys.readouterr().err


def test_clean_refuses_a_pinned_build_with_the_way_out(store, capsys):
    workspace = store.path("work", OLD, "place", "ws")
    os.makedirs(workspace)
    assert main(["pin", OLD, "--reason", "ticket 12"]) == 0
    assert main(["clean", OLD]) == main(["clean", NEW, OLD, "--records"]) == 2
    told = capsys.readouterr().err
    assert f"the build {OLD} is pinned: ticket 12" in told
    assert f"hint: `contractor pin --remove {OLD}` takes the pin away" in told
    assert os.path.exists(store.path("builds", NEW))
    assert main(["clean", "--kept"]) == 0
    assert f"left alone: {OLD} is pinned" in capsys.readouterr().err
    assert os.path.isdir(workspace)
    assert main(["gc", "--records-days", "1", "--size", "0"]) == 0
    assert os.listdir(store.path("builds")) == [OLD]


class Clock:
    """A minute passes between two looks."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 60.0
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def test_pinning_waits_for_gc(store, capsys, monkeypatch):
    lock = take_lock(store.path("locks", "gc"))
    assert lock is not None
    monkeypatch.setattr(layout, "time", Clock())
    assert main(["pin", OLD]) == 6
    os.close(lock)
    assert "waited" in capsys.readouterr().err
    assert pin_of(store, OLD) is None


@pytest.mark.parametrize(
    "argv",
    [
        ["--remove"],
        ["--reason", "x"],
        [OLD, "--json"],
        ["nothing"],
        [OLD, "--reason", "x" * 201],
    ],
)
def test_bad_requests(store, capsys, argv):
    assert main(["pin", *argv]) == 2
    assert "hint: " in capsys.readouterr().err
    assert pin_of(store, OLD) is None


def test_a_reason_of_any_bytes_is_kept_readable(store):
    assert main(["pin", OLD, "--reason", "a\udcffb\nc"]) == 0
    pin = pin_of(store, OLD)
    assert pin is not None and pin.reason == "a?b c"
