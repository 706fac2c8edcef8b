"""Which packages move with others: apt's words when it is held back, as Debian 12's apt writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.lock.follow import followers

HEAD = b"""Some packages could not be installed. This may mean that you have
requested an impossible situation.

The following packages have unmet dependencies:
"""
TAIL = b"E: Unable to correct problems, you have held broken packages.\n"


def pulled(text: bytes, *pinned: str) -> dict[str, str]:
    return followers(HEAD + text + TAIL, pinned)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b" greeter : Depends: greeter-data (>= 2.0) but 1.0 is to be installed\n",
            {"greeter-data": "greeter needs greeter-data (>= 2.0)"},
        ),
        (
            b" greeter:i386 : PreDepends: data:i386 (= 1:2) but 1:1 is to be installed\n",
            {"data": "greeter needs data:i386 (= 1:2)"},
        ),
        # what depends on the package that moves: it is the one that is pinned
        (
            b" libx-dev : Depends: libx1 (= 1.0) but 2.0 is to be installed\n",
            {"libx-dev": "libx-dev needs libx1 (= 1.0)"},
        ),
        (b" libc6 : Breaks: data (< 2) but 1.0 is to be installed\n", {"data": "libc6 breaks data (< 2)"}),
        (
            b"""\
 a1 : Depends: data (>= 2) but 1.0 is to be installed
      Depends: libx-dev (>= 2) but 1.0 is to be installed or
               other but it is not installable
""",
            {"data": "a1 needs data (>= 2)", "libx-dev": "a1 needs libx-dev (>= 2)"},
        ),
        (b" greeter : Depends: unknown but it is not installable\n", {}),
        (b" greeter : Depends: data but it is not going to be installed\n", {}),
        (b" free : Depends: also-free (>= 2) but 1.0 is to be installed\n", {}),
        (b"", {}),
    ],
)
def test_what_is_in_the_way_is_read_from_apts_words(text, expected):
    assert pulled(text, "greeter-data", "data", "libx-dev") == expected


def test_only_the_last_refusal_counts():
    line = b" a1 : Depends: data (>= 2) but 1.0 is to be installed\n"
    assert pulled(line, "data") == {"data": "a1 needs data (>= 2)"}
    assert followers(HEAD + line + TAIL + HEAD + TAIL, {"data"}) == {}


@given(st.binary(max_size=300))
def test_any_words_give_pinned_names_only(text):
    assert set(pulled(text, "data")) <= {"data"}
