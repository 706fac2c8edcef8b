"""Which step is meant, where two outputs differ, what is said and shown of attempts."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.debug.attempts import Retry, Tried
from contractor.build.debug.verdict import Attempt, verdict
from contractor.cli.commands import retry as command
from contractor.cli.commands.retry import next_steps
from contractor.cli.console.retry import RetryConsole
from contractor.cli.retry_output import Difference, first_difference, lines
from contractor.cli.retry_words import meant
from contractor.core.errors import Rejected
from contractor.core.events import BuildStarted, Notice, StepOutput
from contractor.plan.model import Plan, encode
from contractor.spec.model import Limits
from contractor.store.layout import Store
from contractor.store.records import Records

PLAN = Plan("hello", "amd64", 0, "given", {}, {}, (), Limits())
GOOD = Attempt("20250305-101500-hello-aaaa", "succeeded", exit_code=0, seconds=2.0)
BAD = Attempt("20250305-101500-hello-bbbb", "failed", exit_code=1, seconds=2.0)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    store = Store(str(tmp_path / "store"))
    two_builds(store)
    found = Records(store)
    for build in found.ids():
        Path(found.folder(build), "plan.json").write_bytes(encode(PLAN))
    return found


def attempt_at(records: Records, build: str) -> str:
    """A build that is a later attempt at the second step of another."""
    made = "20250306-101500-hello-cccc"
    store = Store(str(Path(records.folder("")).parent))
    again = [step("Compile", "not run"), step("Test"), step("Pack", "not run")]
    add(store, record(made, steps=tuple(again), asked=("--retry", build)))
    Path(records.folder(made), "plan.json").write_bytes(encode(PLAN))
    return made


@pytest.mark.parametrize(
    ("words", "build", "index"),
    [
        (("", ""), NEW, 1),  # the step that failed, of the last build
        (("Compile", ""), NEW, 0),
        (("3", ""), NEW, 2),
        (("pa", ""), NEW, 2),
        ((NEW, ""), NEW, 1),
        (("last", ""), NEW, 1),
        (("last~1", "test"), OLD, 1),
        ((OLD, "Compile"), OLD, 0),
    ],
)
def test_which_step_is_meant(records: Records, words: tuple[str, str], build: str, index: int) -> None:
    found = meant(records, *words)
    assert (found.record.id, found.step) == (build, index)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing", ""), "has no step 'nothing'"),
        (("7", ""), "has no step '7'"),
        ((OLD, ""), "no step of 20250304-101500-hello-aaaa failed"),
        (("20991231", ""), "there is no build 20991231"),
        (("20250305-101500-hello-bbbb", "nothing"), "has no step 'nothing'"),
    ],
)
def test_what_is_not_there_is_named(records: Records, words: tuple[str, str], says: str) -> None:
    with pytest.raises(Rejected, match=re.escape(says)) as caught:
        meant(records, *words)
    assert caught.value.hint


def test_a_word_that_is_a_step_and_a_build_is_refused_with_both(records: Records) -> None:
    store = Store(str(Path(records.folder("")).parent))
    made = "20250304-101500-test-cccc"
    add(store, record(made, "failed", steps=(step("Fails", "failed", exit_code=1),)))
    Path(records.folder(made), "plan.json").write_bytes(encode(PLAN))
    with pytest.raises(Rejected, match="'test' is a step of the last build, and a build"):
        meant(records, "test", "")


def test_the_last_build_being_an_attempt_its_build_is_meant(records: Records) -> None:
    attempt = attempt_at(records, NEW)
    assert meant(records, "", "").record.id == NEW
    assert meant(records, "hello", "test").record.id == NEW
    assert meant(records, attempt, "test").record.id == attempt


def test_an_attempt_whose_build_is_gone_stands_for_itself(records: Records) -> None:
    attempt = attempt_at(records, "20250101-101500-hello-dddd")
    assert meant(records, "", "test").record.id == attempt


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (b"a\nb\n", b"a\nb\n", None),
        (b"a\nb", b"a\nb\n", None),
        (b"a\nb\n", b"a\nc\n", Difference(2, b"c")),
        (b"a\nb\n", b"a\n", Difference(2, None)),
        (b"a\n", b"a\nb\n", Difference(2, b"b")),
        (b"in 3 s\nok\n", b"in 12 s\nok\n", Difference(1, b"in 12 s", digits=True)),
        (b"in 3 s\nok\n", b"in 4 s\nno\n", Difference(2, b"no")),
        (b"", b"", None),
    ],
)
def test_the_first_line_that_differs(one: bytes, other: bytes, found: Difference | None) -> None:
    assert first_difference([one], [other]) == found


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_lines_are_the_same_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert list(lines(pieces)) == list(lines([data]))
    assert first_difference(pieces, [data]) is None


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_outputs_differ_exactly_when_their_lines_do(one: bytes, other: bytes) -> None:
    assert (first_difference([one], [other]) is None) == (list(lines([one])) == list(lines([other])))


def screen(*, live: bool = False) -> tuple[RetryConsole, io.StringIO]:
    stream = io.StringIO()
    return RetryConsole(stream, colour=False, live=live, width=lambda: 100), stream


def test_a_line_for_each_attempt_and_the_verdict_below() -> None:
    shown, stream = screen()
    shown.header("Step 2, Test, of hello: 3 attempts", 3)
    shown.attempt(BAD, "")
    for number, attempt in enumerate((GOOD, BAD), 1):
        shown.begin(number, 3)
        shown.attempt(attempt, "output differs, line 3: ok")
    shown.verdict(verdict([BAD, GOOD, BAD]), ["nothing is kept"], ["contractor log", "contractor retry"])
    text = stream.getvalue()
    assert "✗ in the build  failed with exit code 1" in text
    assert "✓ 1 of 3        succeeded                        2.0 s  output differs, line 3: ok" in text
    assert "Flaky: of 3 attempts 1 succeeded, 2 failed with exit code 1\n  nothing is kept\n" in text
    assert text.endswith("hint: contractor log\n      contractor retry\n")
    assert "\x1b" not in text


def test_the_running_attempt_is_drawn_only_on_a_terminal_and_leaves_a_clean_line() -> None:
    for live in (False, True):
        shown, stream = screen(live=live)
        shown.begin(1, 3)
        shown.handle(
            BuildStarted(at=100.0, build="b", name="n", arch="", plan="", tier="", steps=(), parent="", record="")
        )
        shown.handle(StepOutput(at=101.0, build="b", step=0, data=b"\x1b[31mcompiling\n"))
        shown.tick(103.0)
        assert ("1 of 3" in stream.getvalue()) is live
        assert "\x1b[31m" not in stream.getvalue()
        shown.close()
        assert stream.getvalue().endswith("\x1b[?25h") is live


def test_a_warning_is_said_once() -> None:
    shown, stream = screen()
    for _ in range(3):
        shown.handle(Notice(at=1.0, build="b", text="left out \x1b[2J", level="warning"))
    assert stream.getvalue() == "! left out \n"


def tried(attempt: Attempt, left: str = "") -> Tried:
    steps = (step("Test", attempt.outcome, left=left),)
    return Tried(attempt, record(attempt.build, attempt.outcome, steps=steps))


def test_what_to_do_next_follows_from_the_verdict() -> None:
    retry = Retry(record(NEW, "failed", steps=(step("Test", "failed", left="state"),)), PLAN, 0)
    cases = {
        "contractor shell": [BAD, BAD],
        "contractor log": [GOOD, BAD],
        "contractor doctor": [Attempt("b", "broken"), GOOD],
        "raise `limits: {memory: ...}`": [Attempt("b", "out-of-limits", limit="memory"), GOOD],
        f"contractor retry {NEW} 1 --until-failure": [GOOD, GOOD],
        f"contractor retry {NEW} 1 --times 5": [GOOD],
    }
    for words, attempts in cases.items():
        found = next_steps(verdict(attempts), retry, [tried(attempt) for attempt in attempts])
        assert found[0].startswith(words), (words, found)


@pytest.mark.parametrize("arguments", [["--times", "0"], ["--times", "100000"], ["--times", "-3"]])
def test_a_number_of_attempts_that_makes_no_sense_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(Rejected, match="from 1 to"):
        command.run(["--store", str(tmp_path / "s"), *arguments])
