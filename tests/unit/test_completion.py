"""Shell completion: what is offered where, how it is written on bash's line, and that asking changes nothing."""

from __future__ import annotations

import os
import subprocess

import pytest
from cli_store import NEW, OLD, add, artifact, record, step, two_builds
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contractor.cli.complete import complete
from contractor.cli.complete.table import decode, encode, make_table
from contractor.cli.complete.words import Typed, showable, typed, written
from contractor.cli.main import COMMANDS, main
from contractor.store.layout import Store

SPEC = """contractor: 1
name: hello
parameters:
  WHO: {default: world, help: who is greeted}
  LEVEL: {default: low, choices: [low, high]}
  FLAG: {type: boolean, default: false}
matrix: {suite: [bookworm, trixie]}
pipelines:
  inner:
    steps:
      - {name: Inside, shell: make}
steps:
  - create-systree: {base: debian-12}
  - {name: "Test: it's", shell: make, secrets: [TOKEN]}
  - pipeline: inner
"""


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "contractor.yaml").write_text(SPEC)
    (tmp_path / "my dir").mkdir()
    (tmp_path / "my dir" / "other.yml").write_text(SPEC.replace("Inside", "Elsewhere"))
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def offered(*words: str) -> list[str]:
    """The values that go on with the last word."""
    return [it.value for it in complete.answer(words).candidates if it.value.startswith(words[-1])]


def test_the_table_is_what_the_parsers_say() -> None:
    assert complete.TABLE.read_text(encoding="utf-8") == encode(make_table(COMMANDS)), "run `make docs`"
    assert decode(complete.TABLE.read_bytes()) == make_table(COMMANDS)


def test_commands_and_the_first_options() -> None:
    assert offered("") == list(decode(complete.TABLE.read_bytes()))
    assert offered("pl") == ["plan"]
    assert offered("--v") == ["--version"]
    assert offered("nothing", "") == []


def test_options_that_are_given_are_not_offered_again() -> None:
    assert "--fresh" in offered("build", "--")
    assert "--fresh" not in offered("build", "--fresh", "--")
    assert "--output" not in offered("build", "-o", "out", "--o")
    assert "--parameter" in offered("build", "-p", "A=1", "--")
    assert offered("build", "--", "--") == []
    assert offered("build", "--")[-2:] == ["--help", "--store"] or offered("build", "--")[-1] in ("--help", "--store")


def test_builds_by_name_and_id(store) -> None:
    assert offered("log", "") == ["last", "hello", NEW, OLD]
    assert offered("show", "20250304") == [OLD]
    assert offered("clean", NEW, "20250304") == [OLD]
    assert offered("log", NEW, "2") == []  # there is one build, and it is given
    helps = {it.value: it.help for it in complete.answer(["log", ""]).candidates}
    assert helps[NEW] == "failed" and NEW in helps["hello"]


def test_only_the_newest_builds_but_all_names(store) -> None:
    for number in range(70):
        add(store, record(f"20250401-1015{number:02}-many-aaaa"))
    found = offered("log", "")
    assert len([value for value in found if value[:2] == "20"]) == 50
    assert found[:3] == ["last", "many", "hello"]


def test_a_build_that_died_is_said_to_have(store) -> None:
    add(store, record("20250401-101500-hello-dddd", "running"))
    assert {it.value: it.help for it in complete.answer(["log", ""]).candidates}["20250401-101500-hello-dddd"] == "died"


def test_steps_of_the_build_that_is_named(store) -> None:
    assert offered("log", "--step", "") == ["Compile", "Test", "Pack"]
    assert offered("log", OLD, "--step", "T") == ["Test"]
    assert "--step" not in offered("log", "--step=T", OLD, "")  # nothing but options can follow
    assert offered("log", "--step=T") == ["--step=Test"]
    assert offered("log", "--step", "2") == ["2"]
    assert offered("log", "nothing-like-it", "--step", "") == []


def test_an_argument_that_may_be_missing(store) -> None:
    assert offered("retry", "") == ["last", "hello", NEW, OLD, "Compile", "Test", "Pack"]
    assert offered("retry", OLD, "") == ["Compile", "Test"]
    assert complete.answer(["compare", "./x"]).who == "files"
    assert offered("compare", "la") == ["last"]


def test_steps_of_the_specification(store) -> None:
    names = ["create-systree debian-12", "Test: it's", "inner: Inside"]
    found = offered("build", "--from", "")
    assert found[:2] == names[:2] and "Inside" in found[2]
    assert "Elsewhere" in offered("build", "my dir/other.yml", "--until", "")[2]
    assert offered("build", "--only", "s") == ["suite="]
    assert offered("build", "--only", "T") == ["Test: it's"]


def test_parameters_matrix_and_secrets_of_the_specification(store) -> None:
    assert offered("build", "-p", "") == ["WHO=", "LEVEL=", "FLAG="]
    assert offered("plan", "-p", "LEVEL=") == ["LEVEL=low", "LEVEL=high"]
    assert offered("plan", "--parameter=FLAG=t") == ["--parameter=FLAG=true"]
    assert offered("plan", "--only", "suite=t") == ["suite=trixie"]
    assert offered("build", "--secret", "") == ["TOKEN="]
    assert complete.answer(["build", "--secret", "TOKEN=x"]).who == "files"
    assert all(it.more for it in complete.answer(["build", "-p", ""]).candidates)


def test_specifications_are_folders_and_yaml_files(store, tmp_path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert offered("build", "") == ["contractor.yaml", "my dir/", "store/"]
    assert offered("build", "my dir/") == ["my dir/other.yml"]
    assert offered("build", ".h") == [".hidden/"]
    assert offered("build", f"{tmp_path}/my") == [f"{tmp_path}/my dir/"]
    assert offered("build", "missing/") == []


def test_what_only_the_shell_knows() -> None:
    assert complete.answer(["build", "-o", "x"]).who == "dirs"
    assert complete.answer(["build", "--output=x"]).who == "dirs"
    assert complete.answer(["build", "--events", ""]).who == "files"
    assert complete.answer(["list", "-n", ""]).candidates == []


def test_parts_choices_artifacts_and_actions(store, tmp_path) -> None:
    assert offered("artifacts", "") == ["list", "get", "verify"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]
    assert "--output" in offered("artifacts", "get", "--")
    made = artifact(store, tmp_path / "my dir", "wheel")
    add(store, record("20250401-101500-made-aaaa", artifacts=(made,)))
    assert offered("artifacts", "get", "made", "") == ["wheel"]
    assert "create-systree" in offered("actions", "create")


def printed(capfdbinary, *words: str) -> list[bytes]:
    assert main(["__complete", *words]) == 0
    said = capfdbinary.readouterr()
    assert said.err == b""
    return said.out.splitlines()


@pytest.mark.parametrize(
    "words",
    [[], ["bash"], ["bash", "x"], ["zsh"], ["what", "build", ""], ["zsh", "log", "\udcff"], ["bash", "", ""]],
)
def test_nothing_is_ever_said_in_trouble(store, capfdbinary, words) -> None:
    printed(capfdbinary, *words)


@pytest.mark.parametrize("text", ["", "contractor: 1", "a: [", "contractor: 1\nname: x\nsteps: 3\n", "\x00", "- x"])
def test_a_specification_with_mistakes_offers_nothing(store, capfdbinary, text, tmp_path) -> None:
    (tmp_path / "contractor.yaml").write_text(text)
    assert printed(capfdbinary, "zsh", "build", "--from", "") == [b"words"]
    assert printed(capfdbinary, "zsh", "build", "-p", "") == [b"words"]


def test_a_pipe_is_not_waited_for(store, tmp_path) -> None:
    os.unlink(tmp_path / "contractor.yaml")
    os.mkfifo(tmp_path / "contractor.yaml")
    assert offered("build", "--from", "") == []


def test_asking_makes_no_store_and_changes_nothing(tmp_path, monkeypatch, capfdbinary) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "none"))
    (tmp_path / "folder").mkdir()
    for words in (
        ["log", ""],
        ["log", "--step", ""],
        ["build", "--from", ""],
        ["log", "--store", "folder", "--step", ""],
    ):
        assert printed(capfdbinary, "zsh", *words) == [b"words"]
    assert sorted(os.listdir(tmp_path)) == ["folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_the_store_that_is_named(store, monkeypatch) -> None:
    monkeypatch.setenv("CONTRACTOR_STORE", "/nonexistent")
    assert offered("log", "--store", store.root, "la") == ["last"]
    assert offered("log", f"--store={store.root}", "la") == ["last"]
    assert offered("log", "la") == []


def test_names_that_no_line_can_hold_are_left_out(store, capfdbinary, tmp_path) -> None:
    names = ("two\nlines", "a\tb", "bell\x07", "fine")
    add(store, record("20250401-101500-odd-aaaa", steps=tuple(step(name) for name in names)))
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    assert printed(capfdbinary, "zsh", "log", "odd", "--step", "") == [b"words", b"fine\t4, shell"]
    assert printed(capfdbinary, "bash", "contractor log odd --step ", "") == [b"words", b"fine"]
    assert b"\xff/" not in b"".join(printed(capfdbinary, "bash", "contractor build ", ""))


def test_helps_are_one_short_line(capfdbinary) -> None:
    lines = printed(capfdbinary, "fish", "build", "--")
    assert all(line.count(b"\t") == 1 and len(line.split(b"\t")[1]) < 70 for line in lines[1:])


def test_bash_gets_what_goes_on_with_the_word(store, capfdbinary) -> None:
    assert printed(capfdbinary, "bash", "contractor sho", "sho") == [b"words", b"show"]
    assert printed(capfdbinary, "bash", "contractor plan my", "my") == [b"nospace", b"my\\ dir/"]
    assert printed(capfdbinary, "bash", "contractor plan -p LEVEL=h", "h") == [b"words", b"high"]
    assert printed(capfdbinary, "bash", 'contractor build --from "Test: i', "Test: i") == [b"words", b"Test: it's"]
    assert printed(capfdbinary, "bash", "contractor build --from Test:\\ i", "\\ i") == [b"words", b"\\ it\\'s"]


TEXT = st.text(st.characters(codec="utf-8"), max_size=12).filter(showable)
WORDS = st.text(st.sampled_from("ab:=@ '\"\\$`~#*?[]{}();&|<>!,%^+-./é☃"), min_size=1, max_size=10)


def in_quotes(text: str, quote: str) -> str:
    """A beginning of a word as a person may type it, the quote left open."""
    if quote == "'":
        return "'" + text.replace("'", "'\\''")
    if quote == '"':
        return '"' + "".join(f"\\{c}" if c in '"\\$`' else c for c in text)
    return "".join(f"\\{c}" if c in " \t'\"\\$`~#*?[]{}();&|<>!" else c for c in text)


def replaced(word: str, quote: str) -> str:
    """The end of a typed word that bash takes for what it replaces: after an open quote, or a break character."""
    if quote:
        return word[word.rindex(quote) + 1 :] if quote == '"' else word.rpartition("'")[2]
    at = max((n + 1 for n, c in enumerate(word) if c in ":=@" and word[n - 1 : n] != "\\"), default=0)
    return word[at:]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(WORDS, st.integers(0, 10), st.sampled_from(["", "'", '"'])), min_size=1, max_size=12))
def test_a_completed_word_is_the_value_for_bash(cases) -> None:
    """Several at once: a bash that reads them is started each time."""
    lines, values = [], []
    for value, cut, quote in cases:
        begun = in_quotes(value[:cut], quote)
        if quote and quote in begun[1:]:
            continue  # the quote is closed and opened again: bash's word is not what `replaced` says
        text = replaced(begun, quote)
        place = typed(f"contractor log {begun}", text)
        assert place.words == ("contractor", "log", value[:cut])
        done = written(value, place)
        if done is None:
            assert quote == '"' and "!" in value
            continue
        lines.append(begun[: len(begun) - len(text)] + done + quote)
        values.append(value)
    assume(lines)
    script = "printf '%s\\0' " + " ".join(lines)
    run = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True)
    assert run.stdout.decode().split("\0")[:-1] == values


@given(st.lists(st.tuples(TEXT.filter(bool), st.sampled_from(["", "'", '"'])), max_size=5))
def test_words_are_read_back(words) -> None:
    line = "".join(in_quotes(text, quote) + quote + " " for text, quote in words if "\u3000" not in text)
    assert list(typed(line, "").words) == [*(text for text, _quote in words if "\u3000" not in text), ""]


@given(st.text(max_size=30), st.text(max_size=5))
def test_any_line_is_read(line, text) -> None:
    place = typed(line, text)
    assert place.words[-1].startswith(place.keep)
    assert place.quote in ("", "'", '"')


def test_a_home_folder_stays_a_tilde() -> None:
    assert written("~/my dir/", typed("contractor plan ~/my", "~/my")) == "~/my\\ dir/"
    assert written("~x", Typed(("contractor", ""), "", "")) == "\\~x"
