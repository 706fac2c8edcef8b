"""Deterministic archives: the same bytes whatever the machine, and exactly what was there."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import stat
import subprocess
import tempfile

import pytest
import tarkit
from hypothesis import given, settings
from hypothesis import strategies as st
from tarkit import ROOT, described, discard, make, opened, packed, settle, unpacked

from contractor.core.errors import Broken, Rejected
from contractor.store import tarformat
from contractor.store.compress import ZstdSink, open_archive, open_zstd
from contractor.store.pack import PackOptions, pack
from contractor.store.tarformat import NANO, Member, encode

ODD = {
    b"plain": b"1",
    b"with space": b"2",
    b"with:colon": b"3",
    b"with\nnewline": b"4",
    b"not-utf8-\xff\xfe": b"5",
    "größe-字".encode(): b"6",
    b"-rf": b"7",
    b"dir/" + b"n" * 255: b"8",
    b"/".join([b"deep" * 20] * 8) + b"/file": b"9",
    b"dir/empty": None,
    b"link": "dir/nowhere",
    b"link-\xff": "to-\udcff",
    b"long-link": "x" * 300,
    b"hard": ("link", b"plain"),
    b"dir/hard": ("link", b"not-utf8-\xff\xfe"),
    b"zero": b"",
    b"block": b"b" * 512,
    b"large": b"l" * 3_000_001,
}

components = st.binary(min_size=1, max_size=255).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"0"))
names = components.filter(lambda name: name not in (b".", b".."))
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
targets = st.binary(min_size=1, max_size=400).map(lambda b: os.fsdecode(b.replace(b"\0", b"0")))
trees = st.dictionaries(paths, st.none() | st.binary(max_size=2000) | targets, max_size=8)
modes = st.lists(st.integers(0, 0o777), min_size=8, max_size=8)
times = st.lists(st.integers(-(2**31), 2**33), min_size=8, max_size=8)


def without_clashes(tree):
    """Drop what lies below a path that is not a directory."""
    kept = {}
    for path in sorted(tree):
        above = [path[:at] for at, char in enumerate(path) if char == ord("/")]
        if all(kept.get(name) is None for name in above):
            kept[path] = tree[path]
    return kept


def packed_tar(root):
    """Write an archive of root beside it; returns its path."""
    data, _ = packed(root)
    path = os.path.join(os.path.dirname(root), "out.tar")
    with open(path, "wb") as out:
        out.write(data)
    return path


@settings(max_examples=150, deadline=None)
@given(trees.map(without_clashes), modes, times)
def test_round_trip_of_any_tree(tree, some_modes, some_times):
    base = tempfile.mkdtemp()
    try:
        source, target = os.path.join(base, "a"), os.path.join(base, "b")
        os.mkdir(source)
        os.mkdir(target)
        make(source, tree)
        everything = sorted(tarkit.entries(source), reverse=True)
        for (path, status), mode, seconds in zip(everything, some_modes, some_times, strict=False):
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(path, mode | (0o700 if stat.S_ISDIR(status.st_mode) else 0o400))
            os.utime(path, ns=(0, seconds * NANO), follow_symlinks=False)
        me = (os.geteuid(), os.getegid())
        data, result = packed(source, owners=True, mtime_limit=2**40)
        assert result.digest == hashlib.sha256(data).hexdigest()
        assert result.size == len(data) and len(data) % 10240 == 0
        done = unpacked(data, target, tree=True, owner=me, links="any")
        assert described(target) == described(source)
        assert (done.files, done.size) == (result.files, result.size)
        assert packed(target, owners=True, mtime_limit=2**40)[0] == data
    finally:
        discard(base)


def test_odd_names_round_trip(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    make(tmp_path / "a", ODD)
    data, _ = packed(tmp_path / "a")
    unpacked(data, tmp_path / "b", links="any")
    assert described(tmp_path / "b", modes=False) == described(tmp_path / "a", modes=False)


def test_same_bytes_from_other_order_umask_and_place(tmp_path):
    archives = []
    links = {name: what for name, what in ODD.items() if isinstance(what, tuple)}
    for number, umask in enumerate((0o022, 0o002, 0o000)):
        root = tmp_path / ("place" * number + "x")
        root.mkdir()
        names = [name for name in ODD if name not in links]
        random.Random(number).shuffle(names)
        before = os.umask(umask)
        try:
            make(root, {name: ODD[name] for name in names})
            make(root, links)
        finally:
            os.umask(before)
        settle(root)
        archives.append(packed(root)[0])
    assert archives[0] == archives[1] == archives[2]


def test_golden_digest(tmp_path):
    """These bytes are names in people's stores: a change here is a change of every artifact's digest."""
    make(tmp_path, {name: what for name, what in ODD.items() if name != b"large"})
    for path, status in tarkit.entries(tmp_path):
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(path, 0o755 if stat.S_ISDIR(status.st_mode) else 0o644)
    os.chmod(tmp_path / "plain", 0o750)
    settle(tmp_path)
    _, result = packed(tmp_path, mtime_limit=1_500_000_000)
    assert (result.size, result.files) == (GOLDEN_SIZE, 16)
    assert result.digest == GOLDEN


def test_golden_headers():
    """The rarer forms, which need root or a large disk to meet in a tree."""
    members = [
        Member(b"big", b"0", 0o4755, 3_000_000, 4_294_967_294, 9 << 30, -5 * NANO),
        Member(b"p" * 150 + b"/" + b"n" * 99, b"0", 0o644, 1, 2, 3, 2**34 * NANO),
        Member(b"n" * 101, b"5", 0o1777, 0, 0, 0, 0, b"", {b"user.a=b%": b"\0\n=", b"security.capability": b"x"}),
        Member(b"fifo", b"6", 0o600, 0, 0, 0, 1),
    ]
    blocks = b"".join(map(encode, members))
    assert len(blocks) % 512 == 0
    assert hashlib.sha256(blocks).hexdigest() == GOLDEN_HEADERS


def test_order_is_bytewise_by_archive_name(tmp_path):
    make(tmp_path, {b"a/x": b"", b"a-b": b"", b"a.b": b"", b"a0": b"", b"A": b"", b"\xc3": b""})
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "-tf", "-"], input=packed(tmp_path)[0], capture_output=True, check=True
    ).stdout.splitlines()
    assert listed == [b"A", b"a-b", b"a.b", b"a/", b"a/x", b"a0", b"\xc3"] == sorted(listed)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_gnu_tar_reads_ours(tmp_path, locale):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    make(tmp_path / "a", ODD)
    path = packed_tar(tmp_path / "a")
    env = {"LC_ALL": locale, "PATH": os.defpath}
    listed = subprocess.run(["tar", "-tvf", path], capture_output=True, env=env, check=True)
    assert len(listed.stdout.splitlines()) == len(tarkit.entries(tmp_path / "a"))
    done = subprocess.run(["tar", "-xf", path, "-C", tmp_path / "b"], capture_output=True, env=env, check=True)
    assert {line.split(b"'")[1] for line in done.stderr.splitlines() if b"'" in line} <= {b"hdrcharset"}
    assert described(tmp_path / "b", modes=False) == described(tmp_path / "a", modes=False)


def test_plain_names_need_no_extended_header(tmp_path):
    make(tmp_path, {b"a/b": b"1", b"p" * 90 + b"/" + b"n" * 90: b"2"})
    assert b"PaxHeader" not in packed(tmp_path)[0]


def test_modes_and_owners_are_normalised_for_a_workspace(tmp_path):
    make(tmp_path, {b"d": None, b"f": b"", b"x": b"", b"s": b""})
    for name, mode in (("d", 0o1575), ("f", 0o466), ("x", 0o777), ("s", 0o6711)):
        os.chmod(tmp_path / name, mode)
    data, _ = packed(tmp_path)
    (tmp_path / "out").mkdir()
    heads = {data[at : at + 1]: data[at : at + 512] for at in range(0, 2048, 512)}
    assert {name: int(head[100:107], 8) for name, head in heads.items()} == {
        b"d": 0o755,
        b"f": 0o644,
        b"x": 0o755,
        b"s": 0o711,
    }
    assert {head[108:123] for head in heads.values()} == {b"0000000\x000000000"}


def test_times_are_clamped_or_fixed(tmp_path):
    make(tmp_path, {b"new": b"", b"old": b""})
    os.utime(tmp_path / "new", ns=(0, 2_000_000_000 * NANO + 999_999_999))
    os.utime(tmp_path / "old", ns=(0, 1_000_000_000 * NANO + 999_999_999))
    for options, expected in (
        ({"mtime_limit": 1_500_000_000}, [1_500_000_000, 1_000_000_000]),
        ({"mtime_limit": 1_500_000_000, "fixed_mtime": 7}, [7, 7]),
        ({"mtime_limit": 3_000_000_000}, [2_000_000_000, 1_000_000_000]),
    ):
        data, _ = packed(tmp_path, **options)
        assert [int(data[at + 136 : at + 147], 8) for at in (0, 512)] == expected


def test_selection_brings_parents_and_nothing_else(tmp_path):
    make(tmp_path, {b"a/b/c": b"1", b"a/b/d": b"2", b"a/e": b"3", b"f/g": b"4", b"h": b"5", b"f-": b"6"})
    listed = subprocess.run(
        ["tar", "-tf", "-"], input=packed(tmp_path, [b"a/b/c", b"./f", b"h", b"h"])[0], capture_output=True, check=True
    ).stdout.split()
    assert listed == [b"a/", b"a/b/", b"a/b/c", b"f/", b"h"]
    assert packed(tmp_path, [])[0] == bytes(10240)


@pytest.mark.parametrize("path", [b"/etc/passwd", b"../x", b"a/../../x", b"a//b", b"", b"a/./b", b"a\0b", b"a/.."])
def test_selection_cannot_leave(tmp_path, path):
    make(tmp_path, {b"a/b": b""})
    with pytest.raises(Rejected):
        packed(tmp_path, [path])


def test_selection_through_a_link_is_refused(tmp_path):
    make(tmp_path, {b"outside/secret": b"secret", b"root/link": "../outside", b"root/dir": None})
    for path in (b"link/secret", b"dir/missing", b"missing", b"link/../x"):
        with pytest.raises(Rejected):
            packed(tmp_path / "root", [path])
    assert b"secret" not in packed(tmp_path / "root", [b"link"])[0].replace(b"outside", b"")


def test_what_is_too_long_or_deep_is_refused(tmp_path):
    with opened(tmp_path) as root:
        fd = os.dup(root)
        for _ in range(300):
            os.mkdir("d", dir_fd=fd)
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        with pytest.raises(Rejected, match="too long"):
            pack(root, None, PackOptions(mtime_limit=0), len)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Rejected):
        packed(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("change", [b"", b"short", b"l" * 5_000_000])
def test_a_file_that_changes_its_size_is_named(tmp_path, change):
    make(tmp_path, {b"a-first": b"x" * (2 << 20), b"b-changes": b"l" * 3_000_000})
    os.truncate(tmp_path / "b-changes", 3_000_000)

    def sink(_data, state=[0]):  # noqa: B006
        state[0] += 1
        if state[0] == 4:  # the header of the second is out, and some of its content
            (tmp_path / "b-changes").write_bytes(change)

    with opened(tmp_path) as root, pytest.raises(Broken, match="b-changes"):
        pack(root, None, PackOptions(mtime_limit=0), sink)


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path):
    make(tmp_path, {b"outside/z-secret": b"secret", b"root/a": b"x" * (2 << 20), b"root/z/z-secret": b"mine"})
    out = []

    def sink(data):
        out.append(data)
        if (tmp_path / "root/z").is_dir() and not (tmp_path / "root/z").is_symlink():
            (tmp_path / "root/z").rename(tmp_path / "moved")
            (tmp_path / "root/z").symlink_to("../outside")

    with opened(tmp_path / "root") as root, pytest.raises(Broken, match="changed"):
        pack(root, None, PackOptions(mtime_limit=0), sink)
    assert b"secret" not in b"".join(out)


@pytest.mark.parametrize("becomes", ["link", "fifo", "directory", "nothing"])
def test_a_file_that_becomes_something_else(tmp_path, becomes):
    make(tmp_path, {b"secret": b"secret", b"root/a": b"x" * (2 << 20), b"root/z": b"mine"})
    path = tmp_path / "root/z"

    def sink(_data):
        if path.is_file() and not path.is_symlink():
            path.unlink()
            if becomes == "link":
                path.symlink_to("../secret")
            elif becomes == "fifo":
                os.mkfifo(path)
            elif becomes == "directory":
                path.mkdir()

    with opened(tmp_path / "root") as root, pytest.raises(Broken, match="changed"):
        pack(root, None, PackOptions(mtime_limit=0), sink)


def test_special_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is at most 108 bytes
    make(tmp_path, {b"f": b""})
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket")
    expected = [b"fifo", b"socket"]
    if ROOT:  # only root can make one
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        expected.insert(1, b"null")
    _, result = packed(tmp_path)
    assert (result.files, sorted(result.skipped)) == (1, expected)
    _, result = packed(tmp_path, owners=True)
    assert (result.files, sorted(result.skipped)) == (2, expected[1:])
    with pytest.raises(Rejected, match="device, socket or fifo"):
        packed(tmp_path, specials="refuse")


def test_hard_links_outside_the_selection_are_files(tmp_path):
    make(tmp_path, {b"a": b"1234", b"b": ("link", b"a"), b"c": ("link", b"a")})
    data, result = packed(tmp_path, [b"b", b"c"])
    assert data[156:157] == b"0" and data[1024 + 156 : 1024 + 157] == b"1" and data[1024 + 157 : 1024 + 159] == b"b\0"
    assert result.files == 2
    assert packed(tmp_path, [b"c"])[0][156:157] == b"0"


def test_sparse_files_are_expanded(tmp_path):
    with open(tmp_path / "sparse", "wb") as out:
        out.truncate(5_000_000)
    data, _ = packed(tmp_path)
    assert len(data) > 5_000_000 and data[512:5_000_512] == bytes(5_000_000)


def test_attributes(tmp_path):
    make(tmp_path, {b"a/f": b"1", b"a/d": None})
    try:
        os.setxattr(tmp_path / "a/f", "user.keep=%", b"\0\xff\n")
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        pytest.skip("this file system has no user attributes")
    os.setxattr(tmp_path / "a/f", "user.overlay.opaque", b"y")
    os.setxattr(tmp_path / "a/d", "user.dir", b"")
    assert b"SCHILY" not in packed(tmp_path / "a")[0]
    data, _ = packed(tmp_path / "a", owners=True)
    assert b"overlay" not in data
    (tmp_path / "b").mkdir()
    done = unpacked(data, tmp_path / "b", tree=True, owner=(os.geteuid(), os.getegid()))
    assert os.listxattr(tmp_path / "b/f") == ["user.keep=%"] and done.dropped == ()
    assert os.getxattr(tmp_path / "b/f", "user.keep=%") == b"\0\xff\n"
    assert os.getxattr(tmp_path / "b/d", "user.dir") == b""


def test_unreadable_is_the_authors_turn(tmp_path):
    make(tmp_path, {b"f": b"1"})
    os.chmod(tmp_path / "f", 0)
    if ROOT:
        assert packed(tmp_path)[1].files == 1
    else:
        with pytest.raises(Rejected, match="cannot read b'f'"):
            packed(tmp_path)


def test_compressed_bytes_do_not_depend_on_pieces(tmp_path):
    data = random.Random(1).randbytes(1 << 20) * 20
    stored = []
    for number, size in enumerate((1 << 20, 333_333)):
        path = tmp_path / str(number)
        with open(path, "wb") as out, ZstdSink(out.fileno()) as sink:
            for at in range(0, len(data), size):
                sink(data[at : at + size])
        stored.append(path.read_bytes())
        assert sink.size == len(stored[-1])
        for opener in (open_zstd, open_archive):
            with open(path, "rb", buffering=0) as source:
                read = opener(source.fileno())
                assert b"".join(iter(lambda: read(1 << 20), b"")) == data  # noqa: B023
    assert stored[0] == stored[1]


def test_a_sink_that_fails_is_broken(tmp_path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(Broken, match="cannot write"), ZstdSink(write_end) as sink:
        sink(b"x")
    os.close(write_end)


def test_checksum_is_the_plain_sum():
    rng = random.Random(2)
    for block in (bytes(512), b"\xff" * 512, rng.randbytes(512), rng.randbytes(512)):
        assert tarformat.checksum(block) == sum(block)


GOLDEN = "d6236ccb8aac1fa414cb9da6b84ffaf21c9952ac6788cd0439c0499c9237832e"
GOLDEN_SIZE = 40960
GOLDEN_HEADERS = "6b687b0fcc0e2ccaa15b8cf565a7b839ff66b6cdecdd491fd77cb683526ea9d3"
