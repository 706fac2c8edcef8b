"""contractor log --grep: what matches, where it stands, and what is around it; patterns that take for ever."""

from __future__ import annotations

import json
import re
import time

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contractor.cli.commands import log
from contractor.cli.logs import grep as log_grep
from contractor.cli.logs.grep import Grep, Searcher, compile_pattern
from contractor.cli.logs.parts import Part
from contractor.cli.main import main
from contractor.core.errors import Rejected
from contractor.store.layout import Store

PART = Part("", 0, 0, "8. Compile", "b", 8, "Compile")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def out(capsys, *argv: str, code: int = 0) -> list[str]:
    assert main(["log", *argv]) == code
    return capsys.readouterr().out.splitlines()


def shown(
    capsys, data: bytes, pattern: str, *, context: int = 0, form: log_grep.Form = "pipe", cut: int = 0
) -> list[str]:
    """What a search of these bytes prints; they come in two pieces, cut at a place."""
    with Searcher(compile_pattern(pattern, ignore_case=False)) as searcher:
        sink = Grep(searcher, context, form)
        sink.begin(PART)
        sink.feed(data[:cut])
        sink.feed(data[cut:])
        sink.end()
    return capsys.readouterr().out.split("\n")[:-1]


def test_each_line_has_its_step_and_number(store, capsys):
    assert out(capsys, OLD, "--grep", "red|ok") == ["1 Compile:2:warning: red", "2 Test:2:ok 1", "2 Test:3:ok 2"]
    assert out(capsys, OLD, "--grep", "OK", "-i", "--step", "2") == ["2 Test:2:ok 1", "2 Test:3:ok 2"]


def test_a_cached_steps_lines_are_found_and_nothing_found_is_exit_code_1(store, capsys):
    assert out(capsys, NEW, "--grep", "^comp") == ["1 Compile:1:compiling"]
    assert out(capsys, NEW, "--grep", "^nothing", code=1) == []


def test_the_tail_is_searched_with_its_own_numbers(store, capsys):
    assert out(capsys, OLD, "--grep", "ok", "--tail", "1") == ["2 Test:3:ok 2"]
    assert out(capsys, OLD, "--grep", "compiling", "--tail", "2", code=1) == []


def test_attempts_say_which_build_a_line_is_of(store, capsys):
    again = "20250307-101500-hello-cccc"
    add(store, record(again, "failed", steps=(step("Test", "failed", log_end=5),)), b"ok 3\n")
    lines = out(capsys, OLD, "--step", "Test", "--attempts", "--grep", "ok [13]")
    assert lines == [f"{OLD}:2 Test:2:ok 1", f"{again}:1 Test:1:ok 3"]


def test_json_lines(store, capsys):
    first, second = (json.loads(line) for line in out(capsys, OLD, "--grep", "ok 2", "--json", "-C", "1"))
    assert first == {"build": OLD, "step": 2, "name": "Test", "line": 2, "text": "ok 1", "match": False}
    assert second["match"] is True


def test_context_and_its_separators(capsys):
    data = b"".join(b"%d\n" % number for number in range(1, 13))
    lines = shown(capsys, data, "^(3|4|9)$", context=1)
    assert [line.removeprefix("8 Compile") for line in lines] == [
        "-2-2",
        ":3:3",
        ":4:4",
        "-5-5",
        "--",
        "-8-8",
        ":9:9",
        "-10-10",
    ]


def test_a_terminal_gets_a_heading_and_the_matches_marked(capsys):
    assert shown(capsys, b"abcabc\n", "bc", form="terminal") == ["==> 8. Compile", "     1: abcabc"]
    marked = shown(capsys, b"abcabc\n", "bc", form="colour")[1]
    assert marked.endswith("a\x1b[1;31mbc\x1b[0ma\x1b[1;31mbc\x1b[0m")
    assert shown(capsys, b"abc\n", "x*", form="colour")[1].endswith(" abc")


def test_what_is_searched_is_what_a_person_sees(capsys):
    assert shown(capsys, b"\x1b[31merror\x1b[0m: x\r\n", "^error: x$") == ["8 Compile:1:error: x"]
    assert shown(capsys, b"10%\r20%\r\xffdone", "�done$") == ["8 Compile:1:�done"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is read out after each
@given(st.binary(max_size=200).map(lambda data: data.replace(b"\x01", b"\n")), st.integers(0, 200), st.integers(0, 3))
def test_pieces_and_context_change_no_match(capsys, data, cut, context):
    expected = [number for number, line in enumerate(data.split(b"\n"), 1) if b"a" in line]
    lines = shown(capsys, data, "a", form="json", cut=cut, context=context)
    found = [json.loads(line) for line in lines]
    wanted = [item["line"] for item in found if item["match"]]
    clean = [number for number in wanted if number in expected]
    assert clean == wanted  # what is not clean, such as an escape sequence with an "a", is no match
    numbers = [item["line"] for item in found]
    assert numbers == sorted(set(numbers))
    near = {n + d for n in wanted for d in range(-context, context + 1)}
    last = len(data.split(b"\n")) - (not data or data.endswith(b"\n"))
    assert set(numbers) == {n for n in near if 1 <= n <= last}


@pytest.mark.parametrize("text", ["foo(bar", "[z-a]", "*x", "(?P<n", "a{99999999999}", "(" * 200, "\\"])
def test_a_wrong_pattern_is_told_with_the_place(text):
    with pytest.raises(Rejected) as caught:
        compile_pattern(text, ignore_case=False)
    error = caught.value
    if error.details:
        assert error.details[1].strip() == "^"
        at = int(re.search(r"character (\d+)", error.message)[1]) - 1
        assert len(error.details[1]) - 1 == min(at, 30)
    assert error.hint


def test_a_pattern_that_takes_for_ever_is_given_up(capsys, monkeypatch):
    monkeypatch.setattr(log_grep, "_LOOK", 0.02)
    began = time.monotonic()
    with pytest.raises(Rejected, match="given up") as caught:
        shown(capsys, b"fine aa\n" + b"a" * 50 + b"b\n", r"(a+)+$")
    assert time.monotonic() - began < 5
    assert "line 2, which has 51 characters" in caught.value.details[0]
    assert capsys.readouterr().out == "8 Compile:1:fine aa\n"


def test_many_slow_lines_are_no_reason_to_give_up(capsys, monkeypatch):
    monkeypatch.setattr(log_grep, "_LOOK", 0.002)
    assert len(shown(capsys, b"a line\n" * 60_000, "line")) == 60_000


def test_long_lines_keep_their_numbers(capsys):
    data = b"x" * (3 << 20) + b"\nlast\n"
    assert shown(capsys, data, "last", cut=2 << 20) == ["8 Compile:2:last"]


def test_a_bad_pattern_ends_with_2(store, capsys):
    assert main(["log", OLD, "--grep", "("]) == 2
    assert "at character 1" in capsys.readouterr().err
    assert log.run([OLD, "--grep", "ok"]) == 0
