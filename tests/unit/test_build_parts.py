"""Globs and the log: parts of a build that need no sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.globs import select
from contractor.build.log import Log
from contractor.core.errors import OutOfLimits

ENTRIES = sorted(
    [
        (b"a.deb", False),
        (b"b.deb", False),
        (b"[x]", False),
        (b"dir", True),
        (b"dir/a.deb", False),
        (b"dir/deep", True),
        (b"dir/deep/c.txt", False),
        (b"odd\xff:\n name", False),
    ]
)


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.deb", [b"a.deb", b"b.deb"]),
        ("**/*.deb", [b"a.deb", b"b.deb", b"dir/a.deb"]),
        ("dir", [b"dir", b"dir/a.deb", b"dir/deep", b"dir/deep/c.txt"]),
        ("./dir/", [b"dir", b"dir/a.deb", b"dir/deep", b"dir/deep/c.txt"]),
        ("dir/**", [b"dir/a.deb", b"dir/deep", b"dir/deep/c.txt"]),
        ("?.deb", [b"a.deb", b"b.deb"]),
        ("[!a].deb", [b"b.deb"]),
        ("[x]", [b"[x]"]),
        ("odd*", [b"odd\xff:\n name"]),
        ("**", [path for path, _folder in ENTRIES]),
    ],
)
def test_a_glob_means(glob: str, expected: list[bytes]) -> None:
    assert select(ENTRIES, [glob]) == (expected, [])


def test_an_empty_glob_is_told() -> None:
    assert select(ENTRIES, ["*.deb", "*.rpm"]) == ([b"a.deb", b"b.deb"], ["*.rpm"])


@given(st.text(alphabet="ab*?[]!^\\/.-é", max_size=12))
def test_any_glob_is_answered(glob: str) -> None:
    chosen, _empty = select(ENTRIES, [glob])
    assert set(chosen) <= {path for path, _folder in ENTRIES}


def test_the_log_keeps_what_fits_and_then_says_so(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 10)
    log.write(b"12345678")
    with pytest.raises(OutOfLimits, match="limit of 10 bytes"):
        log.write(b"90AB")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"1234567890"
