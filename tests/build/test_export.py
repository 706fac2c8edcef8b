"""export: what is in the folder is what was built, and SHA256SUMS says so to sha256sum."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.export.copying import squashfs_argv
from contractor.build.export.exporting import combination_folder, export, sums_lines
from contractor.core.errors import Broken, Rejected, Unavailable
from contractor.core.events import ArtifactInfo
from contractor.sandbox import process
from contractor.store import tarformat
from contractor.store.compress import ZstdSink, open_zstd
from contractor.store.layout import Store
from contractor.store.results import artifact_path
from contractor.store.tarformat import Member

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from cli_store import artifact, record

BUILD = "20250304-101500-hello-aaaa"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def tree(tmp_path) -> Path:
    made = tmp_path / "tree"
    (made / "sub dir").mkdir(parents=True)
    (made / "sub dir" / "file").write_text("content")
    (made / "run").write_text("#!/bin/sh\n")
    (made / "run").chmod(0o755)
    (made / "link").symlink_to("sub dir/file")
    (made / "back\\slash\nline").write_text("x")
    return made


def check(folder: Path) -> None:
    """sha256sum agrees, and nothing else is there."""
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def uncompressed(path: Path) -> str:
    with open(path, "rb") as file:
        read, sha = open_zstd(file.fileno()), hashlib.sha256()
        while data := read(1 << 16):
            sha.update(data)
    return sha.hexdigest()


def test_each_format(store, tree, tmp_path):
    made = tuple(artifact(store, tree, form.replace(".", "-"), form) for form in ("tar.zst", "tar", "directory"))
    out = tmp_path / "a" / "out"
    export([record(BUILD, artifacts=made)], store, str(out), many=False)
    assert sorted(os.listdir(out)) == ["SHA256SUMS", "directory", "tar-zst.tar.zst", "tar.tar"]
    assert uncompressed(out / "tar-zst.tar.zst") == made[0].digest
    assert hashlib.sha256((out / "tar.tar").read_bytes()).hexdigest() == made[0].digest
    assert (out / "directory" / "link").read_text() == "content"
    assert (out / "directory" / "run").stat().st_mode & 0o111
    sums = (out / "SHA256SUMS").read_text()
    assert f"# sha256 of the uncompressed archive of tar: {made[1].digest}\n" in sums
    assert "directory/back\\\\slash\\nline" in sums
    check(out)


def test_what_was_there_is_replaced(store, tree, tmp_path):
    out = tmp_path / "out"
    (out / "hello").mkdir(parents=True)
    (out / "hello" / "old").write_text("old")
    (out / "hello").chmod(0o555)
    (out / "hello.tar").write_text("old")
    files = [artifact(store, tree, "hello", form) for form in ("tar", "directory")]
    export([record(BUILD, artifacts=(files[0],))], store, str(out), many=False)
    export([record(BUILD, artifacts=(files[1],))], store, str(out), many=False)
    assert not (out / "hello" / "old").exists()
    assert (out / "hello.tar").stat().st_size == files[0].size
    check(out)


def test_a_directory_in_the_place_of_a_file_is_left(store, tree, tmp_path):
    (tmp_path / "out" / "hello.tar").mkdir(parents=True)
    made = artifact(store, tree, "hello", "tar")
    with pytest.raises(Rejected, match="is a directory"):
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)
    assert os.listdir(tmp_path / "out") == ["hello.tar"]


def test_a_matrix_has_a_folder_each(store, tree, tmp_path):
    made = artifact(store, tree)
    records = [record(BUILD, artifacts=(made,), matrix={"arch": arch, "v": "a/b"}) for arch in ("amd64", "arm64")]
    export(records, store, str(tmp_path / "out"), many=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["arch-amd64,v-a%2Fb", "arch-arm64,v-a%2Fb"]
    check(tmp_path / "out" / "arch-amd64,v-a%2Fb")


@given(st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=300), min_size=1, max_size=3), max_size=6))
def test_folder_names_are_safe_and_differ(combinations):
    names = [combination_folder(matrix) for matrix in combinations]
    for name in names:
        assert "/" not in name and "\0" not in name and not name.startswith(".") and len(os.fsencode(name)) <= 255
    ordered = [tuple(matrix.items()) for matrix in combinations if all("-" not in key for key in matrix)]
    assert len({combination_folder(dict(items)) for items in ordered}) == len(set(ordered))


@pytest.mark.parametrize("form", ["tar.zst", "tar", "directory"])
@pytest.mark.parametrize("damage", ["flip", "cut", "other", "garbage"])
def test_a_damaged_artifact_is_broken_and_leaves_nothing(store, tree, tmp_path, form, damage):
    made = artifact(store, tree, "hello", form)
    path = artifact_path(store, made.digest)
    data = Path(path).read_bytes()
    (tree / "other").write_text("y")
    other = artifact(store, tree)
    changed = {
        "flip": data[:40] + bytes([data[40] ^ 0xFF]) + data[41:],
        "cut": data[: len(data) // 2],
        "other": Path(artifact_path(store, other.digest)).read_bytes(),
        "garbage": b"not zstd at all",
    }
    Path(path).write_bytes(changed[damage])
    with pytest.raises(Broken, match="damaged"):
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)
    assert os.listdir(tmp_path / "out") == []


def test_an_artifact_that_is_gone(store, tree, tmp_path):
    made = artifact(store, tree)
    os.unlink(artifact_path(store, made.digest))
    with pytest.raises(Broken, match="not in the store"):
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)


def test_links_that_lead_out_are_not_unpacked(store, tree, tmp_path):
    (tree / "evil").symlink_to("/etc/passwd")
    made = artifact(store, tree, "hello", "directory")
    with pytest.raises(Rejected, match="cannot be unpacked"):
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "SHA256SUMS/x", "a\nb"])
def test_a_records_names_do_not_lead_out(store, tmp_path, name):
    item = ArtifactInfo(name=name, digest="0" * 64, size=1, files=1, stored=1)
    with pytest.raises(Broken):
        export([record(BUILD, artifacts=(item,))], store, str(tmp_path / "out"), many=False)
    assert os.listdir(tmp_path / "out") == []


def test_a_folder_that_cannot_be_made(store, tree, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Rejected, match="cannot write"):
        export([record(BUILD, artifacts=(artifact(store, tree),))], store, str(tmp_path / "file" / "out"), many=False)


def test_sums_are_sorted():
    lines = sums_lines({b"b": "1" * 64, b"a\\": "2" * 64}, [])
    assert lines == [b"\\" + b"2" * 64 + b"  a\\\\\n", b"1" * 64 + b"  b\n"]


def test_squashfs_command_line():
    argv = squashfs_argv("/usr/bin/mksquashfs", "/o/.x.tar", "/o/.x", 42)
    assert argv == [
        "/bin/sh",
        "-c",
        (
            'exec "$0" - "$1" -tar -root-mode 0755 -root-uid 0 -root-gid 0 -all-time 42 -mkfs-time 42 '
            '-noappend -no-progress -quiet < "$2"'
        ),
        "/usr/bin/mksquashfs",
        "/o/.x",
        "/o/.x.tar",
    ]


@pytest.mark.skipif(process.which("unsquashfs") is None, reason="squashfs-tools is not installed")
def test_the_files_of_a_system_tree_keep_their_owners_in_a_squashfs(store, tmp_path):
    """An image can be the same every time and still be wrong: with all files root's, a system does not work."""
    members = (
        Member(b"etc/", tarformat.DIRECTORY, 0o755, 0, 0, 0, 0),
        Member(b"etc/shadow", tarformat.FILE, 0o640, 0, 42, 0, 0),
        Member(b"home/", tarformat.DIRECTORY, 0o700, 1000, 1001, 0, 0),
    )
    data = b"".join(map(tarformat.encode, members))
    data += tarformat.ending(len(data))
    digest = hashlib.sha256(data).hexdigest()
    path = Path(artifact_path(store, digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file, ZstdSink(file.fileno()) as sink:
        sink(data)
    made = ArtifactInfo(name="system", digest=digest, size=len(data), files=1, stored=1, format="squashfs")
    export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)
    listed = process.run([process.which("unsquashfs"), "-lln", str(tmp_path / "out" / "system.squashfs")]).output
    lines = [line.split() for line in listed.decode().splitlines() if "squashfs-root" in line]
    assert [(line[0], line[1], line[-1].removeprefix("squashfs-root")) for line in lines] == [
        ("drwxr-xr-x", "0/0", ""),
        ("drwxr-xr-x", "0/0", "/etc"),
        ("-rw-r-----", "0/42", "/etc/shadow"),
        ("drwx------", "1000/1001", "/home"),
    ]


def test_squashfs_without_the_tool(store, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "which", lambda _name: None)
    made = artifact(store, tree, "hello", "squashfs")
    with pytest.raises(Unavailable) as caught:
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / "out"), many=False)
    assert caught.value.hint == "sudo apt-get install squashfs-tools"


@pytest.mark.skipif(process.which("mksquashfs") is None, reason="squashfs-tools is not installed")
def test_squashfs_is_deterministic(store, tree, tmp_path):
    made = artifact(store, tree, "hello", "squashfs")
    for name in ("one", "two"):
        export([record(BUILD, artifacts=(made,))], store, str(tmp_path / name), many=False)
        check(tmp_path / name)
    assert (tmp_path / "one" / "hello.squashfs").read_bytes() == (tmp_path / "two" / "hello.squashfs").read_bytes()
