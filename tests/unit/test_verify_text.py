"""What `contractor verify` says: every kind of verdict, and nothing from an artifact reaches the terminal as it is."""

from __future__ import annotations

import pytest

from contractor.build.compare.members import MemberChange, Members
from contractor.build.verify.verify import Difference, Verdict
from contractor.cli.verify_text import exit_code, lines

A, B = "a" * 64, "b" * 64


def verdict(outcome: str, **more: object) -> Verdict:
    return Verdict(build="20250304-101500-hello-aaaa", again="20250305-101500-hello-bbbb", outcome=outcome, **more)


def test_a_reproduced_build_says_so_last() -> None:
    found = verdict("reproduced", same=("x", "y"), varied=("the time, by 2 hours", "1 CPU"), signed="/s/verdict")
    assert lines(found) == [
        "varied       the time, by 2 hours; 1 CPU",
        "",
        "signed: /s/verdict",
        "reproduced: 2 of 2 artifacts of 20250304-101500-hello-aaaa, bit for bit",
    ]
    assert exit_code(found) == 0


def test_every_difference_is_shown_with_its_place() -> None:
    changes = (
        MemberChange("bin/x", "changed", {"content": (A, B), "size": (3, 4)}),
        MemberChange("bin/new", "added"),
    )
    found = verdict(
        "not-reproducible",
        same=("same",),
        differences=(
            Difference("d", A, B, Members(changes), "--- first\n+++ second"),
            Difference("gone", A, ""),
            Difference("more", "", B),
            Difference("large", A, B, Members(why_not="too large to be compared here")),
        ),
        tools={"git": ("2.39", "2.40")},
    )
    text = lines(found)
    assert text[0] == "other tools  git 2.39 -> 2.40"
    assert f"d: sha256:{A} -> sha256:{B}" in text
    assert "  changed bin/x: other content, size 3 -> 4" in text
    assert "  added bin/new" in text
    assert "    --- first" in text
    assert "gone: only in the first build" in text
    assert "more: only in the second build" in text
    assert "  too large to be compared here" in text
    assert text[-2] == "NOT REPRODUCIBLE: 4 of 5 artifacts of 20250304-101500-hello-aaaa"
    assert exit_code(found) == 3


def test_much_is_cut_and_says_how_much() -> None:
    members = Members(tuple(MemberChange(f"f{number}", "added") for number in range(30)))
    found = verdict("not-reproducible", differences=(Difference("d", A, B, members, "line\n" * 100),))
    text = lines(found)
    assert len(text) < 100
    assert "  ... and 10 more: --json has all" in text
    assert "    ... and 40 more lines: --json has all" in text


def test_a_second_build_that_failed_is_a_difference_and_one_that_broke_is_no_verdict() -> None:
    gone = (Difference("a", A, ""),)
    failed = verdict("not-reproducible", differences=gone, message="the step 'x' failed with exit code 1")
    assert lines(failed)[-2].startswith("NOT REPRODUCIBLE: the second build of 20250304-101500-hello-aaaa failed: ")
    assert exit_code(failed) == 3
    for outcome, code in (("broken", 6), ("out-of-limits", 4), ("aborted", 130), ("unavailable", 5)):
        found = verdict(outcome, message="the disk is full")
        assert lines(found)[-2:] == [
            f"NOT VERIFIED: the second build ended as {outcome}: the disk is full",
            "see: contractor log 20250305-101500-hello-bbbb",
        ]
        assert exit_code(found) == code


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\rb", "\x07", "\u202eevil", "line\nbreak"])
def test_what_an_artifact_says_is_made_safe(hostile: str) -> None:
    members = Members((MemberChange(hostile, "changed", {"link": (hostile, "")}),))
    found = verdict(
        "not-reproducible",
        differences=(Difference(hostile, A, B, members, hostile),),
        varied=(hostile,),
        signed=hostile,
    )
    text = "\n".join(lines(found))
    assert not any(bad in text for bad in ("\x1b", "\r", "\x07", "\u202e"))
    if "\n" in hostile:
        assert "\nbreak: sha256" not in text
