"""The tool of examples/iuk: for any two systems, the old one under the difference shows the new one."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLE = Path(__file__).parents[2] / "examples" / "iuk"
sys.path.insert(0, str(EXAMPLE / "tool"))

from incremental import medium  # noqa: E402
from incremental.difference import difference, is_whiteout, overlaid, unlike  # noqa: E402
from incremental.system import Entry, System, same_content, write_archive  # noqa: E402

NAMES = st.sampled_from(["a", "b", "c", "d\n", "é", "\udcff"])
XATTRS = st.sampled_from([(), (("security.capability", "\x01\0\udc80"),), (("user.x", "1"), ("user.y", "2"))])
LEAVES = st.builds(
    lambda kind, mode, owner, mtime, xattrs, content: (
        Entry(kind, mode, owner, owner, mtime, "to" if kind == "l" else "", (1, 3) if kind in "cb" else (0, 0), xattrs),
        content if kind == "f" else b"",
    ),
    st.sampled_from("ffflcbp"), st.sampled_from([0o644, 0o4755, 0]), st.integers(0, 2), st.integers(0, 2), XATTRS,
    st.binary(max_size=3),
)  # fmt: skip
FOLDER = st.builds(
    lambda mode, mtime: Entry("d", mode, mtime=mtime), st.sampled_from([0o755, 0o1777]), st.integers(0, 2)
)
TREES = st.recursive(LEAVES, lambda inner: st.tuples(FOLDER, st.dictionaries(NAMES, inner, max_size=4)), max_leaves=12)
ROOTS = st.tuples(FOLDER, st.dictionaries(NAMES, TREES, max_size=5))


def system(root: object) -> System:
    entries: dict[str, Entry] = {}
    contents: dict[str, bytes] = {}

    def add(path: str, node: tuple) -> None:
        entry, rest = node
        contents[path] = rest if isinstance(rest, bytes) else b""
        entries[path] = entry._replace(size=len(contents[path]))
        for name, child in rest.items() if isinstance(rest, dict) else ():
            add(f"{path}/{name}".lstrip("/"), child)

    add("", root)  # type: ignore[arg-type]
    return System(entries, lambda path: iter([contents[path]] if contents[path] else []))


@settings(max_examples=300, deadline=None)
@given(ROOTS, ROOTS)
def test_the_old_system_under_the_difference_shows_the_new_one(before: object, after: object) -> None:
    old, new = system(before), system(after)
    upper = difference(old, new, epoch=9)
    shown = overlaid(old, upper)
    assert unlike(shown, new) == []
    for path, entry in upper.entries.items():
        parent = path.rpartition("/")[0]
        assert parent in upper.entries and (not path or upper.entries[parent].kind == "d"), "every folder is there"
        if is_whiteout(entry):
            assert path in old.entries and path not in new.entries, "only what is gone"


@settings(max_examples=100, deadline=None)
@given(ROOTS)
def test_between_the_same_systems_there_is_no_difference(root: object) -> None:
    one = system(root)
    assert list(difference(one, one, epoch=9).entries) == [""]


def folder(*children: tuple[str, tuple], **more) -> tuple:
    return Entry("d", **more), dict(children)


def file(content: bytes = b"x", **more) -> tuple:
    return Entry("f", 0o644, **more), content


def test_a_folder_in_place_of_a_file_and_the_other_way_round() -> None:
    old = system(folder(("x", file()), ("y", folder(("z", file())))))
    new = system(folder(("x", folder(("z", file()))), ("y", file())))
    upper = difference(old, new, epoch=9)
    assert sorted(upper.entries) == ["", "x", "x/z", "y"], "what was below a folder is hidden with it"
    assert not any(map(is_whiteout, upper.entries.values()))


def test_attributes_of_overlayfs_are_no_part_of_a_difference() -> None:
    marked = (("trusted.overlay.opaque", "y"), ("user.x", "1"))
    old = system(folder(("d", folder(("f", file())))))
    new = system(folder(("d", folder(("g", file()), xattrs=marked))))
    upper = difference(old, new, epoch=9)
    assert upper.entries["d"].xattrs == (("user.x", "1"),)
    with pytest.raises(ValueError, match="attribute of overlayfs"):
        overlaid(old, System({**upper.entries, "d": upper.entries["d"]._replace(xattrs=marked)}, upper.pieces))


def test_a_system_that_an_overlay_cannot_show_is_refused() -> None:
    with pytest.raises(ValueError, match="device 0:0"):
        difference(system(folder()), system(folder(("x", (Entry("c"), b"")))), epoch=9)


def test_times_count_unless_they_are_ignored() -> None:
    old = system(folder(("f", file(mtime=1)), ("g", file(mtime=1))))
    new = system(folder(("f", file(mtime=2)), ("g", file(b"y", mtime=2))))
    assert sorted(difference(old, new, epoch=9).entries) == ["", "f", "g"]
    assert sorted(difference(old, new, epoch=9, ignored=["/*"]).entries) == ["", "g"]


@settings(max_examples=50, deadline=None)
@given(ROOTS)
def test_an_archive_holds_the_whole_system(tmp_path_factory: pytest.TempPathFactory, root: object) -> None:
    one = system(root)
    path = tmp_path_factory.mktemp("archive") / "x.tar"
    write_archive(one, str(path))
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as tar:
        members = {member.name.removeprefix(".").strip("/"): member for member in tar}
        assert sorted(members) == sorted(one.entries)
        for name, member in members.items():
            entry = one.entries[name]
            assert (member.mode, member.uid, member.mtime, member.linkname) == (
                entry.mode, entry.uid, entry.mtime, entry.link,
            )  # fmt: skip
            assert {k: v for k, v in member.pax_headers.items() if "xattr" in k} == {
                f"SCHILY.xattr.{key}": value for key, value in entry.xattrs
            }
            if entry.kind == "f":
                assert (tar.extractfile(member) or io.BytesIO()).read() == b"".join(one.pieces(name))


def test_content_is_compared_in_pieces() -> None:
    def of(*pieces: bytes) -> System:
        return System({"f": Entry("f", size=sum(map(len, pieces)))}, lambda _path: iter(pieces))

    assert same_content(of(b"ab", b"c"), of(b"ab", b"c"), "f")
    assert not same_content(of(b"ab", b"c"), of(b"ab", b"d"), "f")
    assert not same_content(of(b"ab"), of(b"ab", b"c"), "f")


# --- the medium ------------------------------------------------------------------------------------------------------


def put(top: Path, **files: str) -> Path:
    for name, content in files.items():
        path = top / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return top


def test_the_boot_loaders_folder_is_called_otherwise_on_a_medium(tmp_path: Path) -> None:
    top = tmp_path / "m"
    (top / "isolinux").mkdir(parents=True)
    (top / "isolinux" / "isolinux.cfg").write_text("include /isolinux/menu.cfg")
    (top / "isolinux" / "menu.cfg").write_text("x")
    assert medium.read_medium(str(top)) == {
        "syslinux/syslinux.cfg": b"include /syslinux/menu.cfg", "syslinux/menu.cfg": b"x",
    }  # fmt: skip


def test_what_is_carried_and_what_is_deleted() -> None:
    old = {
        "EFI/BOOT/bootx64.efi": b"1", "EFI/BOOT/gone.cfg": b"1", "live/vmlinuz": b"1", "live/initrd.img": b"1",
        "live/notes.txt": b"1", "elsewhere/file": b"1", "EFI/deep/er/file": b"1", "utils/x": b"1",
    }  # fmt: skip
    new = {"EFI/BOOT/BOOTX64.EFI": b"2", "live/vmlinuz": b"1", "live/initrd.img": b"2", "utils/y": b"1", "other": b"2"}
    assert list(medium.carried(old, new)) == ["EFI/BOOT/BOOTX64.EFI", "live/initrd.img", "utils/y"]
    assert medium.deleted(old, new) == ["EFI/BOOT/gone.cfg", "live/notes.txt", "utils/x"], (
        "not what only changed its case, and not what is in other folders"
    )


def test_names_that_fat32_does_not_have_are_refused(tmp_path: Path) -> None:
    for number, names in enumerate((["EFI/a:b"], ["EFI/a."], ["EFI/x", "EFI/X"])):
        top = tmp_path / str(number)
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text("x")
        with pytest.raises(ValueError, match="FAT32"):
            medium.read_medium(str(top))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_control_yml_is_read_as_it_was_written(names: list[str]) -> None:
    import yaml

    text = medium.control(names)
    assert medium.read_control(text) == names
    if all(name.isprintable() for name in names):
        assert yaml.safe_load(text) == {"delete_files": names}


# --- its repository --------------------------------------------------------------------------------------------------


def _tracked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and ".git" not in path.parts:
            yield str(path.relative_to(folder)), path.read_bytes()


@pytest.mark.skipif(shutil.which("git") is None, reason="git reads the bundle")
def test_the_bundle_has_the_tool_as_it_is_here(tmp_path: Path) -> None:
    git = ["git", "-c", "init.defaultBranch=main", "-c", "advice.detachedHead=false"]
    clone = [*git, "clone", "-q", "--branch", "main", str(EXAMPLE / "tool.bundle"), str(tmp_path / "clone")]
    subprocess.run(clone, check=True)
    assert dict(_tracked(tmp_path / "clone")) == dict(_tracked(EXAMPLE / "tool")), "run examples/iuk/update-bundle.sh"
    tags = subprocess.run([*git, "-C", str(tmp_path / "clone"), "tag"], check=True, capture_output=True).stdout.split()
    assert tags == [b"v1.0", b"v1.1"]
