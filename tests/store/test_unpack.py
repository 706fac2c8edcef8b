"""Hostile archives: nothing outside the root changes, and the error says which member and why."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
import tarkit
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tarkit import END, ROOT, Arena, described, discard, file, gnu_long, header, make, opened, packed, pax, unpacked

from contractor.core.errors import Broken, ContractorError, Rejected, Unavailable
from contractor.store.compress import open_archive
from contractor.store.tarformat import NANO
from contractor.store.unpack import UnpackOptions, unpack

ME = (os.geteuid(), os.getegid())
WORKSPACE = {}
TREE = {"tree": True, "links": "any", "owner": ME}


@pytest.fixture
def arena(tmp_path):
    arena = Arena(tmp_path)
    yield arena
    arena.check()
    for name in os.listdir(tmp_path):
        discard(tmp_path / name)


def symlink(name, target, **more):
    return header(name, b"2", link=target, **more)


def directory(name, **more):
    return header(name, b"5", **{"mode": 0o755, **more})


def hard(name, target):
    return header(name, b"1", link=target)


# (name, archive without its end, what the reason says)
ATTACKS = [
    ("climb", file(b"../evil"), "climbing"),
    ("climb inside", file(b"a/../../evil"), "climbing"),
    ("climb at the end", directory(b"a/.."), "climbing"),
    ("climb after ./", file(b"./../evil"), "climbing"),
    ("only ..", directory(b".."), "climbing"),
    ("neighbour with the same prefix", file(b"../root-evil/f"), "climbing"),
    ("absolute", file(b"/tmp/evil"), "absolute"),
    ("absolute after ./", file(b".//tmp/evil"), "absolute"),
    ("absolute by prefix", file(b"tmp/evil", prefix=b"/"), "absolute"),
    ("climb by prefix", file(b"evil", prefix=b".."), "climbing"),
    ("climb by pax", pax(path=b"../evil") + file(b"good"), "climbing"),
    ("climb by gnu", gnu_long(b"../evil") + file(b"good"), "climbing"),
    ("empty component", file(b"a//b"), "empty"),
    ("dot component", file(b"a/./b"), "absolute, climbing"),
    ("empty name", file(b""), "empty"),
    ("root as a file", file(b"."), "absolute, climbing"),
    ("root as a link", symlink(b"./", b"/"), "empty"),
    ("nul in a pax name", pax(path=b"a\0b") + file(b"good"), "NUL"),
    ("name of 5000 bytes", pax(path=b"a/" * 2500 + b"f") + file(b"good"), "4096"),
    ("component of 256 bytes", pax(path=b"a" * 256) + file(b"good"), "too long"),
    ("300 deep", pax(path=b"a/" * 300 + b"f") + file(b"good"), "256 directories"),
    ("write through a link", symlink(b"d", b"x") + file(b"d/evil"), "is a link"),
    ("directory through a link", symlink(b"d", b".") + directory(b"d/sub"), "is a link"),
    ("directory over a link", symlink(b"d", b".") + directory(b"d"), "is a link"),
    ("link through a link", symlink(b"d", b".") + symlink(b"d/l", b"x"), "is a link"),
    ("hard link through a link", file(b"f") + symlink(b"d", b".") + hard(b"d/l", b"f"), "is a link"),
    (
        "hard link target through a link",
        directory(b"e") + file(b"e/f") + symlink(b"d", b"e") + hard(b"l", b"d/f"),
        "no earl",
    ),
    ("hard link to outside", hard(b"l", b"../outside/secret"), "climbing"),
    ("hard link to absolute", hard(b"l", b"/etc/passwd"), "absolute"),
    ("hard link to a link", symlink(b"s", b"x") + hard(b"l", b"s"), "no earlier file"),
    ("hard link to a directory", directory(b"d") + hard(b"l", b"d"), "no earlier file"),
    ("hard link to what was replaced", file(b"f") + symlink(b"f", b"x") + hard(b"l", b"f"), "no earlier file"),
    ("hard link to itself", file(b"f") + hard(b"f", b"f"), "no earlier file"),
    ("hard link to what was there before", hard(b"l", b"before"), "no earlier file"),
    ("hard link forward", hard(b"l", b"f") + file(b"f"), "no earlier file"),
    ("hard link with content", hard(b"l", b"f")[:124] + b"00000000007\0", "checksum"),
    ("character device", header(b"null", b"3"), "devices"),
    ("block device", header(b"disk", b"4"), "devices"),
    ("whiteout", header(b"gone", b"3", mode=0), "devices"),
    ("file over a directory", directory(b"d") + file(b"d"), "replace a directory"),
    ("link over a directory", directory(b"d") + symlink(b"d", b"x"), "replace a directory"),
    ("directory over a file", file(b"d") + directory(b"d"), "a link or a file"),
    ("parent is a file", file(b"d") + file(b"d/f"), "a link or a file"),
    ("empty link", symlink(b"l", b""), "target is empty"),
    ("link of 5000 bytes", pax(linkpath=b"a" * 5000) + symlink(b"l", b"x"), "too long"),
    ("link with a nul", pax(linkpath=b"a\0b") + symlink(b"l", b"x"), "empty or too long"),
    ("content of a directory", header(b"d", b"5", size=512) + bytes(512), "only a file"),
    ("unknown type", header(b"v", b"V"), "type b'V'"),
    ("gnu sparse", header(b"s", b"S", magic=b"ustar  \0"), "type b'S'"),
    ("pax sparse", pax_sparse := tarkit.pax_raw(tarkit.record(b"GNU.sparse.major", b"1")) + file(b"f"), "sparse"),
    ("global name", pax(b"g", path=b"f") + file(b"x"), "global header"),
    ("bad checksum", b"\1" + header(b"f")[1:], "checksum"),
    ("no tar at all", b"<html>" * 100, "checksum"),
    ("size is not a number", header(b"f", size=b"12x45"), "not a number"),
    ("size is negative", header(b"f", size=b"-1"), "not a number"),
    ("size in base 256 is negative", header(b"f", size=b"\xff" * 12), "out of range"),
    ("size in base 256 is huge", header(b"f", size=b"\x80" + b"\xff" * 11), "out of range"),
    ("size in base 256 is large", header(b"f", size=b"\x80" + bytes(5) + b"\x7f" + bytes(5)), "larger than"),
    ("pax size is huge", pax(size=b"9" * 20) + header(b"f"), "larger than"),
    ("pax size is a flood of digits", pax(size=b"9" * 5000) + header(b"f"), "not a number"),
    ("pax size is negative", pax(size=b"-1") + header(b"f"), "not a number"),
    ("owner is chown's minus one", pax(uid=b"4294967295") + file(b"f"), "owner"),
    ("time is out of range", pax(mtime=b"9" * 15) + file(b"f"), "out of range"),
    ("time is nonsense", pax(mtime=b"1e9") + file(b"f"), "not a time"),
    ("pax length too short", tarkit.pax_raw(b"3 a=b\n") + file(b"f"), "malformed"),
    ("pax length too long", tarkit.pax_raw(b"99 a=b\n") + file(b"f"), "malformed"),
    ("pax length zero", tarkit.pax_raw(b"0 a=b\n") + file(b"f"), "malformed"),
    ("pax without newline", tarkit.pax_raw(b"6 a=bc") + file(b"f"), "malformed"),
    ("pax without key", tarkit.pax_raw(b"5 =b\n") + file(b"f"), "malformed"),
    ("extended header of a gigabyte", header(b"x", b"x", size=1 << 30), "extended header of"),
    ("long name of a gigabyte", header(b"x", b"L", size=1 << 30), "extended header of"),
    ("extended header without a member", pax(path=b"x"), "without its member"),
    ("single zero block", bytes(512) + file(b"f"), "single block"),
    ("garbage after the end", END + b"x" * 512, "follows its end"),
    ("second archive after the end", END + file(b"f"), "follows its end"),
    ("content is cut off", header(b"f", size=2000), "too early"),
]


@pytest.mark.parametrize("options", [WORKSPACE, TREE], ids=["workspace", "tree"])
@pytest.mark.parametrize(("data", "reason"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_attacks(arena, data, reason, options):
    (arena.root / "before").write_bytes(b"")
    tail = b"" if reason == "too early" else END
    with pytest.raises(Rejected, match=reason) as caught:
        unpacked(data + tail, arena.root, **options)
    assert "at byte " in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "target", [b"/etc", b"..", b"../x", b"d/../../x", b"d/../x", b"./..", b".//../x", b"../outside/secret"]
)
def test_links_that_lead_outside(arena, target):
    for name, up in ((b"l", b""), (b"a/b/l", b"../../")):
        target_there = target if target.startswith((b"/", b"d")) else up + target
        with pytest.raises(Rejected, match="leads outside"):
            unpacked(symlink(name, target_there) + END, arena.root)
    done = unpacked(symlink(b"any", target) + END, arena.root, links="any")
    assert done.files == 1 and os.readlink(os.fsencode(arena.root / "any")) == target


def test_links_inside_are_fine(arena):
    data = symlink(b"a/b/l", b"../../x") + symlink(b"l", b"a/./b//") + symlink(b"dangling", b"nowhere/at/all")
    unpacked(data + symlink(b"a/self", b"..") + END, arena.root)
    assert os.readlink(arena.root / "a/b/l") == "../../x" and os.readlink(arena.root / "a/self") == ".."


def test_strip_components_counts_for_links(arena):
    """A link that was inside by its old depth is outside by its new one."""
    data = file(b"top/f") + hard(b"top/h", b"top/f") + directory(b"top/") + file(b"lone")
    done = unpacked(data + END, arena.root, strip_components=1)
    assert sorted(os.listdir(arena.root)) == ["f", "h"] and done.files == 2
    assert os.stat(arena.root / "f").st_nlink == 2
    with pytest.raises(Rejected, match="leads outside"):
        unpacked(symlink(b"top/l", b"../x") + END, arena.root, strip_components=1)
    with pytest.raises(Rejected, match="climbing"):
        unpacked(file(b"top/../x") + END, arena.root, strip_components=1)


def test_links_that_were_there_are_not_followed(arena):
    make(arena.root, {b"d": "../outside", b"f": "../outside/secret"})
    with pytest.raises(Rejected, match="is a link"):
        unpacked(file(b"d/secret", b"evil") + END, arena.root)
    unpacked(file(b"f", b"mine") + END, arena.root)
    assert not (arena.root / "f").is_symlink() and (arena.root / "f").read_bytes() == b"mine"


def test_a_later_file_replaces_and_never_writes_through(arena):
    os.link(arena.path / "outside/secret", arena.root / "f")
    data = file(b"f", b"1") + hard(b"g", b"f") + file(b"f", b"2") + symlink(b"g", b"f") + file(b"g", b"3")
    unpacked(data + END, arena.root)
    assert [(arena.root / name).read_bytes() for name in "fg"] == [b"2", b"3"]
    arena._before = arena._outside()  # the name that was there is gone, which its other name's link count shows
    assert (arena.path / "outside/secret").read_bytes() == b"secret"


def test_a_directory_joins_what_is_there(arena):
    make(arena.root, {b"d/kept": b"1"})
    os.chmod(arena.root / "d", 0o555)
    unpacked(directory(b"d/", mode=0o750) + file(b"d/f", b"2") + END, arena.root)
    assert sorted(os.listdir(arena.root / "d")) == ["f", "kept"]
    assert stat.S_IMODE(os.stat(arena.root / "d").st_mode) == 0o750


def test_the_root_keeps_its_mode_and_implied_directories_ignore_the_umask(arena):
    os.chmod(arena.root, 0o751)
    before = os.umask(0o077)
    try:
        unpacked(header(b"./", b"5", mode=0) + file(b"./a/f", mode=0o664) + END, arena.root)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(arena.root).st_mode) == 0o751
    assert stat.S_IMODE(os.stat(arena.root / "a").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(arena.root / "a/f").st_mode) == 0o664


def test_read_only_directories_are_filled_and_get_their_times(arena):
    data = directory(b"d", mode=0o555, mtime=5) + directory(b"d/e", mode=0, mtime=6) + file(b"d/e/f", mtime=7)
    unpacked(data + symlink(b"d/l", b"e", mtime=8) + END, arena.root)
    found = os.stat(arena.root / "d")
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o555, 5 * NANO)
    below = os.stat(arena.root / "d/e")
    assert (stat.S_IMODE(below.st_mode), below.st_mtime_ns) == (0, 6 * NANO)
    assert os.lstat(arena.root / "d/l").st_mtime_ns == 8 * NANO


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [(b"1.5", 1_500_000_000), (b"-1.5", -1_500_000_000), (b"1.0000000019", 1_000_000_001), (b"-0.0000000001", -1)],
)
def test_pax_times_are_exact(arena, text, nanoseconds):
    unpacked(pax(mtime=text) + file(b"f") + END, arena.root)
    assert os.stat(arena.root / "f").st_mtime_ns == nanoseconds


def test_special_modes_only_for_a_tree(arena):
    data = file(b"f", mode=0o6755) + directory(b"d", mode=0o3777)
    unpacked(data + END, arena.root)
    assert [stat.S_IMODE(os.stat(arena.root / name).st_mode) for name in "fd"] == [0o755, 0o777]
    unpacked(data + END, arena.root, **TREE)
    assert [stat.S_IMODE(os.stat(arena.root / name).st_mode) for name in "fd"] == [0o6755, 0o3777]


def test_fifos_only_for_a_tree(arena):
    data = header(b"p", b"6", mode=0o640, mtime=9) + END
    with pytest.raises(Rejected, match="fifos"):
        unpacked(data, arena.root)
    unpacked(data + b"", arena.root, **TREE)
    unpacked(data + b"", arena.root, **TREE)  # replaces the one that is there, without opening it
    found = os.stat(arena.root / "p")
    assert stat.S_ISFIFO(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o640 and found.st_mtime_ns == 9 * NANO


def test_owners(arena):
    data = directory(b"d", uid=123, gid=456) + file(b"d/f", uid=123, gid=456) + symlink(b"d/l", b"x", uid=123, gid=456)
    data += pax(uid=b"3000000") + file(b"big") + END
    unpacked(data, arena.root)
    assert {os.lstat(path).st_uid for path, _ in tarkit.entries(arena.root)} == {ME[0]}
    if not ROOT:
        with pytest.raises(Unavailable, match="cannot unpack"):
            unpacked(data, arena.root, tree=True)
        return
    unpacked(data, arena.root, tree=True)
    assert {
        (os.lstat(arena.root / name).st_uid, os.lstat(arena.root / name).st_gid) for name in ("d", "d/f", "d/l")
    } == {(123, 456)}
    assert os.stat(arena.root / "big").st_uid == 3_000_000
    unpacked(file(b"implied/f", uid=5) + data, arena.root, owner=(77, 78))
    assert {os.lstat(path).st_uid for path, _ in tarkit.entries(arena.root)} == {77}


def test_attributes_are_dropped_unless_known(arena):
    names = (b"user.overlay.opaque", b"trusted.overlay.opaque", b"security.selinux", b"system.posix_acl_access")
    records = b"".join(tarkit.record(b"SCHILY.xattr." + name, b"y") for name in (*names, b"user.mine"))
    data = tarkit.pax_raw(records) + file(b"f") + file(b"g") + END
    assert set(unpacked(data, arena.root).dropped) == {*names, b"user.mine"}
    assert os.listxattr(arena.root / "f") == []
    try:
        done = unpacked(data, arena.root, **TREE)
    except Broken as error:  # fail closed: what a tree needs is kept or refused
        assert isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOTSUP
        return
    assert set(done.dropped) == set(names)
    assert os.listxattr(arena.root / "f") == ["user.mine"] and os.listxattr(arena.root / "g") == []


def test_attributes_beyond_the_kernels_limits_are_the_archives_fault(arena):
    for key, value in ((b"user." + b"k" * 300, b"y"), (b"user.k", b"y" * 70_000)):
        data = tarkit.pax_raw(tarkit.record(b"SCHILY.xattr." + key, value)) + file(b"f") + END
        with pytest.raises(Rejected, match="too long"):
            unpacked(data, arena.root, **TREE)


def test_a_capability_is_restored_or_refused(arena):
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw, version 2
    data = tarkit.pax_raw(tarkit.record(b"SCHILY.xattr.security.capability", capability)) + file(b"ping") + END
    if ROOT:
        unpacked(data, arena.root, **TREE)
        assert os.getxattr(arena.root / "ping", "security.capability") == capability
        assert b"security.capability" in packed(arena.root, owners=True)[0]
    else:
        with pytest.raises(Unavailable, match="ping"):
            unpacked(data, arena.root, **TREE)
    assert unpacked(data, arena.root).dropped == (b"security.capability",)


@pytest.mark.parametrize("limit", [{"max_bytes": 10_000}, {"max_files": 3}, {"max_path": 5}])
def test_limits(arena, limit):
    data = b"".join(file(b"name-%d" % number, b"x" * 3000) for number in range(4)) + END
    with pytest.raises(Rejected, match=r"more than|larger than"):
        unpacked(data, arena.root, **limit)


def test_implied_directories_count(arena):
    with pytest.raises(Rejected, match="more than"):
        unpacked(file(b"a/b/c/d/e/f") + file(b"g") + END, arena.root, max_files=5)


def test_endless_zeros_and_endless_headers_end(arena):
    def endless(start, block):
        """A read() that never ends."""
        first = [start]
        return lambda count: first.pop() if first else (block * (count // len(block)))

    for start, block in ((END, bytes(512)), (b"", pax(comment=b"x")), (b"", file(b"f")), (b"", pax(b"g", uid=b"1"))):
        with opened(arena.root) as root, pytest.raises(Rejected):
            unpack(endless(start or block, block), root, UnpackOptions(max_bytes=8 << 20, max_files=1000))


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 700, 1024, 1025, 1535, 1536, 2047])
def test_truncation_anywhere(arena, cut):
    data = file(b"f", b"x" * 300) + END
    with pytest.raises(Rejected, match=r"too early|empty"):
        unpacked(data[:cut], arena.root)
    assert unpacked(data, arena.root).size == 2048  # POSIX wants two zero blocks; the rest of the record may be missing


def test_reads_of_any_size(arena):
    data = file(b"f", b"x" * 3000) + file(b"g", b"y" * 100) + END
    for most in (1, 7, 511, 513):
        source = io.BytesIO(data)
        with opened(arena.root) as root:
            unpack(lambda _, s=source, m=most: s.read(m), root, UnpackOptions(max_bytes=1 << 20, max_files=9))
        assert (arena.root / "f").read_bytes() == b"x" * 3000


def test_global_headers_and_deleted_records(arena):
    data = pax(b"g", comment=b"git", mtime=b"77") + pax(mtime=b"", path=b"new") + file(b"old", mtime=5) + file(b"f")
    unpacked(data + pax(b"g", mtime=b"") + file(b"g", mtime=6) + END, arena.root)
    assert sorted(os.listdir(arena.root)) == ["f", "g", "new"]
    assert [int(os.stat(arena.root / name).st_mtime) for name in ("new", "f", "g")] == [77, 77, 6]


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_gnu_tars_own_formats(arena, tmp_path, form):
    source = tmp_path / "outside/source"
    long = form in ("gnu", "oldgnu", "posix")
    tree = {
        b"a/f": b"1" * 1000,
        b"a/h": ("link", b"a/f"),
        b"l": "a/f",
        b"d": None,
        b"odd \xff:\n": b"2",
        b"s/" + b"x" * 80: b"3",
    }
    if long:
        tree |= {b"/".join([b"y" * 90] * 3): b"4", b"ll": "z" * 150}
    make(source, tree)
    os.utime(source / "d", ns=(0, (-5 if long else 5) * NANO))
    flags = ["--sort=name", f"--format={form}", *(["--owner=:3000000"] if long else [])]
    data = subprocess.run(["tar", *flags, "-C", source, "-c", "."], capture_output=True, check=True).stdout
    unpacked(data, arena.root)
    assert described(arena.root, modes=False) == described(source, modes=False)
    discard(source)
    os.utime(tmp_path / "outside", ns=(0, 1_600_000_000 * NANO))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_python_tarfile(arena, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as tar:
        for name in ("plain", "größe", "n" * 90 + "/" + "m" * 99):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 3, 12345
            tar.addfile(info, io.BytesIO(b"abc"))
    assert unpacked(out.getvalue(), arena.root).files == 3
    assert (arena.root / ("n" * 90) / ("m" * 99)).read_bytes() == b"abc"


CODECS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip twice": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "bzip2": bz2.compress,
    "bzip2 twice": lambda data: bz2.compress(data[:1000]) + bz2.compress(data[1000:]),
    "xz": lzma.compress,
    "xz twice and padded": lambda data: lzma.compress(data[:1000]) + lzma.compress(data[1000:]) + bytes(8),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd twice": lambda data: b"".join(
        zstandard.ZstdCompressor(write_checksum=True).compress(part) for part in (data[:1000], data[1000:])
    ),
}


def from_pipe(path, root, **options):
    """Unpack `cat path | ...`: nothing may need to seek."""
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat, opened(root) as fd:
        assert cat.stdout is not None
        read = open_archive(cat.stdout.fileno())

        def bounded(count):
            data = read(count)
            assert len(data) <= count
            return data

        return unpack(bounded, fd, UnpackOptions(**{**tarkit.LIMITS, **options}))


@pytest.mark.parametrize("codec", CODECS)
def test_compressed_archives(arena, tmp_path, codec):
    body = random.Random(3).randbytes(500_000) + bytes(500_000)
    stored = CODECS[codec](file(b"f", body) + END)
    path = Path(tempfile.mkstemp()[1])
    try:
        path.write_bytes(stored)
        assert from_pipe(path, arena.root).files == 1
        assert (arena.root / "f").read_bytes() == body
        damaged = [stored[: len(stored) // 2], stored[:3000] + b"\x55" * 5 + stored[3005:]]
        if codec != "plain":
            damaged += [stored + b"garbage", stored[:20]]
        for bad in damaged[: 1 if codec == "plain" else None]:
            path.write_bytes(bad)
            with pytest.raises(Rejected):
                from_pipe(path, arena.root)
    finally:
        path.unlink()


@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz", "zstd"])
def test_a_decompression_bomb_is_small_in_memory(arena, codec):
    """100 MB of zeros in some kilobytes: no read gives more than was asked for, and the limit ends it."""
    path = Path(tempfile.mkstemp()[1])
    try:
        path.write_bytes(CODECS[codec](header(b"f", size=100 << 20) + bytes(100 << 20)))
        for options in ({}, {"max_bytes": 8 << 20}):
            with pytest.raises(Rejected, match="larger than"):
                from_pipe(path, arena.root, **options)
        path.write_bytes(CODECS[codec](END + bytes(20 << 20)))
        with pytest.raises(Rejected, match="larger than"):
            from_pipe(path, arena.root, max_bytes=8 << 20)
    finally:
        path.unlink()


def test_a_window_of_gigabytes_is_refused(arena):
    frame = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30, format=zstandard.FORMAT_ZSTD1)
    ).compressobj()
    path = Path(tempfile.mkstemp()[1])
    path.write_bytes(frame.compress(file(b"f") + END) + frame.flush())
    with pytest.raises(Rejected, match="zstd data is damaged"):
        from_pipe(path, arena.root)
    path.unlink()


def test_an_error_of_the_disk_is_broken():
    with pytest.raises(Broken, match="cannot read"):
        open_archive(os.open("/", os.O_RDONLY))


VALID = b"".join(
    (
        directory(b"d/", mode=0o555),
        file(b"d/f", b"1" * 700),
        hard(b"h", b"d/f"),
        symlink(b"l", b"d/f"),
        pax(path=b"long/" * 5 + b"f", mtime=b"1.5") + file(b"x"),
        gnu_long(b"n" * 150) + file(b"x"),
        pax(b"g", comment=b"c"),
        header(b"big", mtime=b"\xff" * 11 + b"\1"),
        END,
    )
)
SPICE = [
    b"../",
    b"/",
    b"\0",
    b"..",
    b"./",
    b"0",
    b"1",
    b"2",
    b"3",
    b"5",
    b"6",
    b"x",
    b"g",
    b"L",
    b"K",
    b"\x80",
    b"\xff",
    b"d",
    b"l",
    b"h",
]
edits = st.lists(
    st.tuples(st.integers(0, len(VALID) - 1), st.sampled_from(SPICE) | st.binary(min_size=1, max_size=12)), max_size=8
)
field_edits = st.lists(
    st.tuples(
        st.integers(0, len(VALID) // 512 - 1),
        st.sampled_from([0, 100, 108, 124, 136, 156, 157, 257, 345]),
        st.sampled_from(SPICE) | st.binary(min_size=1, max_size=12),
    ),
    max_size=4,
)
moves = st.lists(st.tuples(st.integers(0, len(VALID) // 512), st.integers(0, len(VALID) // 512)), max_size=2)


@settings(max_examples=400, deadline=5000, suppress_health_check=[HealthCheck.too_slow])
@given(edits, field_edits, moves, st.booleans(), st.integers(0, len(VALID)), st.sampled_from([WORKSPACE, TREE]))
def test_mutations_never_escape(some_edits, some_fields, some_moves, mend, cut, options):
    """Changed bytes and fields, moved blocks, cut ends; with checksums mended, so that the changes are believed."""
    data = bytearray(VALID)
    for at, change in some_edits:
        data[at : at + len(change)] = change
    for block, at, change in some_fields:
        data[block * 512 + at : block * 512 + at + len(change)] = change
    blocks = [bytes(data[at : at + 512]) for at in range(0, len(VALID), 512)]
    for source, target in some_moves:
        blocks.insert(target, blocks[source % len(blocks)])
    if mend:
        blocks = [
            tarkit.sealed(block) if len(block) == 512 and block[257:262] == b"ustar" else block for block in blocks
        ]
    data = b"".join(blocks)
    base = Path(tempfile.mkdtemp())
    arena = Arena(base)
    try:
        unpacked(
            data[: len(data) - cut // 8 if cut % 5 == 0 else None], arena.root, **{**options, "max_bytes": 1 << 20}
        )
    except ContractorError as error:
        assert error.message and "\n" not in error.message
    finally:
        for path, status in tarkit.entries(arena.root):
            if stat.S_ISDIR(status.st_mode):
                os.chmod(path, 0o700)
        arena.check()
        discard(base)


def test_mutations_start_from_something_valid(arena):
    done = unpacked(VALID, arena.root)
    assert (done.files, done.size) == (6, len(VALID))
    assert os.stat(arena.root / "big").st_mtime_ns == -255 * NANO
