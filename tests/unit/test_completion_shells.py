"""The completion scripts in real shells at a terminal: what a person types, completed with a tab, is what arrives.

`make test` installs zsh and fish; without them only bash is tried.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_store import NEW, add, record, step
from shell_pty import Shell

from contractor.store.layout import Store

SHELLS = [
    pytest.param(kind, marks=pytest.mark.skipif(not Shell.there(kind), reason=f"{kind} is not installed"))
    for kind in ("bash", "zsh", "fish")
]
STEPS = {  # a step's name, and the beginning of it that is typed
    "Compile": "Com",
    "Test: all 'of' it": "Test:",
    'say "x" $HOME `ls`': "say",
    "a=b:c": "a",
    "émigré ☃": "é",
    "#1 (2) {a,b} [c] *?": "\\#1",
    "x;y&z|<>": "x",
}
SPEC = """contractor: 1
name: x
parameters: {LEVEL: {default: low, choices: [low, high]}}
steps:
  - create-systree: {base: debian-12}
  - {name: Compile it, shell: make}
"""


@pytest.fixture(scope="module", params=SHELLS)
def shell(request, tmp_path_factory):
    top = tmp_path_factory.mktemp("completion")
    store = Store(str(top / "store"))
    add(store, record(NEW, steps=tuple(step(name) for name in STEPS)))
    home = top / "it's home"
    (home / "my dir").mkdir(parents=True)
    for path in (Path("contractor.yaml"), Path("my dir", "two words.yaml")):
        (home / path).write_text(SPEC)
    with Shell(request.param, home, store.root) as made:
        yield made


@pytest.mark.parametrize(("name", "begun"), STEPS.items())
def test_a_steps_name_arrives_whatever_it_holds(shell, name, begun):
    assert shell.completes(f"contractor log --step {begun}") == ["log", "--step", name]
    assert shell.completes(f"contractor log --step={begun}") == ["log", f"--step={name}"]


def test_in_a_quote_that_is_open(shell):
    assert shell.completes('contractor log --step "Test: a') == ["log", "--step", "Test: all 'of' it"]
    assert shell.completes("contractor log --step 'Test: a") == ["log", "--step", "Test: all 'of' it"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pla", ["plan"]),
        ("build --fresh-", ["build", "--fresh-bases"]),
        ("log la", ["log", "last"]),
        ("log 2025", ["log", NEW]),
        ("plan -p L", ["plan", "-p", "LEVEL="]),
        ("plan -p LEVEL=h", ["plan", "-p", "LEVEL=high"]),
        ("plan --parameter=LEVEL=h", ["plan", "--parameter=LEVEL=high"]),
        ("build my\\ dir/two\\ words.yaml --from Comp", ["build", "my dir/two words.yaml", "--from", "Compile it"]),
        ("build my\\ dir/tw", ["build", "my dir/two words.yaml"]),
        ("artifacts ver", ["artifacts", "verify"]),
        ("nonsense ", ["nonsense"]),
    ],
)
def test_words_of_all_kinds(shell, line, words):
    assert shell.completes(f"contractor {line}") == words


@pytest.mark.parametrize("line", ["build my", "build -o my", "build --output=my", "build ./my", "build ~/my"])
def test_folders(shell, line):
    *_most, last = shell.completes(f"contractor {line}")
    assert last.rstrip("/").endswith("my dir")
    assert "~" not in last


def test_what_is_shown_to_choose_from(shell):
    text = shell.offers("contractor log --step ")
    assert "Compile" in text and "migr" in text
