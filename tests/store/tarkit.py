"""What the archive tests share: trees from descriptions and back, headers by hand, an arena with a sentinel outside."""

from __future__ import annotations

import io
import os
import shutil
import stat
from contextlib import contextmanager

from contractor.store.pack import PackOptions, pack
from contractor.store.tarformat import NANO
from contractor.store.unpack import UnpackOptions, unpack

ROOT = os.geteuid() == 0
END = bytes(1024)
LIMITS = {"max_bytes": 64 << 20, "max_files": 10_000}


@contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def packed(root, paths=None, **options):
    """The archive of a directory, and pack's result."""
    out = []
    with opened(root) as fd:
        result = pack(fd, paths, PackOptions(**{"mtime_limit": 2**31, **options}), out.append)
    return b"".join(out), result


def unpacked(data, root, **options):
    """Unpack bytes below a directory."""
    with opened(root) as fd:
        return unpack(io.BytesIO(data).read, fd, UnpackOptions(**{**LIMITS, **options}))


def header(name, kind=b"0", *, size=0, mode=0o644, uid=0, gid=0, mtime=0, link=b"", magic=b"ustar\x0000", prefix=b""):
    """A header by hand. A number given as bytes is written as it is."""

    def number(value, width):
        return value.ljust(width, b"\0") if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)

    block = name.ljust(100, b"\0") + number(mode, 8) + number(uid, 8) + number(gid, 8) + number(size, 12)
    block += (
        number(mtime, 12) + b" " * 8 + kind + link.ljust(100, b"\0") + magic.ljust(88, b"\0") + prefix.ljust(167, b"\0")
    )
    assert len(block) == 512
    return sealed(block)


def sealed(block):
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def content(data):
    return data + bytes(-len(data) % 512)


def file(name, data=b"content", **more):
    return header(name, size=len(data), **more) + content(data)


def pax(kind=b"x", **records):
    """An extended header; keys with "_" for "."."""
    return pax_raw(b"".join(record(key.replace("_", ".").encode(), value) for key, value in records.items()), kind)


def pax_raw(data, kind=b"x"):
    return header(b"pax", kind, size=len(data)) + content(data)


def record(key, value):
    rest = len(key) + len(value) + 3
    length = next(rest + digits for digits in range(1, 9) if len(str(rest + digits)) == digits)
    return b"%d %s=%s\n" % (length, key, value)


def gnu_long(name, kind=b"L"):
    return header(b"././@LongLink", kind, size=len(name) + 1, magic=b"ustar  \0") + content(name + b"\0")


def make(root, tree):
    """A tree from {path: what}: bytes is a file, None a directory, str a symbolic link, ("link", path) a hard link."""
    root = os.fsencode(root)
    for path, what in tree.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if what is None:
            os.makedirs(full, exist_ok=True)
        elif isinstance(what, bytes):
            with open(full, "wb") as out:
                out.write(what)
        elif isinstance(what, str):
            os.symlink(os.fsencode(what), full)
        else:
            os.link(os.path.join(root, what[1]), full)


def settle(root, seconds=1_600_000_000):
    """Set every time below root, deepest first."""
    for path, _ in sorted(entries(root), reverse=True):
        os.utime(path, ns=(seconds * NANO, seconds * NANO), follow_symlinks=False)


def entries(root):
    """(path, lstat) of everything below root."""
    root = os.fsencode(root)
    found = []
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            found.append((path, os.lstat(path)))
    return sorted(found)


def described(root, *, times=True, modes=True):
    """{relative path: (kind, mode, seconds, content or target)} and the groups of hard links."""
    root = os.fsencode(root)
    tree, links = {}, {}
    for path, status in entries(root):
        name = os.path.relpath(path, root)
        body = None
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as source:
                body = source.read()
            links.setdefault(status.st_ino, set()).add(name)
        elif stat.S_ISLNK(status.st_mode):
            body = os.readlink(path)
        mode = stat.S_IMODE(status.st_mode) if modes else 0
        tree[name] = (stat.S_IFMT(status.st_mode), mode, status.st_mtime_ns // NANO if times else 0, body)
    return tree, sorted(sorted(names) for names in links.values())


def discard(path):
    """Remove a tree, whatever modes an archive gave it."""
    os.chmod(path, 0o700)
    for folder, folders, _ in os.walk(path):
        for name in folders:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                os.chmod(full, 0o700)
    shutil.rmtree(path)


class Arena:
    """A root to unpack in, beside things that must never change."""

    def __init__(self, path):
        self.path = path
        self.root = path / "root"
        self.root.mkdir()
        (path / "outside").mkdir()
        (path / "outside/secret").write_bytes(b"secret")
        (path / "root-evil").mkdir()
        settle(path)
        self._before = self._outside()

    def _outside(self):
        """Content, modes, times and link counts of everything but the root."""
        found = {}
        for path, status in entries(self.path):
            if path == os.fsencode(self.root) or path.startswith(os.fsencode(self.root) + b"/"):
                continue
            body = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as source:
                    body = source.read()
            found[path] = (status.st_mode, status.st_mtime_ns, status.st_nlink, status.st_uid, body)
        return found

    def check(self):
        """Nothing outside was changed, and nothing inside is another name of something outside."""
        assert self._outside() == self._before
        secret = os.stat(self.path / "outside/secret").st_ino
        assert all(status.st_ino != secret for _, status in entries(self.root))
        assert not any(stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode) for _, s in entries(self.root))
