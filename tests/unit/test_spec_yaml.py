"""Hostile and unlucky texts: each gets a quick answer with a place, a reason and a hint, never another exception."""

# ruff: noqa: E501 - a row of a table is one line, however long

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_spec_rules import HEAD, TREE, check, problems

from contractor.spec import parse
from contractor.spec.load import load_spec
from contractor.spec.problems import SpecError, shown

GOOD = HEAD + "steps: [empty-workspace]\n"
SYNTAX = {
    "": ["1:1 the specification is empty | a specification begins with"],
    "# nothing\n": ["1:1 the specification is empty"],
    "~": ["1:1 the specification is empty"],
    "hello": ["1:1 a specification is a mapping, not a text"],
    "- a": ["1:1 a specification is a mapping, not a list"],
    "a: 1\n\tb: 2": ["2:1 a tab stands where YAML wants spaces | indent with spaces"],
    "a: |\n\tb": ["2:1 a tab stands where YAML wants spaces | indent with spaces"],
    "a: b: c": ["1:5 a second colon, or a line indented too far"],
    "a: 'x\nb: c": ["1:4 the quote that begins here is never closed"],
    "a: @x": ["1:4 a value begins with @, which YAML keeps for itself | quote it"],
    "a: `x`": ["1:4 a value begins with `, which YAML keeps for itself | quote it"],
    'a: "\\q"': ["1:5 a wrong escape in a double-quoted text | use single quotes"],
    "a: [*.deb]": ["1:6 a value begins with *, which YAML takes for an alias | quote it: '*.deb'"],
    "a: [b": ["1:4 the list that begins here is not closed"],
    "a: {b: c": ["1:4 the mapping that begins here is not closed"],
    "a:\n  - b\n c: d": ["3:2 this line does not fit the mapping around it"],
    "- a\nb: c": ["2:1 this line does not fit the list around it"],
    "a: !e!x y": ["1:4 tags (!) are not allowed"],
    "%YAML 3.0\n---\na: 1": ["1:1 the %YAML line asks for another YAML"],
    "a: x\nb": ["2:1 a key without a colon"],
    "a: - b": ["1:4 a - stands where no list may begin"],
    "a: |x\n  b": ["1:5 after | or > the text must begin on the next line"],
    GOOD + "---\n" + GOOD: ["5:1 a second document begins here | write one specification a file"],
    GOOD + "\0": ["4:1 the character U+0000 is not allowed in YAML"],
    GOOD + "a: \ud800": ["4:4 the character U+D800 is not allowed in YAML"],
    GOOD + "a: \x1b[31m": ["4:4 the character U+001B is not allowed in YAML"],
    b"name: \xff": ["1:7 the byte 0xff is not UTF-8 | save the file as UTF-8"],
    "é: 1\nné: ".encode() + b"\xe9": ["2:5 the byte 0xe9 is not UTF-8"],
    GOOD.encode("utf-16"): ["1:1 the file is UTF-16 | save it as UTF-8"],
    "[" * 100: ["1:33 lists and mappings are nested deeper than 32"],
    "x: " + "{a: " * 100: ["1:128 lists and mappings are nested deeper than 32"],
    GOOD + "summary: !!python/object/apply:os.system [x]": ['4:10 the tag "!!python/object/apply:os.system" is not allowed'],
    GOOD + "summary: !!str 1": ['4:10 the tag "!!str" is not allowed | leave it out'],
    GOOD + "summary: &a x": ["4:10 the anchor &a is not allowed"],
    GOOD + "diagnostics: [*logs]": ["4:15 the alias *logs is not allowed: a specification says everything where it is | quote it if it is a glob: '*logs'"],
    GOOD + "env: {<<: {A: b}}": ["4:7 the merge key << is not allowed"],
    GOOD + "? [a]\n: b": ["4:3 a key must be a text, not a list or a mapping"],
    GOOD + 'summary: "a\\0b"': ["4:10 the text holds a NUL character"],
}  # fmt: skip


@pytest.mark.parametrize("text", SYNTAX, ids=range(len(SYNTAX)))
def test_syntax(text):
    check(problems(text), SYNTAX[text])


@pytest.mark.parametrize("text", SYNTAX, ids=range(len(SYNTAX)))
def test_without_libyaml_everything_is_refused_too(text, monkeypatch):
    monkeypatch.setattr(parse, "LOADER", yaml.SafeLoader)
    found = problems(text)
    assert len(found) == 1 and not found[0].endswith("| ")
    assert abs(int(found[0].split(":")[0]) - int(SYNTAX[text][0].split(":")[0])) <= 1  # it looks less far ahead


def test_without_libyaml_a_specification_is_the_same(monkeypatch):
    text = HEAD + TREE + "  - shell: |\n      a\n\n      b\n  - apt: [a1, 'b2']\n"
    with_it = load_spec(text)
    monkeypatch.setattr(parse, "LOADER", yaml.SafeLoader)
    assert load_spec(text) == with_it


def test_a_half_character_is_refused_by_both_loaders(monkeypatch):
    text = GOOD + 'summary: "\\ud800"'
    check(problems(text), ["4:13 a wrong escape in a double-quoted text"])
    monkeypatch.setattr(parse, "LOADER", yaml.SafeLoader)
    check(problems(text), ["4:10 the text holds half a character"])


def test_byte_order_mark_and_windows_lines():
    text = "\ufeff" + GOOD.replace("\n", "\r\n") + "  "
    assert load_spec(text.encode()) == load_spec(GOOD)


def test_yaml_1_1_does_not_change_what_was_written():
    spec = load_spec(
        HEAD
        + "summary: 1.10\nmatrix: {python: [3.10, no, 0o17, 1e3, 12:30:45, 2001-01-01, .inf, =]}\n"
        + "parameters: {V: {default: 1.10}, OK: {default: off}}\nenv: {A: yes, B: 010, C: 'null', D: ''}\n"
        + TREE
    )
    assert spec.summary == "1.10"
    assert spec.matrix["python"] == ("3.10", "no", "0o17", "1e3", "12:30:45", "2001-01-01", ".inf", "=")
    assert [p.default for p in spec.parameters] == ["1.10", "off"]
    assert spec.env == {"A": "yes", "B": "010", "C": "null", "D": ""}


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return GOOD + "\n".join(lines)


LARGE = {
    "bomb": bomb(),
    "ten megabytes": GOOD + "# " + "x" * (10 << 20),
    "ten megabytes of bytes": b"\xff" * (10 << 20),
    "many values": GOOD + "x: [" + "1," * 400_000 + "]",
    "many documents": "--- a\n" * 150_000,
    "many aliases": GOOD + "x: [" + "*a, " * 200_000 + "]",
    "deep": "- " * 500_000,
    "deep flow": "[{" * 500_000,
    "long key": GOOD + "x" * 1_000_000 + ": 1",
    "long name": HEAD + "name: " + "x" * 1_000_000,
    "many keys": GOOD + "\n".join(f"k{n}: 1" for n in range(20_000)),
    "digits": GOOD + "epoch: " + "9" * 1_000_000,
    "references": GOOD + "diagnostics: ['" + "${" * 500_000 + "']",
}


@pytest.mark.parametrize("name", LARGE)
def test_large_texts_get_a_quick_short_answer(name):
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        load_spec(LARGE[name])
    assert time.process_time() - start < 2
    assert len(caught.value.message + "".join(caught.value.details)) < 50_000
    assert all(len(p.message) < 400 and len(p.hint) < 400 for p in caught.value.problems)


@given(st.text() | st.binary())
def test_any_text_is_a_specification_or_a_spec_error(text):
    with pytest.raises(SpecError):
        load_spec(text)


WORDS = st.sampled_from(
    ["contractor", "name", "steps", "shell", "apt", "if", "env", "limits", "matrix", "parameters", "pipelines", "source", "git", "url", "file", "network", "${A}", "${", "$${", "*", "create-artifact", "unpack-artifact", "create-systree", "pipeline", "custom", "args", "default", "type", "choices", "list", "1", "true", "~", "''", "x", ".", "..", "/", "4G"]
)  # fmt: skip
TREES = st.recursive(
    WORDS | st.text(max_size=5),
    lambda kids: st.lists(kids, max_size=4) | st.dictionaries(WORDS, kids, max_size=5),
    max_leaves=25,
)


@settings(max_examples=100)
@given(st.dictionaries(WORDS, TREES), st.lists(TREES), st.dictionaries(st.sampled_from(["p", "q"]), TREES))
def test_any_tree_is_a_specification_or_a_spec_error(top, steps, pipelines):
    value = {**top, "contractor": 1, "name": "x", "steps": steps, "pipelines": pipelines}
    try:
        load_spec(yaml.dump(value, allow_unicode=True, Dumper=yaml.CSafeDumper), read=lambda path: path.encode())
    except SpecError as error:
        assert all(p.message.isprintable() and p.hint.isprintable() for p in error.problems)


def test_what_is_shown_cannot_move_the_terminal():
    assert shown("\x1b[31mred\n") == '"\\x1b[31mred\\n"'
    assert shown("x" * 100) == '"' + "x" * 57 + '..."'
    check(problems(GOOD.replace("name: x", 'name: "\\e[31m"')), ['2:7 "\\x1b[31m" is not a name'])
