"""The digests of folders: what `sha256sum` and git say of the same folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proof_kit import tree

from contractor.core.errors import Rejected
from contractor.proof.tree import archive_digest, file_digest, folder_digests

_SUMS = "find . -type f -print0 | cut -z -c3- | LC_ALL=C sort -z | xargs -0r sha256sum --"
_DIR_HASH = f"{_SUMS} | sha256sum | cut -f1 -d' '"


def by_sha256sum(folder: Path) -> str:
    return subprocess.run(
        ["sh", "-c", _DIR_HASH], cwd=folder, capture_output=True, check=True, text=True
    ).stdout.strip()


def by_git(folder: Path, work: Path) -> str:
    git = ["git", f"--git-dir={work}/git", f"--work-tree={folder}", "-c", "core.autocrlf=false"]
    shutil.rmtree(work / "git", ignore_errors=True)
    subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha256", work / "git"], check=True)
    subprocess.run([*git, "add", "-A", "-f", "."], cwd=folder, check=True)
    return subprocess.run([*git, "write-tree"], capture_output=True, check=True, text=True).stdout.strip()


def test_they_are_what_others_compute(tmp_path) -> None:
    made = tree(tmp_path / "tree")
    assert folder_digests(str(made)) == {"dirHash": by_sha256sum(made), "gitTree": by_git(made, tmp_path)}


def test_of_an_empty_folder(tmp_path) -> None:
    made = tmp_path / "empty"
    (made / "inner").mkdir(parents=True)
    assert folder_digests(str(made)) == {"dirHash": by_sha256sum(made), "gitTree": by_git(made, tmp_path)}


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0\n\\\r"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and not name.lower().startswith(".git") and len(os.fsencode(name)) < 100
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(NAMES, st.one_of(st.binary(max_size=9), st.dictionaries(NAMES, st.binary(max_size=9)))))
def test_of_any_folder(tmp_path: Path, files: dict[str, bytes | dict[str, bytes]]) -> None:
    made = tmp_path / "any"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name, content in files.items():
        if isinstance(content, bytes):
            (made / name).write_bytes(content)
            continue
        (made / name).mkdir()
        for inner, data in content.items():
            (made / name / inner).write_bytes(data)
    assert folder_digests(str(made)) == {"dirHash": by_sha256sum(made), "gitTree": by_git(made, tmp_path)}


@pytest.mark.parametrize(
    "change",
    [
        lambda made: (made / "run").chmod(0o644),
        lambda made: (made / "sub dir" / "file").write_text("other"),
        lambda made: (made / "new").write_text(""),
        lambda made: (made / "link").unlink(),
        lambda made: (made / "other link").symlink_to("run"),
        lambda made: os.rename(made / "run", made / "run2"),
    ],
)
def test_every_change_is_seen(tmp_path, change) -> None:
    made = tree(tmp_path / "tree")
    before = folder_digests(str(made))["gitTree"]
    change(made)
    assert folder_digests(str(made))["gitTree"] != before


def test_a_name_with_a_line_end_has_no_dir_hash(tmp_path) -> None:
    (tmp_path / "a\nb").write_text("x")
    assert set(folder_digests(str(tmp_path))) == {"gitTree"}


def test_a_pipe_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Rejected, match="neither a file, a link nor a folder"):
        folder_digests(str(tmp_path))


def test_folders_without_end_are_refused(tmp_path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        with pytest.raises(Rejected, match=r"more folders in folders|File name too long"):
            folder_digests(str(tmp_path))
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest could not


def test_only_zstd_files_have_an_archive(tmp_path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(b"content" * 1000)
    subprocess.run(["zstd", "-q", plain, "-o", packed], check=True)
    assert archive_digest(str(plain)) is None
    assert archive_digest(str(packed)) == file_digest(str(plain))
    packed.write_bytes(packed.read_bytes()[:8] + b"\xff" * 20)
    with pytest.raises(Rejected, match="damaged"):
        archive_digest(str(packed))
