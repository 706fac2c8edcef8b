"""Parts of images: what .dockerignore leaves out, how COPY copies, what a layer's tar and the image's files are."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contractor.buildd.builds import dockerignore, oci, oci_image
from contractor.buildd.builds.dockerfile import parse
from contractor.buildd.builds.dockerfile_model import Config
from contractor.buildd.builds.oci_image import Layer, Line
from contractor.buildd.inside import copy as inside_copy
from contractor.buildd.inside import root as inside_root
from contractor.core.errors import ContractorError, Rejected

WORLD = SimpleNamespace(owners=False, state={})


@pytest.mark.parametrize(
    ("lines", "path", "out"),
    [
        ("*.o", "a.o", True),
        ("*.o", "d/a.o", False),
        ("**/*.o", "d/e/a.o", True),
        ("**/*.o", "a.o", True),
        ("d", "d/e/f", True),
        ("/d/", "d/x", True),
        ("d/*/x", "d/e/x", True),
        ("d/*/x", "d/e/f/x", False),
        ("# d\n\n", "# d", False),
        ("*\n!keep", "keep", False),
        ("*\n!keep", "other", True),
        ("*\n!keep\nkeep/not", "keep/not", True),
        ("d\n!d/e", "d/e", False),
        ("a?c", "abc", True),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[z-a]", "z", False),
        ("\\*", "*", True),
        ("\\*", "x", False),
        (".", "x", False),
        ("../x", "x", False),
        ("**", "any/thing", True),
    ],
)
def test_what_a_dockerignore_leaves_out(lines: str, path: str, out: bool) -> None:
    assert dockerignore.read(lines.encode()).leaves_out(path.encode()) == out


class Trees:
    """A context and a stage's tree in a folder."""

    def __init__(self, folder: Path) -> None:
        self.context = folder / "context"
        self.root = folder / "root"
        self.context.mkdir()
        self.root.mkdir()

    def copy(self, sources: Sequence[str], target: str, **more: Any) -> int:
        args = {
            "at": str(self.root), "origin": str(self.context), "top": "", "sources": sources, "inline": [],
            "target": target, "owner": "", "mode": None, "ignore": b"", "unpack": False, **more,
        }  # fmt: skip
        return inside_copy.copy(WORLD, args, [])  # type: ignore[arg-type]

    def found(self) -> dict[str, str]:
        every = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            every[name] = f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        return every


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    made = Trees(tmp_path)
    for name, text in {"a.txt": "a", "b.txt": "b", "d/c.txt": "c", "d/e/f": "f", "x.o": "o"}.items():
        (made.context / name).parent.mkdir(parents=True, exist_ok=True)
        (made.context / name).write_text(text)
    (made.context / "d/l").symlink_to("../a.txt")
    return made


def test_copy_of_files(trees: Trees) -> None:
    trees.copy(["a.txt"], "/new")
    trees.copy(["a.txt"], "/in/")
    trees.copy(["*.txt"], "/all/")
    trees.copy(["a.txt"], "/in")  # a folder by now
    assert trees.found() == {
        "all": "/", "all/a.txt": "a", "all/b.txt": "b", "in": "/", "in/a.txt": "a", "new": "a",
    }  # fmt: skip


def test_copy_of_a_folder_is_copy_of_what_is_in_it(trees: Trees) -> None:
    trees.copy(["d"], "/t", mode=0o600)
    assert trees.found() == {"t": "/", "t/c.txt": "c", "t/e": "/", "t/e/f": "f", "t/l": "-> ../a.txt"}
    assert (trees.root / "t/c.txt").stat().st_mode & 0o7777 == 0o600
    assert (trees.root / "t/c.txt").stat().st_mtime_ns == (trees.context / "d/c.txt").stat().st_mtime_ns


def test_copy_leaves_out_what_is_ignored(trees: Trees) -> None:
    trees.copy(["."], "/", ignore=b"*.txt\n!b.txt\n**/f\n*.o")
    assert trees.found() == {"b.txt": "b", "d": "/", "d/c.txt": "c", "d/e": "/", "d/l": "-> ../a.txt"}
    with pytest.raises(Rejected, match=r"no file matches 'x\.o'"):
        trees.copy(["x.o"], "/", ignore=b"*.o")


def test_files_of_the_dockerfile_itself(trees: Trees) -> None:
    trees.copy([], "/etc/one", inline=[("EOF", "text\n")])
    trees.copy(["a.txt"], "/etc/", inline=[("EOF", "x")])
    assert trees.found() == {"etc": "/", "etc/EOF": "x", "etc/a.txt": "a", "etc/one": "text\n"}


def test_no_link_leads_out_of_the_context(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    (trees.context / "up").symlink_to("../secret")
    (trees.context / "abs").symlink_to(str(tmp_path))
    for source in ("up", "abs/secret", "../secret", "d/../../secret"):
        with pytest.raises(Rejected):
            trees.copy([source], "/stolen")
    assert trees.found() == {}
    trees.copy(["."], "/")
    assert "s3cr3t" not in trees.found().values()


def test_no_link_leads_out_of_the_tree(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (trees.root / "usr").mkdir()
    (trees.root / "lib").symlink_to("usr")
    (trees.root / "evil").symlink_to(str(tmp_path / "outside"))
    (trees.root / "file").symlink_to(str(tmp_path / "outside/file"))
    trees.copy(["a.txt"], "/lib/")
    assert (trees.root / "usr/a.txt").read_text() == "a", "a link within the tree is followed"
    with pytest.raises(Rejected):
        trees.copy(["a.txt"], "/evil/x")
    trees.copy(["a.txt"], "/file")
    assert (trees.root / "file").read_text() == "a" and not (trees.root / "file").is_symlink()
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_folder_and_a_file_do_not_take_each_others_place(trees: Trees) -> None:
    (trees.root / "f").write_text("x")
    with pytest.raises(Rejected, match="is no folder of the image"):
        trees.copy(["a.txt"], "/f/")
    (trees.root / "d/c.txt").mkdir(parents=True)
    with pytest.raises(Rejected, match="is a folder of the image"):
        trees.copy(["d"], "/d/")
    os.mkfifo(trees.context / "fifo")
    with pytest.raises(Rejected, match="no file, folder or link"):
        trees.copy(["fifo"], "/x")


def test_add_unpacks_archives_and_nothing_else(trees: Trees) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as made:
        member = tarfile.TarInfo("in/side")
        member.size = 3
        made.addfile(member, io.BytesIO(b"one"))
    (trees.context / "t.tgz").write_bytes(data.getvalue())
    trees.copy(["t.tgz"], "/t", unpack=True)
    trees.copy(["a.txt"], "/u", unpack=True)
    trees.copy(["t.tgz"], "/v/", unpack=False)
    assert (trees.root / "t/in/side").read_text() == "one"
    assert (trees.root / "u").read_text() == "a"
    assert (trees.root / "v/t.tgz").read_bytes() == data.getvalue()


def test_an_archive_that_wants_out(trees: Trees) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        made.addfile(tarfile.TarInfo("../../out"), io.BytesIO())
    (trees.context / "t.tar").write_bytes(data.getvalue())
    with pytest.raises(ContractorError):
        trees.copy(["t.tar"], "/t/", unpack=True)
    assert not (trees.root.parent / "out").exists()


def test_users_are_numbers_or_known(trees: Trees) -> None:
    (trees.root / "etc").mkdir()
    (trees.root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\napp:x:7:8::/:/bin/sh\nbig:x:70000:1::/:\nbroken\n")
    (trees.root / "etc/group").write_text("staff:x:50:\n")

    def ids(owner: str) -> tuple[int, int]:
        return inside_root.ids_of(WORLD, {"at": str(trees.root), "owner": owner}, [])  # type: ignore[arg-type]

    assert [ids(owner) for owner in ("app", "app:staff", "12", "12:13", "app:9")] == [
        (7, 8), (7, 50), (12, 12), (12, 13), (7, 9),
    ]  # fmt: skip
    for owner in ("nobody", "app:none", "70000", "big"):
        with pytest.raises(Rejected):
            ids(owner)


def test_the_files_of_an_image() -> None:
    layers = [
        Layer("sha256:" + "a" * 64, "sha256:" + "1" * 64, ""),
        Layer("sha256:" + "b" * 64, "sha256:" + "2" * 64, ""),
    ]
    first, second = oci_image.layer_ids(layers)
    assert first == "a" * 64
    assert second == hashlib.sha256(f"sha256:{first} sha256:{'b' * 64}".encode()).hexdigest()
    lines = [Line("FROM x", True), Line("ENV a=b", False), Line("RUN y", True)]
    config = oci_image.configuration(Config(env={"a": "b"}), layers, lines, "amd64", 1714979289)
    files = oci_image.files("hello", config, layers)
    name = hashlib.sha256(config).hexdigest() + ".json"
    assert json.loads(files["manifest.json"]) == [
        {"Config": name, "RepoTags": ["hello:latest"], "Layers": [f"{first}/layer.tar", f"{second}/layer.tar"]}
    ]
    assert json.loads(files["digests.json"]) == [
        {
            "sha256:" + "a" * 64: {"digest": "sha256:" + "1" * 64, "source": None, "layer_id": first},
            "sha256:" + "b" * 64: {"digest": "sha256:" + "2" * 64, "source": None, "layer_id": second},
        }
    ]
    said = json.loads(files[name])
    assert said["rootfs"]["diff_ids"] == [layer.diff_id for layer in layers]
    assert [line.get("empty_layer", False) for line in said["history"]] == [False, True, False]
    assert said["created"] == "2024-05-06T07:08:09Z"


def test_stages_that_nobody_needs_are_left_out() -> None:
    text = b"FROM a AS x\nFROM a AS unused\nFROM scratch AS y\nCOPY --from=x /a /b\nFROM y\n"
    assert oci._needed(parse(text, {}, "amd64")) == {0, 2, 3}
