"""A workspace with the states saved of it, for tests; and a listing made in another way than the code under test."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from contractor.store import states
from contractor.store.remove import remove_tree
from contractor.store.states import EMPTY, Scan, StateInfo, Target

ROOT = os.geteuid() == 0


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


class Chain:
    """A workspace, the states saved of it, and what it looked like at each."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.work = base / "work"
        self.store = base / "states"
        self.work.mkdir()
        self.store.mkdir()
        self.work_fd = opened(self.work)
        self.store_fd = opened(self.store)
        self.scan: Scan = EMPTY
        self.names: list[str] = []
        self.seen: list[dict[bytes, object]] = []

    def save(self) -> StateInfo:
        name = f"s{len(self.names)}"
        parent = self.names[-1] if self.names else None
        self.scan, info = states.save(self.work_fd, self.scan, Target(self.store_fd, name), parent)
        self.names.append(name)
        self.seen.append(listing(self.work))
        assert states.info(self.store / name) == info
        assert info.size == (self.store / name).stat().st_size
        return info

    def restore(self, count: int | None = None, *, known: bool = True) -> Path:
        to = Path(tempfile.mkdtemp(dir=self.base))
        fd = opened(to)
        got = states.restore(fd, [self.store / name for name in self.names[:count]])
        os.close(fd)
        assert not known or set(got.entries) == set(listing(to))
        return to

    def close(self) -> None:
        os.close(self.work_fd)
        os.close(self.store_fd)
        fd = opened(self.base.parent)
        remove_tree(fd, self.base.name)
        os.close(fd)


def listing(root: Path) -> dict[bytes, object]:
    """All that a state promises to keep: path -> [mode, uid, gid, mtime, content, all names of the inode]."""
    found: dict[bytes, list[object]] = {}
    groups: dict[int, list[bytes]] = {}
    _list(os.fsencode(root), b"", found, groups)
    for names in groups.values():
        for name in names:
            found[name].append(sorted(names))
    return dict(found)


def _list(path: bytes, key: bytes, found: dict[bytes, list[object]], groups: dict[int, list[bytes]]) -> None:
    was = os.lstat(path)
    content: object = None
    kept_out = not ROOT and not stat.S_ISLNK(was.st_mode) and was.st_mode & 0o500 != 0o500
    if stat.S_ISLNK(was.st_mode):
        content = os.readlink(path)
    elif kept_out and not (stat.S_ISREG(was.st_mode) and was.st_mode & 0o400):
        os.chmod(path, 0o700)
    if stat.S_ISREG(was.st_mode):
        content = (Path(os.fsdecode(path)).read_bytes(), xattrs(path))
    elif stat.S_ISDIR(was.st_mode):
        content = xattrs(path)
        for name in os.listdir(path):
            _list(path + b"/" + name, key + b"/" + name if key else name, found, groups)
    if kept_out and os.lstat(path).st_mode != was.st_mode:
        os.chmod(path, stat.S_IMODE(was.st_mode))
    if not stat.S_ISDIR(was.st_mode):
        groups.setdefault(was.st_ino, []).append(key)
    found[key] = [was.st_mode, was.st_uid, was.st_gid, was.st_mtime_ns, content]


def xattrs(path: bytes) -> dict[str, bytes]:
    return {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith("user.") and "overlay" not in n}
