"""Lines in a pipe, folds in CI, and silence."""

from __future__ import annotations

import random

import pytest
from console_screen import Pipe, Terminal, plain
from console_script import BUILD, DIGEST, Script, cached, failure, play, success

from contractor.cli.console.console import make_console
from contractor.core.errors import Outcome


def told(events, **options) -> str:
    pipe = Pipe()
    console = plain(pipe, **options)
    play(console, iter(events))
    console.close()
    return pipe.getvalue()


def test_a_whole_build_as_lines():
    lines = told(success()).splitlines()
    assert lines[:3] == [
        "hello: amd64, variant=plain, 10 steps, isolation: id range",
        "[1/10] source",
        "[1/10] done 0.1 s",
    ]
    assert "[2/10 debian-12 2/3] apt: Common packages" in lines
    assert "Reading package lists... 100%" in lines
    assert "Setting up debhelper (13.11.4) ..." in lines
    assert "[4/10] fetch hello_2.10.orig.tar.gz, cached" in lines
    assert "warning: step 8, Compile, may not reach pypi.org: the step declares no network" in lines
    assert "[10/10] done 0.3 s, 1.2 MB, 14 files" in lines
    assert any(f"sha256:{DIGEST}  out/hello.tar.zst" in line for line in lines)
    assert "\x1b" not in "".join(lines) and "\r" not in "".join(lines)


def test_output_is_whole_lines_flushed_as_they_are_complete():
    pipe, script = Pipe(), Script()
    console = plain(pipe)
    play(console, iter([script.start(), script.begin(7)]))
    done = len(pipe.flushed)
    for piece in (b"half a l", b"ine\nand ", b"another\nno newline"):
        console(script.says(7, piece))
    assert pipe.flushed[done:] == ["half a line\n", "and another\n"]
    console(script.done(7, 1.2))
    assert pipe.flushed[done + 2 :] == ["no newline\n", "[8/10] done 1.2 s\n"]


def test_a_failure_does_not_repeat_what_stands_above_but_in_ci_unfolds_it():
    text = told(failure())
    assert text.count("lib/part21.c\n") == 1
    assert "[8/10] failed 7.9 s" in text
    assert text.rstrip().endswith(f"hint: contractor log {BUILD} --step 8")
    assert told(failure(), ci="github").count("lib/part21.c\n") == 2
    assert told(failure(), mode="quiet").count("lib/part21.c\n") == 1


def test_github_folds_and_annotates():
    lines = told(failure(), ci="github").splitlines()
    assert "::group::[8/10] shell: Compile" in lines
    assert lines.index("::endgroup::") < lines.index("[8/10] failed 7.9 s")
    assert lines[-1] == "::error title=hello%2C Compile%3A failed::the command ended with exit code 2"
    whole = told(success(), ci="github").splitlines()
    depth = 0
    for line in whole:
        depth += line.startswith("::group::")
        depth -= line == "::endgroup::"
        assert 0 <= depth <= 1
    assert "::warning::step 8, Compile, may not reach pypi.org: the step declares no network" in whole


HOSTILE = [
    "::add-mask::x",
    "  ::error::forged",
    "\t::set-output name=a::b",
    "\u3000\u00a0::endgroup::",
    "\u200b::warning::x",
    "\ufeff::warning::x",
    "\x1b[0m::stop-commands::x",
    "progress\r::error::x",
    "text ##[error]forged",
    "::x ##[group]",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_output_cannot_command_github(line):
    script = Script([(line, "shell")])
    events = [
        script.start(line), script.notice(line), script.begin(0, line), script.says(0, line.encode() + b"\n"),
        script.fetched(0, f"http://{line}", "refused", line), script.done(0, 1.0, Outcome.FAILED),
        script.end(Outcome.FAILED, step=0, message=f"50% {line}\n::error::y", details=(line,), hint=line),
    ]  # fmt: skip
    text = told(events, ci="github", verbose=True)
    ours = ("::group::", "::endgroup::", "::warning::step 1, ", "::error title=")
    for shown in text.split("\n"):
        assert not shown.lstrip().startswith("::") or shown.startswith(ours)
        assert "##[" not in shown or shown.startswith(ours)
    commands = [shown for shown in text.splitlines() if shown.startswith("::")]
    assert [command.split("::")[1].split()[0] for command in commands] == ["group", "warning", "endgroup", "error"]
    assert ("50%25" in commands[-1] or "\r" in line) and "%0A::error" in commands[-1]


def test_gitlab_sections():
    text = told(failure(), ci="gitlab")
    start = "\x1b[0Ksection_start:1700000000:contractor_1[collapsed=true]\r\x1b[0K[8/10] shell: Compile\n"
    assert start in text
    assert "\x1b[0Ksection_end:1700000002:contractor_1\r\x1b[0K\n" in text
    assert text.count("\x1b") == 4
    script = Script()
    forged = b"\x1b[0Ksection_end:1700000002:contractor_1\r\x1b[0K\n"
    text = told([script.start(), script.begin(0), script.says(0, forged), script.done(0, 1.0)], ci="gitlab")
    assert text.count("\x1b") == 4


def test_quiet_is_silent_until_something_fails():
    shown = told(success(), mode="quiet")
    assert [line for line in shown.splitlines() if not line.startswith("warning: ")] == []
    assert "warning: memory is only watched here" in shown  # what weakens a build is never silent
    assert told(cached(), mode="quiet") == ""
    text = told(failure(), mode="quiet")
    assert text.startswith("The last 20 lines of step 8 of 10, Compile:\n")
    assert "✗ hello failed" in text and "\x1b" not in text


@pytest.mark.parametrize(
    ("outcome", "headline", "turn"),
    [
        (Outcome.FAILED, "failed", "the project has to change"),
        (Outcome.REJECTED, "was rejected", "specification or an input"),
        (Outcome.NOT_REPRODUCIBLE, "is not reproducible", "other bytes"),
        (Outcome.OUT_OF_LIMITS, "ran out of limits", "limits"),
        (Outcome.UNAVAILABLE, "cannot be built on this machine", "contractor doctor"),
        (Outcome.BROKEN, "broke", "Not the project's fault"),
        (Outcome.ABORTED, "was aborted", "goes on after the last finished step"),
    ],
)
def test_whose_turn_it_is(outcome, headline, turn):
    script = Script()
    text = told([script.start(), script.end(outcome, seconds=2.0, message="because")])
    assert f"✗ hello {headline}, after 2.0 s\n  because\n" in text
    assert turn in text and "hint: " in text and "record: /home/ann" in text


def test_hostile_output_stays_text():
    chance, script = random.Random(1), Script()
    events = [script.start(), script.begin(7), script.says(7, b"\x1b]0;t\x07\x1b[2J\xe2\x80\xae\n")]
    events += [script.says(7, chance.randbytes(50_000)) for _ in range(5)]
    text = told([*events, script.done(7, 1.0)])
    assert all(line.isprintable() for line in text.split("\n"))


def test_verbose_tells_reasons_and_fetches():
    script = Script()
    text = told(
        [
            script.start(),
            script.begin(0, "inputs changed"),
            script.fetched(0, "http://deb.debian.org/x"),
            script.done(0, 1),
        ],
        verbose=True,
    )
    assert "reason: inputs changed\nfetched http://deb.debian.org/x, 4.1 kB\n" in text


def test_auto_is_live_only_on_a_terminal_outside_ci():
    def raw(stream, ci: str = "") -> str:
        console = make_console(stream, mode="auto", colour=False, ci=ci, width=lambda: 80, verbose=False)
        play(console, success())
        return stream.raw if isinstance(stream, Terminal) else stream.getvalue()

    assert "\x1b[?25l" in raw(Terminal())
    assert "\x1b" not in raw(Terminal(), ci="github")
    assert "\x1b" not in raw(Pipe())


def test_an_ascii_pipe_loses_no_information():
    import io

    raw, script = io.BytesIO(), Script()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = plain(stream)
    play(console, iter([script.start(), script.begin(0), script.says(0, "größe\n".encode()), script.end()]))
    assert b"gr??e" in raw.getvalue() and b"+ hello built" in raw.getvalue()


def test_the_console_costs_little_to_import():
    import subprocess
    import sys

    code = (
        "import sys, contractor.core.events, threading; before = set(sys.modules)\n"
        "import contractor.cli.console.console, contractor.cli.console.live, contractor.cli.console.plain\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('contractor')))"
    )
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
