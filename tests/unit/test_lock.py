"""The lock as a value and as a file, and a plan under it: what it covers, what drifted, which keys move."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lock_kit import APT, MIRROR, answered, base_plan, deb, entry, index, lock_of, plan, sha, steps_of
from plan_kit import named

from contractor.core.errors import Rejected
from contractor.plan.lock import OLDER, Lock, LockedFile, LockedSource, decode, encode, original_url
from contractor.plan.locked import as_older, asks, locked_plan
from contractor.plan.model import Plan
from contractor.plan.model import decode as decode_plan
from contractor.plan.model import encode as encode_plan
from contractor.spec import model

SHELL = named("use it", model.Shell("hello"))


def test_a_lock_comes_back_from_its_file():
    lock = lock_of(plan(APT), sources=(LockedSource("https://x.example/r.git", "v1", "a" * 40),), tools={"git": "2"})
    assert decode(encode(lock), "contractor.lock") == lock
    assert encode(lock).endswith(b"\n") and encode(lock).count(b"\n") > 50  # differs by lines


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "has version 2, this Contractor knows 1"),
        ({"version": None}, "is not a lock"),
        ({"surprise": 1}, "is not a lock"),
        ({"bases": [{"name": "x", "arch": "amd64", "digest": "../../etc"}]}, "has the digest"),
        ({"sources": [{"url": "x", "ref": "v", "commit": "HEAD; rm"}]}, "has the commit"),
    ],
)
def test_what_is_no_lock_is_rejected_with_its_place(change, says):
    value = {**json.loads(encode(lock_of(plan(APT)))), **change}
    with pytest.raises(Rejected, match=r"p/contractor\.lock") as caught:
        decode(json.dumps(value).encode(), "p/contractor.lock")
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pins", {"hello\nPin: release *": "1"}),
        ("pins", {"hello": "1\nPackage: *"}),
        ("older", ["deb http://x/ a main\ndeb http://y b c"]),
        ("older", ["deb [trusted=yes] http://x/debian bookworm main"]),
        ("older", ["deb file:///etc bookworm main"]),
    ],
)
def test_a_lock_cannot_configure_apt_beyond_versions(field, value):
    made = json.loads(encode(lock_of(plan(APT))))
    made["steps"][1][field] = value
    with pytest.raises(Rejected, match="is damaged"):
        decode(json.dumps(made).encode(), "contractor.lock")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_of_a_lock_is_a_clear_error_or_another_lock(data):
    whole = encode(lock_of(plan(APT)))
    at = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(at, min(len(whole), at + 40)))
    torn = whole[:at] + data.draw(st.binary(max_size=8)) + whole[end:]
    try:
        decode(torn, "contractor.lock")
    except Rejected as error:
        assert "contractor.lock" in error.message


def test_deep_nesting_is_no_lock():
    with pytest.raises(Rejected):
        decode(b'{"version":1,"name":' + b"[" * 100_000, "contractor.lock")


def test_a_locked_plan_has_the_locks_bytes_in_its_keys_and_everything_on_top_moves():
    given_plan = plan(APT, SHELL)
    lock = lock_of(given_plan)
    made = locked_plan(given_plan, lock, "contractor.lock")
    assert made.unlocked == ()
    assert [a.key == b.key for a, b in zip(made.actions, given_plan.actions, strict=True)] == [False, False, False]
    assert made.bases["debian-12"].actions[0].key == given_plan.bases["debian-12"].actions[0].key
    assert set(made.replays) == {steps_of(made, "apt")[0].key}
    assert set(made.bases["debian-12"].replays) == {steps_of(made, "debootstrap")[0].key}
    assert made.expected == {"debian-12": sha("base")}
    assert made.held[steps_of(made, "apt")[0].key].packages == ("hello:amd64=1.0",)
    assert decode_plan(encode_plan(made)) == made


def keys(made: Plan) -> list[str]:
    return [action.key for action in made.actions]


def test_keys_under_a_lock_depend_on_its_answers_and_on_nothing_else_of_it():
    given_plan = plan(APT)
    lock = lock_of(given_plan)
    other = msgspec.structs.replace(lock, tools={"git": "3"}, name="x", files=())
    assert keys(locked_plan(given_plan, lock)) == keys(locked_plan(given_plan, other))
    moved = lock_of(given_plan, hello="1.1")
    assert keys(locked_plan(given_plan, moved))[0] == keys(locked_plan(given_plan, lock))[0]
    assert keys(locked_plan(given_plan, moved))[1] != keys(locked_plan(given_plan, lock))[1]


def test_a_lock_holds_with_and_without_owners_of_files():
    """A laptop without subordinate ids uses the lock of one that has them."""
    ranged = plan(APT)

    def without(whole):
        from contractor.plan.rekey import Changed, rekey

        base = whole.bases.get("debian-12")
        others = {}
        bases = {}
        if base is not None:
            bases["debian-12"] = rekey(base, Changed(extra={n: {"ids": "one"} for n in range(len(base.actions))}))
            others = {base.actions[-1].key: bases["debian-12"].actions[-1].key}
        extra = {n: {"ids": "one"} for n in range(len(whole.actions))}
        return msgspec.structs.replace(rekey(whole, Changed(others=others, extra=extra)), bases=bases)

    one = without(ranged)
    assert [a.key for a in one.actions] != [a.key for a in ranged.actions]
    assert [asks(one)[a.key].key for a in one.actions] == [a.key for a in ranged.actions]
    made = locked_plan(one, lock_of(ranged))
    assert made.unlocked == ()
    assert made.expected == {}  # its bytes are others: files have no owners


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (plan(model.Apt(("hello", "cowsay"))), ["step 'apt hello cowsay': packages grew by cowsay"]),
        (plan(model.Apt(("cowsay",))), ["step 'apt cowsay': packages grew by cowsay and lost hello"]),
        (plan(model.Apt(("hello",), recommends=True)), ["step 'apt hello': recommended packages no -> yes"]),
        (plan(APT, model.Apt(("gcc",))), ["step 'apt gcc' is not in the lock"]),
        (
            plan(APT, base=base_plan(include=("gcc",))),
            ["the base debian-12: step 'debootstrap bookworm': include grew by gcc",
             "step 'apt hello': another tree below it than when it was locked, see above"],
        ),
        (
            plan(APT, base=base_plan(suite="trixie")),
            ["the base debian-12: step 'debootstrap trixie': suite bookworm -> trixie",
             "step 'apt hello': another tree below it than when it was locked, see above"],
        ),
    ],
)  # fmt: skip
def test_what_drifted_is_told_precisely(other, says):
    assert list(locked_plan(other, lock_of(plan(APT))).unlocked) == says


def test_a_lock_from_another_architecture_says_so():
    lock = lock_of(plan(APT))
    steps = tuple(
        msgspec.structs.replace(step, arch="arm64", ask=sha(step.ask), asked={**step.asked, "arch": "arm64"})
        for step in lock.steps
    )
    first = locked_plan(plan(APT), msgspec.structs.replace(lock, steps=steps)).unlocked[0]
    assert first == "the base debian-12: step 'debootstrap bookworm': the lock is for arm64, this build for amd64"


def test_a_base_that_is_not_in_the_lock_is_named_with_those_that_are():
    made = plan(APT)
    other = msgspec.structs.replace(made, bases={"debian-13": base_plan(suite="trixie")})
    assert locked_plan(other, lock_of(made)).unlocked[0] == "the base debian-13 is not in the lock, which has debian-12"


def test_git_references_are_covered_by_name_and_commits_as_well():
    git = model.Source(git="https://x.example/r.git", ref="v2")
    fixed = model.Source(git="https://x.example/r.git", ref="c" * 40)
    lock = lock_of(plan(APT), sources=(LockedSource("https://x.example/r.git", "v1", "a" * 40),))
    made = locked_plan(plan(git, fixed, APT, source="b" * 40), lock)
    assert made.unlocked == (
        "the git reference v2 of https://x.example/r.git is not in the lock, which has v1 of that repository",
        f"the commit {'c' * 40} of https://x.example/r.git is not in the lock, which has v1 of that repository",
    )
    covered = msgspec.structs.replace(lock, sources=(LockedSource("https://x.example/r.git", "v2", "b" * 40),))
    made = locked_plan(plan(git, APT, source="b" * 40), covered)
    assert made.unlocked == ()
    assert made.actions[1].key in made.locked


@pytest.mark.parametrize("kind", [model.Fetch, model.Source])
def test_downloads_are_covered_by_address_and_digest(kind):
    url, other = "https://x.example/a.tar", "https://y.example/a.tar"
    a, b = "a" * 64, "b" * 64
    given = plan(kind(url=url, sha256="a" * 64), APT)
    files = (LockedFile(url, "a" * 64),)
    assert locked_plan(given, lock_of(plan(APT), files=files)).unlocked == ()
    says = {
        (): f"the download {url} is not in the lock",
        (LockedFile(url, b),): f"the download {url} is sha256:{a} here, and sha256:{b} in the lock",
        (LockedFile(other, a),): f"the download {url} is not in the lock, which has it from {other}",
    }
    for files, text in says.items():
        assert locked_plan(given, lock_of(plan(APT), files=files)).unlocked == (text,)


def test_a_lock_cannot_put_another_commit_in_the_place_of_one_that_is_named():
    lock = Lock("b", sources=(LockedSource("https://x.example/r.git", "a" * 40, "b" * 40),))
    with pytest.raises(Rejected, match="is damaged: the commit aaaa"):
        decode(encode(lock), "contractor.lock")


def test_an_entry_as_an_earlier_state_of_its_archives():
    given_plan = plan(APT)
    security = "http://deb.debian.org/debian-security"
    more = (*index(security, "bookworm-security"), answered(f"{MIRROR}/dists/gone/InRelease", "no", 404))
    one = entry(steps_of(given_plan, "apt")[0], given_plan, {"hello": "1.0"})
    one = msgspec.structs.replace(one, answers=(*one.answers, *more))
    moved = as_older(one)
    generation = f"{OLDER}{one.digest[:16]}/"
    assert set(moved.older) == {
        f"deb {generation}deb.debian.org/debian bookworm main",
        f"deb {generation}deb.debian.org/debian-security bookworm-security main",
    }
    assert [original_url(answer.url) for answer in moved.answers] == [answer.url for answer in one.answers]
    again = as_older(msgspec.structs.replace(moved, answers=(*moved.answers, *index(day="2"))))
    assert len(again.older) == 2  # today's, and of the earlier ones that which a package came from
    assert {line.split()[1] for line in again.older} >= {f"{generation}deb.debian.org/debian"}
    assert not any("security" in answer.url for answer in again.answers)


def test_original_urls():
    assert original_url(deb("a", "1")) == deb("a", "1")
    assert original_url(f"{OLDER}abc/deb.debian.org:81/x/y") == "http://deb.debian.org:81/x/y"


def test_an_empty_lock_covers_what_asks_nobody():
    made = locked_plan(plan(SHELL, base=base_plan()), Lock("b"))
    assert made.unlocked == ("the base debian-12 is not in the lock",)
