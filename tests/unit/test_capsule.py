"""Capsules: every byte is determined, every other byte is refused with its place, and nothing of a bad one is used."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contractor.build.capsule.importing import import_capsule
from contractor.build.capsule.layout import Item, Manifest, Reader, Writer
from contractor.build.source.git_archive import archive_of
from contractor.core.errors import Broken, Rejected
from contractor.store.layout import Store
from contractor.store.lock_roots import roots
from contractor.store.pack import PackOptions, pack

COMMIT = "c" * 40


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(folder: Path, files: dict[str, bytes]) -> bytes:
    """A folder's archive, as planning makes it of a source."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = bytearray()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    pack(
        fd, None, PackOptions(mtime_limit=1_000_000_000, fixed_mtime=1_000_000_000, only_executable=True), found.extend
    )
    os.close(fd)
    return bytes(found)


class Made:
    """A capsule's contents, and what they are written as."""

    def __init__(self, contents: dict[tuple[str, str, str], bytes], **more) -> None:
        items = [
            Item(kind, name, len(data), sha(data), path=path, executable=path == "" and name.endswith("action"))
            for (kind, name, path), data in contents.items()
        ]
        self.manifest = Manifest(**{"name": "demo", "spec": "contractor.yaml", "items": tuple(items), **more})
        self.contents = list(contents.values())
        self.data, self.sha256 = self.write()

    def write(self) -> tuple[bytes, str]:
        found = bytearray()
        writer = Writer(self.manifest, found.extend)
        for item, data in zip(self.manifest.items, self.contents, strict=True):
            writer.add(item, iter([data[:3], data[3:]]))
        sha256 = writer.finish()
        return bytes(found), sha256


def sealed(manifest: Manifest, contents: list[bytes]) -> bytes:
    """A capsule of a hostile manifest, whose digests all fit."""
    found = bytearray()
    writer = Writer(manifest, found.extend)
    for item, data in zip(manifest.items, contents, strict=True):
        writer.add(item, iter([data]))
    writer.finish()
    return bytes(found)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    source = archive(tmp_path_factory.mktemp("src"), {"a.c": b"int main;", "sub/b.c": b"b" * 700})
    checkout = archive(tmp_path_factory.mktemp("git"), {"README": b"read me"})
    return Made(
        {
            ("project", ".contractor/actions/action", ""): b"#!/bin/sh\n",
            ("project", "contractor.lock", ""): b"{}\n",
            ("project", "contractor.yaml", ""): b"contractor: 1\n",
            ("sources", sha(source), "src"): source,
            ("captured", sha(b"a package"), ""): b"a package",
            ("captured", sha(b""), ""): b"",
            ("blobs", sha(b"x" * 2000), ""): b"x" * 2000,
            ("git", COMMIT, ""): checkout,
        },
        parameters={"VERSION": "1.0"},
    )


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def state(root: str) -> dict[str, bytes]:
    """Every file below a folder, but empty folders that were made on the way."""
    return {str(path): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def put(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "it.capsule"
    path.write_bytes(data)
    return str(path)


def test_equal_inputs_give_equal_bytes_that_any_tar_can_read(made):
    assert made.write() == (made.data, made.sha256)
    assert made.sha256 == sha(made.data)
    with tarfile.open(fileobj=io.BytesIO(made.data)) as tar:
        names = tar.getnames()
        assert names[0] == "capsule.json" and names[-1] == "capsule.sha256"
        assert tar.extractfile("project/contractor.yaml").read() == b"contractor: 1\n"
        assert {(member.mode, member.mtime, member.uid) for member in tar} == {(0o644, 0, 0), (0o755, 0, 0)}


def test_it_comes_back_whole(made, store, tmp_path):
    done = import_capsule(put(tmp_path, made.data), str(tmp_path / "out"), store)
    assert done.sha256 == made.sha256
    assert done.spec == str(tmp_path / "out" / "contractor.yaml")
    assert done.manifest.parameters == {"VERSION": "1.0"}
    out = tmp_path / "out"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        ".contractor/actions/action", "contractor.lock", "contractor.yaml", "src/a.c", "src/sub/b.c",
    ]  # fmt: skip
    assert os.access(out / ".contractor/actions/action", os.X_OK)
    assert {(out / "src" / name).stat().st_mtime for name in ("a.c", "sub", "sub/b.c")} == {1_000_000_000}
    assert Path(store.captured.path(sha(b"a package"))).read_bytes() == b"a package"
    assert store.blobs.path(sha(b"x" * 2000)).read_bytes() == b"x" * 2000
    assert archive_of(store, COMMIT) == sha(made.contents[-1])
    (root,) = roots(store)
    assert root.path == str(out / "contractor.lock") and sha(b"a package") in root.digests
    assert done.added > 0
    assert os.listdir(store.path("captured", "tmp")) == []


def test_a_store_that_has_some_of_it_gets_the_rest_and_what_was_damaged(made, store, tmp_path):
    import_capsule(put(tmp_path, made.data), str(tmp_path / "one"), store)
    Path(store.captured.path(sha(b"a package"))).write_bytes(b"damaged")
    done = import_capsule(put(tmp_path, made.data), str(tmp_path / "two"), store)
    assert done.added == 0
    assert Path(store.captured.path(sha(b"a package"))).read_bytes() == b"a package"


def regions(data: bytes) -> list[int]:
    """A byte of each block: headers, contents, padding, the end."""
    return sorted({*range(0, len(data), 197), *range(0, len(data), 512), len(data) - 1, 257, 148, 124, 156})


def test_any_flipped_byte_is_refused_with_its_place_and_changes_nothing(made, store, tmp_path):
    before = state(store.root)
    for at in regions(made.data):
        torn = bytearray(made.data)
        torn[at] ^= 0x20
        with pytest.raises(Rejected) as caught:
            import_capsule(put(tmp_path, bytes(torn)), str(tmp_path / "out"), store)
        assert "it.capsule" in caught.value.message
        assert "at byte" in caught.value.message or "is not a capsule" in caught.value.message
        assert caught.value.hint
        assert not (tmp_path / "out").exists()
    assert state(store.root) == before


def test_any_truncation_is_refused(made, store, tmp_path):
    before = state(store.root)
    for length in [*range(0, len(made.data), 509), len(made.data) - 1]:
        with pytest.raises(Rejected, match=r"at byte|is not a capsule"):
            import_capsule(put(tmp_path, made.data[:length]), str(tmp_path / "out"), store)
    assert state(store.root) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [b"\0", b"x", b"\0" * 10240])
def test_nothing_may_follow(made, store, tmp_path, more):
    with pytest.raises(Rejected, match="something follows its end"):
        import_capsule(put(tmp_path, made.data + more), str(tmp_path / "out"), store)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_edit_is_read_as_a_capsule(made, data):
    at = data.draw(st.integers(0, len(made.data) - 1))
    end = data.draw(st.integers(at, min(len(made.data), at + 600)))
    torn = made.data[:at] + data.draw(st.binary(max_size=600)) + made.data[end:]
    if torn == made.data:
        return
    with pytest.raises(Rejected):
        reader = Reader(io.BytesIO(torn), "it")
        for item in reader.manifest.items:
            for _ in reader.pieces(item):
                pass
        reader.finish()


def item(kind: str, name: str, data: bytes, **more) -> Item:
    return Item(**{"kind": kind, "name": name, "size": len(data), "digest": sha(data), **more})


SPEC = item("project", "contractor.yaml", b"s")


@pytest.mark.parametrize(
    "bad",
    [
        item("project", "../evil", b"x"),
        item("project", "/etc/passwd", b"x"),
        item("project", "a/../../b", b"x"),
        item("project", "a//b", b"x"),
        item("project", ".", b"x"),
        item("project", "", b"x"),
        item("project", "a\0b", b"x"),
        item("project", "x" * 300, b"x"),
        item("sources", sha(b"x"), b"x", path="../out"),
        item("sources", sha(b"x"), b"x", path="/out"),
        item("captured", sha(b"y"), b"x"),
        item("captured", "../../x", b"x"),
        item("blobs", sha(b"x")[:-1], b"x"),
        item("git", "HEAD", b"x"),
        item("git", "../" + "a" * 37, b"x"),
        item("other", sha(b"x"), b"x"),
        item("project", "contractor.yaml", b"x"),
        item("blobs", sha(b"x"), b"x", size=-1),
    ],
)  # fmt: skip
def test_a_hostile_manifest_leads_nowhere(store, tmp_path, bad):
    before = state(store.root)
    found = bytearray()
    writer = Writer(Manifest("demo", "contractor.yaml", (SPEC, bad)), found.extend)
    writer.add(SPEC, iter([b"s"]))
    with pytest.raises(Rejected, match="its manifest"):
        import_capsule(put(tmp_path, bytes(found) + b"\0" * 4096), str(tmp_path / "out"), store)
    assert state(store.root) == before
    assert not (tmp_path / "out").exists()


def test_a_capsule_without_its_specification_is_none(store, tmp_path):
    data = sealed(Manifest("demo", "contractor.yaml", (item("project", "other", b"x"),)), [b"x"])
    with pytest.raises(Rejected, match="names a specification that is not in it"):
        import_capsule(put(tmp_path, data), str(tmp_path / "out"), store)


def hostile_archive(*members: tarfile.TarInfo) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return found.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = kind, link, size, mode
    return made


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil", size=1)],
        [member("/evil", size=1)],
        [member("link", tarfile.SYMTYPE, "/etc"), member("link/evil", size=1)],
        [member("device", tarfile.CHRTYPE)],
        [member("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [member("contractor.yaml/below", size=1)],
    ],
)
def test_a_hostile_source_archive_leads_nowhere(store, tmp_path, members):
    data = hostile_archive(*members)
    source = item("sources", sha(data), data, path=".")
    capsule = sealed(Manifest("demo", "contractor.yaml", (SPEC, source)), [b"s", data])
    before = state(store.root)
    with pytest.raises(Rejected):
        import_capsule(put(tmp_path, capsule), str(tmp_path / "out"), store)
    assert state(store.root) == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()


def test_setuid_files_of_a_source_are_none_afterwards(store, tmp_path):
    data = hostile_archive(member("tool", size=1, mode=0o6755))
    source = item("sources", sha(data), data, path="src")
    capsule = sealed(Manifest("demo", "contractor.yaml", (SPEC, source)), [b"s", data])
    import_capsule(put(tmp_path, capsule), str(tmp_path / "out"), store)
    assert (tmp_path / "out" / "src" / "tool").stat().st_mode & 0o7777 == 0o755


def test_a_folder_that_holds_something_is_left_alone(made, store, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(Rejected, match="is not empty") as caught:
        import_capsule(put(tmp_path, made.data), str(tmp_path / "out"), store)
    assert "DIR" in caught.value.hint
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_empty_folder_will_do(made, store, tmp_path):
    (tmp_path / "out").mkdir()
    import_capsule(put(tmp_path, made.data), str(tmp_path / "out"), store)
    assert (tmp_path / "out" / "contractor.yaml").exists()


def test_a_folder_in_a_checkout_would_change_the_sources(made, store, tmp_path):
    (tmp_path / ".git").mkdir()
    with pytest.raises(Rejected, match="inside the git checkout"):
        import_capsule(put(tmp_path, made.data), str(tmp_path / "a" / "b"), store)


def test_what_does_not_fit_on_the_disk_is_told_before_anything_is_written(store, tmp_path):
    huge = msgspec.structs.replace(SPEC, name="big", size=1 << 60)
    found = bytearray()
    Writer(Manifest("demo", "contractor.yaml", (SPEC, huge)), found.extend)
    with pytest.raises(Broken, match="are free where the store is"):
        import_capsule(put(tmp_path, bytes(found)), str(tmp_path / "out"), store)
    assert not (tmp_path / "out").exists()


def test_another_version_is_named(store, tmp_path):
    data = sealed(Manifest("demo", "contractor.yaml", (SPEC,), version=2), [b"s"])
    with pytest.raises(Rejected, match="a capsule of version 2, this Contractor knows 1"):
        import_capsule(put(tmp_path, data), str(tmp_path / "out"), store)


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 100_000, b"PK\x03\x04" + b"x" * 5000, os.urandom(5000)])
def test_what_is_no_capsule_is_told(store, tmp_path, data):
    with pytest.raises(Rejected, match=r"is not a capsule|it ends in"):
        import_capsule(put(tmp_path, data), str(tmp_path / "out"), store)


def test_what_changed_while_it_was_exported_is_told():
    writer = Writer(Manifest("demo", "contractor.yaml", (SPEC,)), lambda data: None)
    with pytest.raises(Rejected, match="is not what it was a moment ago"):
        writer.add(SPEC, iter([b"other"]))
