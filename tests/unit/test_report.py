"""contractor report: what a page says of a build."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from fake_build import FakeBuild
from html_page import Page
from plan_kit import OUT, TREE, keep, named, planned

from contractor.cli.main import main
from contractor.core.errors import Outcome
from contractor.core.events import ArtifactInfo, Notice, ShellFinished, StepFetched, encode
from contractor.core.fetch import Fetch
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.records import Records

BASE = "20250304-101400-debian-12-0001"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def report(capfdbinary, *argv: str) -> Page:
    assert main(["report", "-o", "-", *argv]) == 0
    return Page(capfdbinary.readouterr().out.decode())


def text_of(page: Page) -> str:
    return " ".join(page.all("body")[0].split())


def section(page: Page, name: str) -> str:
    """The text of the section whose heading has this id."""
    return " ".join(page.all("section", **{"aria-labelledby": name})[0].split())


def test_a_failed_build_says_at_its_top_what_to_do(store, capfdbinary):
    page = report(capfdbinary, NEW)
    top = text_of(page)[: text_of(page).index("Steps", 200)]
    assert "hello failed in step 2 of 3 after 12 s 1 step run · 1 cached · 1 not run" in top
    assert "2025-03-04 10:15:00 UTC" in top
    assert "the step 'Test' failed line" in top
    assert "The last lines of step 2, Test: not ok 1 The command said no: the project has to change." in top
    assert "Hint contractor log" in top
    assert page.all("title") == [f"hello failed: {NEW}"]
    assert [attributes["class"] for tag, attributes in page.elements if "open" in attributes] == ["step decisive"]


def test_steps_say_what_became_of_them_and_have_their_logs(store, capfdbinary):
    page = report(capfdbinary, NEW)
    rows = [" ".join(text.split()) for text in page.all("summary", class_="row")]
    assert rows == [
        "✓1 Compile cached cached",
        "✕2 Test failed 0 ms, from 0 ms after the start",
        "–3 Pack not run not run",
    ]
    assert f"made by {OLD}" in text_of(page)
    assert "took there 2.0 s" in text_of(page)
    assert [text.split() for text in page.all("ol", start="1")] == [
        ["compiling", "warning:", "red", "linke"],  # where the record says that the step ended
        ["not", "ok", "1"],
    ]
    assert page.all("span", class_="c1") == ["red", "linke"]  # as on a terminal: nobody ended the colour


def test_a_good_build_shows_artifacts_fetches_packages_and_environment(store, capfdbinary):
    artifact = ArtifactInfo("hello", "a" * 64, 20480, 3, 2300, "directory", "out/hello")
    fetch = Fetch("GET", "http://example.org/x", "allowed", 200, 5_000_000, "b" * 64, "", 1.0, 0.5)
    no = Fetch("CONNECT", "evil.example:443", "refused", 0, 0, "", "not in the step's network")
    steps = (
        step("Tree", packages=("a=1", "b=2")),
        step("Get", packages=("a=1", "b=2", "c=3"), fetches=(fetch, no), secrets=("TOKEN",), cpu_seconds=0.02),
    )
    values = {"parameters": {"P": "v"}, "matrix": {"arch": "arm64"}, "inputs": {"source": "c" * 64}}
    more = {"tools": {"bwrap": "0.8"}, "host": {"kernel": "Linux 6"}, "asked": ("--until", "2"), "kept": "/kept"}
    build = "20250306-101500-hello-cccc"
    add(store, record(build, steps=steps, artifacts=(artifact,), **values, **more))
    page = report(capfdbinary, build)
    assert "built in 12 s 2 steps run · 2 requests, 5.0 MB, 1 refused · 1 artifact, 20 kB" in text_of(page)
    assert f"hello out/hello {'a' * 64} directory 3 20 kB 2.3 kB" in section(page, "artifacts")
    ledger = section(page, "fetches")
    assert ledger.index("evil.example:443 not in the step's network refused") < ledger.index("http://example.org/x")
    assert f"{'b' * 64} allowed 200 5.0 MB 0.5 s" in ledger
    assert "Packages, 1 new of 3 in the tree c=3" in text_of(page)
    rest = section(page, "environment")
    for fact in ("P v", "arch arm64", "bwrap 0.8", "kernel Linux 6", "TOKEN step 2", "isolation id-range", "memory 4G"):
        assert fact in rest
    for fact in ("options --until 2", "workspace kept /", "source " + "c" * 64):
        assert fact in rest
    assert "processor time 20 ms" in text_of(page)
    assert "failure" not in page.attributes("id")


def test_what_the_plan_knows_is_shown(store, capfdbinary):
    shell = named("Compile", model.Shell("make\nmake install\n"), env={"CC": "gcc"})
    plan = planned(TREE, shell, named("Pkgs", model.Apt(("gcc", "make"))), OUT, name="widget")
    keep(store, plan, "20250306-101500-widget-cccc")
    text = text_of(report(capfdbinary, "widget"))
    assert "Script, 2 lines make make install" in text
    assert "CC gcc" in text
    assert "packages gcc, make" in text
    assert "files **" in text


def test_differences_to_the_last_good_build(store, capfdbinary):
    def plan(script: str, *packages: str):
        return planned(TREE, named("Get", model.Apt(packages)), named("Make", model.Shell(script)), OUT, name="widget")

    good, bad = "20250306-101500-widget-aaaa", "20250306-111500-widget-bbbb"
    keep(store, plan("cd src\nmake\n", "gcc"), good, more={1: {"packages": ("gcc=12",)}}, parameters={"P": "1"})
    between = keep(
        store, plan("other", "gcc"), "20250306-101600-widget-aaab", "succeeded", "cached", "failed", "not run"
    )
    assert between.outcome == "succeeded"  # but not whole
    ends = ("succeeded", "succeeded", "failed", "not run")
    more = {1: {"packages": ("gcc=13",)}}
    new = plan("cd src\nmake all\n", "gcc", "make")
    keep(store, new, bad, *ends, more=more, outcome="failed", message="no", parameters={"P": "2"})
    page = report(capfdbinary, bad)
    text = section(page, "differences")
    assert good in text
    assert "Parameters P 1 -> 2" in text
    assert "~ 2 Get packages grew by make" in text
    assert "@@ -1,2 +1,2 @@ cd src -make +make all" in text
    assert "~ gcc 12 -> 13" in text
    assert "Outcome" not in text
    assert page.all("ins")[-1].strip() == "+make all"
    assert "differences" not in report(capfdbinary, good).attributes("id"), "there is none before it"


def test_the_same_inputs_with_another_end_are_told(store, capfdbinary):
    plan = planned(TREE, OUT, name="widget")
    keep(store, plan, "20250306-101500-widget-aaaa")
    keep(store, plan, "20250306-111500-widget-bbbb", "cached", "failed", outcome="failed", message="no")
    keep(store, plan, "20250306-121500-widget-cccc")
    first, second = (section(report(capfdbinary, build), "differences") for build in ("20250306-11", "20250306-12"))
    assert "what fails depends on something that is no input" in first
    assert "The same went in, and the same came out" in second


def test_taint_is_prominent(store, capfdbinary):
    steps = (step("A", tainted="a shell changed it"), step("B"))
    add(store, record("20250306-101500-hello-cccc", steps=steps, tainted="a shell of step 1 changed files"))
    page = report(capfdbinary, "hello")
    assert page.all("h2")[0] == "This build is tainted"
    assert "a shell of step 1 changed files" in text_of(page)
    assert page.all("span", class_="tag limit") == ["tainted"]
    assert "Tainted: a shell changed it" in text_of(page)


def test_a_base_names_who_needed_it_and_is_named_there(store, capfdbinary):
    add(store, record(BASE, steps=(step("debootstrap"),), parent=OLD, seconds=15.0))
    made = Records(store).read(OLD)
    build = "20250306-101500-hello-cccc"
    gone = {"debian-12": BASE, "debian-13": "20250304-101400-debian-13-0001"}
    add(store, record(build, steps=made.steps, bases=gone))
    text = text_of(report(capfdbinary, build))
    assert f"debian-12 succeeded, 15 s: contractor report {BASE}" in text
    assert "debian-13 its record is gone" in text
    assert f"base of {OLD}" in text_of(report(capfdbinary, BASE))


def test_a_running_build_is_told_as_such_and_has_its_log_so_far(store, capfdbinary):
    with FakeBuild(store, "Get", "Make", "Pack") as build:
        build.cached(0, OLD)
        build.begins(1)
        build.writes(b"compiling\n")
        log = f"{Records(store).folder(build.id)}/log"
        os.utime(log, (0, time.time() + 5))
        values = {"method": "GET", "url": "http://x/", "verdict": "allowed"}
        build.emit(StepFetched, step=1, size=7, **values)
        page = report(capfdbinary, build.id)
    text = text_of(page)
    assert re.search(r"2 Make running [\d.]+ s, from", text), "the log tells that it still writes"
    assert "is still running, in step 2 of 3: this is its state after" in text
    assert "✓1 Get cached" in text.replace("✓ 1", "✓1")
    assert "compiling" in page.all("ol", start="1")[0]
    assert "1 request, 7 B" in text
    assert "failure" not in page.attributes("id")


def test_a_build_that_died_says_so(store, capfdbinary):
    with FakeBuild(store, "Get", "Make") as build:
        build.begins(0)
        build.writes(b"half a li")
    page = report(capfdbinary, build.id)
    assert "died in step 1 of 2" in text_of(page)
    assert "It was killed, or the machine went down" in text_of(page)
    assert "The last lines of step 1, Get: half a li" in text_of(page)


def test_an_aborted_build(store, capfdbinary):
    with FakeBuild(store, "Get", "Make") as build:
        build.begins(0)
        build.ends_step(0, Outcome.ABORTED)
        build.ends(Outcome.ABORTED, at_step=0)
    page = report(capfdbinary, build.id)
    assert "was aborted in step 1 of 2" in text_of(page)
    assert "Stopped because someone asked; finished steps are kept." in text_of(page)


def test_notices_come_once_with_their_step(store, capfdbinary):
    with FakeBuild(store, "Get") as build:
        build.begins(0)
        build.emit(ShellFinished, step=0, code=0, changed=2)
        for _again in range(2):
            build.emit(Notice, text="memory is only watched", level="warning", step=0)
        build.ends()
    page = report(capfdbinary, build.id)
    assert [" ".join(text.split()) for text in page.all("ul", class_="notices")] == [
        "Step 1: somebody had a shell here and changed 2 files Step 1: memory is only watched"
    ]


@pytest.mark.parametrize("gone", ["log", "plan.json", "events.jsonl"])
def test_what_is_gone_is_told_and_the_rest_is_shown(store, capfdbinary, gone):
    Path(Records(store).folder(OLD), gone).unlink(missing_ok=True)
    text = text_of(report(capfdbinary, NEW))
    assert ("the log of step 1. Compile is gone with the record of" in text) == (gone == "log")
    assert "not ok 1" in text


def test_a_log_that_was_cut_off(store, capfdbinary):
    os.truncate(f"{Records(store).folder(OLD)}/log", 0)
    assert "the file is shorter than the record says" in text_of(report(capfdbinary, OLD))


def test_a_build_that_is_not_there(store, capsys):
    assert main(["report", "nothing"]) == 2
    assert "there is no build nothing" in capsys.readouterr().err
    assert not list(Path().glob("*.html"))


def test_events_of_another_version_are_passed_over(store, capfdbinary):
    folder = Records(store).folder(NEW)
    notice = encode(Notice(at=1.0, build=NEW, text="seen", level="info"))
    Path(folder, "events.jsonl").write_bytes(b'{"v":9}\nnonsense\n' + notice)
    assert "seen" in text_of(report(capfdbinary, NEW))
