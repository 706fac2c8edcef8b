"""Sets of outputs: what sha256sum writes is read back, and every difference is found."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.export.exporting import sums_lines
from contractor.build.verify.sums import Outputs, compare_outputs, parse_sums, read_folder, read_sums
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


def test_what_a_file_says_of_archives_is_only_said() -> None:
    build = Outputs({"x.tar.zst": "1" * 64}, {"x": "2" * 64})
    claimed = parse_sums(b"3" * 64 + b"  x.tar.zst\n# sha256 of the uncompressed archive of x: " + b"2" * 64, "sums")
    assert claimed.archives == build.archives
    assert compare_outputs(build, claimed).different == ("x.tar.zst",)


def test_of_files_that_are_there_the_archive_counts(tmp_path: Path) -> None:
    """Another program, or another level, compresses it to other bytes."""
    data = b"an archive, let us say" * 1000
    for name, sums in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.tar.zst").write_bytes(zstandard.ZstdCompressor(write_checksum=sums).compress(data))
    a, b = read_folder(f"{tmp_path}/a"), read_folder(f"{tmp_path}/b")
    assert a.files != b.files
    found = compare_outputs(a, b)
    assert found.equal
    assert found.notes == ("x.tar.zst is compressed in another way: the archive in it is the same",)
    build = Outputs({"x.tar.zst": "1" * 64}, {"x": hashlib.sha256(data).hexdigest()})
    assert compare_outputs(build, a).equal
    assert not compare_outputs(build._replace(archives={"x": "2" * 64}), a).equal


def test_two_builds_are_compared_by_their_artifacts() -> None:
    found = compare_outputs(Outputs({}, {"x": "1" * 64, "y": "2" * 64}), Outputs({}, {"x": "1" * 64, "z": "2" * 64}))
    assert (found.what, found.same, found.only_a, found.only_b) == ("artifacts", ("x",), ("y",), ("z",))


@pytest.mark.parametrize(
    "text",
    [
        f"{'0A' * 32}  name\n",
        f"{'0a' * 32} *./name\r\n",
        f"SHA256 (name) = {'0a' * 32}\n",
        f"# a comment\n\n{'0a' * 32}  ./name",
    ],
)
def test_forms_that_other_programs_write(text: str) -> None:
    assert parse_sums(text.encode(), "sums").files == {"name": "0a" * 32}


def test_a_folders_files_are_read_and_not_only_its_sums(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("one", "sub/two", "SHA256SUMS.intoto.jsonl", "one.intoto.jsonl"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("one")
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "sub/two")}
    (tmp_path / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    honest = read_folder(str(tmp_path))
    assert (honest.files, honest.damaged) == (sums, ())
    (tmp_path / "one").write_text("another")
    changed = read_folder(f"{tmp_path}/")
    assert changed.damaged == ("one",)
    found = compare_outputs(honest, changed)
    assert (found.different, found.damaged) == (("one",), (f"{tmp_path}/one",))
    assert not compare_outputs(changed, changed).equal
    (tmp_path / "one").unlink()
    (tmp_path / "extra").write_text("new")
    found = compare_outputs(honest, read_folder(str(tmp_path)))
    assert (found.only_a, found.only_b) == (("one",), ("extra",))


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="has no files in it"):
        read_folder(str(tmp_path))
    with pytest.raises(Rejected, match="cannot be read"):
        read_sums(f"{tmp_path}/nothing")


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "sums").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(Rejected, match="more than 64 MiB"):
        read_sums(str(tmp_path / "sums"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello\n", "0" * 63 + "  name\n", "0" * 64 + " name\n"])
def test_refuses_what_is_no_file_of_sums(text: str) -> None:
    with pytest.raises(Rejected):
        parse_sums(text.encode(), "file")


def test_a_name_with_two_digests_is_refused_with_its_line() -> None:
    with pytest.raises(Rejected, match=r"sums:2: 'a' is there twice"):
        parse_sums(b"0" * 64 + b"  a\n" + b"1" * 64 + b"  a\n", "sums")
