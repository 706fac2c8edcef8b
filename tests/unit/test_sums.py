"""Sets of outputs: what sha256sum writes is read back, and every difference is found."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.export import sums_lines
from contractor.build.sums import Outputs, compare_outputs, parse_sums
from contractor.core.errors import Rejected
from contractor.core.events import ArtifactInfo

names = st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\0", b"0").replace(b"/", b"_"))
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
artifact_names = st.text("abc-. é", min_size=1, max_size=10).filter(lambda name: not name.startswith("."))


@given(st.dictionaries(names, digests, min_size=1), st.dictionaries(artifact_names, digests))
def test_reads_back_what_an_export_wrote(files: dict[bytes, str], archives: dict[str, str]) -> None:
    artifacts = [ArtifactInfo(name, digest, 1, 1, 1) for name, digest in archives.items()]
    found = parse_sums(b"".join(sums_lines(files, artifacts)), "SHA256SUMS")
    assert found.files == {os.fsdecode(name): digest for name, digest in files.items()}
    assert found.archives == archives


@given(st.dictionaries(st.text(), digests), st.dictionaries(st.text(), digests))
def test_every_name_is_in_exactly_one_group(a: dict[str, str], b: dict[str, str]) -> None:
    found = compare_outputs(Outputs(a, {}), Outputs(b, {}))
    groups = [*found.same, *found.different, *found.only_a, *found.only_b]
    assert sorted(groups) == sorted({*a} | {*b})
    assert found.equal == (a == b)
    assert all(a[name] == b[name] for name in found.same)


def test_archives_count_where_both_know_them() -> None:
    a = Outputs({"x.tar.zst": "1" * 64}, {"x": "2" * 64})
    b = Outputs({"x.tar.zst": "3" * 64}, {"x": "2" * 64})
    assert compare_outputs(a, b).equal  # other compression, the same archive
    assert not compare_outputs(a, Outputs(b.files, {})).equal


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello\n", "0" * 63 + "  name\n", "0" * 64 + " name\n"])
def test_refuses_what_is_no_file_of_sums(text: str) -> None:
    with pytest.raises(Rejected):
        parse_sums(text.encode(), "file")


def test_a_name_with_two_digests_is_refused_with_its_line() -> None:
    with pytest.raises(Rejected, match=r"sums:2: 'a' is there twice"):
        parse_sums(b"0" * 64 + b"  a\n" + b"1" * 64 + b"  a\n", "sums")
