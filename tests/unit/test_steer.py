"""Options that say which steps run and where a shell is wanted: as positions, or a clear no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_kit import TREE, named, planned

from contractor.build.steer import Steering, Wish, steer
from contractor.cli.commands.build import parser
from contractor.cli.steering import require_terminal, wish_of
from contractor.core.errors import Rejected
from contractor.spec import model

NAMES = ("tree", "configure", "compile", "check", "pack")
PLAN = planned(named("tree", TREE), *(named(name, model.Shell(name)) for name in NAMES[1:]), name="hello")
STEPS = st.none() | st.sampled_from(NAMES)


def steered(**wish: object) -> Steering:
    return steer(PLAN, Wish(**wish), None)  # type: ignore[arg-type]


def refused(**wish: object) -> Rejected:
    with pytest.raises(Rejected) as caught:
        steered(**wish)
    assert caught.value.hint
    return caught.value


def test_nothing_asked_is_everything_once() -> None:
    assert steered() == Steering()
    assert not steered().shells


def test_from_runs_it_and_all_after_it_anew() -> None:
    made = steered(start="compile")
    assert list(made.anew) == [2, 3, 4]
    assert made.last is None


def test_until_ends_there_and_runs_nothing_anew() -> None:
    made = steered(until="3")
    assert (list(made.anew), made.last) == ([], 2)


def test_only_is_the_one_step_anew_and_the_end() -> None:
    made = steered(only="compile")
    assert (made.anew[0], made.last) == (2, 2)
    assert steered(start="compile", until="compile")._replace(words=()) == made._replace(words=())


def test_a_step_is_meant_by_number_by_name_and_by_how_its_name_begins() -> None:
    assert {steered(until=text).last for text in ("4", "check", "ch", "CHE")} == {3}
    assert "fits 2 steps" in refused(until="co").message
    unknown = refused(breaks=("chekc",))
    assert "no step 'chekc'" in unknown.message
    assert unknown.hint == "did you mean 'check'?"
    assert unknown.details[0] == "1. tree"


@pytest.mark.parametrize("text", ["", "0", "6", "-1", "1.5", "99999999999999999999", "²"])
def test_what_is_no_step_is_refused(text: str) -> None:
    for option in ("start", "until", "only", "shell", "shell_after"):
        assert "has no step" in refused(**{option: text}).message


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"only": "check", "start": "check"}, "--only goes without --from and --until"),
        ({"only": "check", "until": "check"}, "--only goes without --from and --until"),
        ({"start": "check", "until": "compile"}, "--from 'check' comes after 'compile'"),
        ({"start": "check", "shell": "compile"}, "--from 'check' comes after 'compile'"),
        ({"until": "compile", "shell": "check"}, "cannot end twice: --until 'compile', --shell 'check'"),
        ({"only": "compile", "shell": "check"}, "cannot end twice: --only 'compile', --shell 'check'"),
        ({"shell": "check", "shell_after": "check"}, "cannot end twice: --shell 'check', --shell-after 'check'"),
        ({"until": "compile", "breaks": ("check",)}, "--break 'check' is never reached: the build ends at 'compile'"),
        ({"shell": "check", "breaks": ("check",)}, "--break 'check' is never reached"),
        ({"shell_after": "tree", "breaks": ("tree", "pack")}, "--break 'pack' is never reached"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(wish: dict[str, object], says: str) -> None:
    assert says in refused(**wish).message


def test_wishes_that_go_together() -> None:
    made = steered(start="configure", until="check", breaks=("configure", "3", "comp"), debug=True)
    assert (list(made.anew), made.last, made.breaks) == ([1, 2, 3, 4], 3, {1, 2})
    assert made.shells
    assert steered(until="check", shell_after="check").after == 3
    assert steered(until="check", shell="check").instead == 3
    assert steered(only="check", breaks=("check", "tree")).breaks == {0, 3}


@given(
    st.builds(
        Wish,
        start=STEPS,
        until=STEPS,
        only=STEPS,
        breaks=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
        shell=STEPS,
        shell_after=STEPS,
        debug=st.booleans(),
    )
)
def test_whatever_is_taken_can_be_done(wish: Wish) -> None:
    """Each shell that was asked for is reached, and so is each step that is to run."""
    try:
        made = steer(PLAN, wish, None)
    except Rejected as error:
        assert error.hint
        return
    end = len(NAMES) - 1 if made.last is None else made.last
    assert all(position <= end for position in made.breaks)
    assert made.instead in (None, end)
    assert made.after in (None, end)
    assert not (made.instead is not None and made.after is not None)
    assert made.instead not in made.breaks
    if made.anew:
        assert made.anew[0] <= end
    assert made.shells is bool(wish.breaks or wish.shell or wish.shell_after or wish.debug)


@given(STEPS, STEPS, STEPS, st.lists(st.sampled_from(NAMES), max_size=2), st.booleans())
def test_the_words_of_a_wish_are_the_options_that_give_it(start, until, shell, breaks, debug) -> None:
    wish = Wish(start=start, until=until, shell=shell, breaks=tuple(breaks), debug=debug)
    assert wish_of(parser().parse_args([*wish.words()])) == wish


def test_options_become_a_wish() -> None:
    args = parser().parse_args(["--only", "A=1", "--only", "check", "--break", "2", "--break", "3", "--debug"])
    assert wish_of(args) == Wish(only="check", breaks=("2", "3"), debug=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--only", "a", "--only", "b"], "--only names 2 steps"),
        (["--fresh", "--only", "a"], "--fresh runs every step, and --only a part"),
        (["--fresh", "--from", "a"], "--fresh runs every step, and --from a part"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: list[str], says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        wish_of(parser().parse_args(options))
    assert caught.value.hint


def test_a_shell_without_a_terminal_is_refused_with_what_goes_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda fd: fd == 1)
    with pytest.raises(Rejected, match="needs a terminal") as caught:
        require_terminal()
    assert "-- COMMAND" in caught.value.hint
