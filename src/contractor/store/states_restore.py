"""Restoring a state: first what there is at the end of a chain, from the manifests alone, then each thing made once."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from contractor.core.errors import Broken
from contractor.store.descent import OPEN_DIR, Descent
from contractor.store.extents import Shrunk, copy
from contractor.store.scan import Scan, scan, settle
from contractor.store.states_format import (
    HINT,
    Entry,
    Head,
    Manifest,
    State,
    broken,
    describe,
    open_state,
    read_head,
    read_manifest,
)

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Placed(NamedTuple):
    """An entry and the number of the state in the chain that it comes from, where its contents are."""

    entry: Entry
    state: int


def restore(root_fd: int, chain: Sequence[State]) -> Scan:
    """Make an empty directory the tree that the last state of a chain (root first) describes; returns its scan.

    The chain is read and checked before anything is written. The states must be those of one chain, in order, each
    saved under the name that the next one calls its parent. Raises Broken; if that comes from writing, what was made
    stays, to be removed with the directory.
    """
    if os.listdir(root_fd):
        raise Broken("a state can be restored only into an empty directory")
    with ExitStack() as stack:
        fds = []
        manifests = []
        heads: list[Head] = []
        for state in chain:
            fd = open_state(state)
            stack.callback(os.close, fd)
            fds.append(fd)
            heads.append(read_head(fd, state)[0])
            _check_follows(heads, state)
            manifests.append(read_manifest(fd, state, heads[-1]))
        last = describe(chain[-1]) if chain else "(none)"
        final = replay(manifests, last)
        _check_tree(final, last)
        _Restorer(root_fd, fds, final).run()
    settle()  # or all that was made last would be stored again by the next save
    return scan(root_fd)


def replay(manifests: Sequence[Manifest], last: str) -> dict[bytes, _Placed]:
    """What there is after all manifests, from their entries alone. Raises Broken naming `last`."""
    tree: dict[bytes, _Placed] = {}
    for number, manifest in enumerate(manifests):
        try:
            moved = {path: tree[source] for path, source in manifest.moved.items()}
        except KeyError as error:
            raise broken(last, f"{os.fsdecode(error.args[0])!r} is moved in it but was not there") from error
        for path in manifest.removed:
            tree.pop(path, None)  # a device was there, but never in a state
        tree.update(moved)
        for path, entry in manifest.entries.items():
            tree[path] = _Placed(entry, number)
    return tree


def _check_follows(heads: Sequence[Head], state: State) -> None:
    parent = heads[-2].name if len(heads) > 1 else None
    if heads[-1].parent != parent:
        raise Broken(
            f"state {describe(state)} does not follow on {parent or 'nothing'}: its parent is {heads[-1].parent}",
            hint=HINT,
        )


def _check_tree(tree: Mapping[bytes, _Placed], last: str) -> None:
    """Every name is one component below a directory of the tree: nothing can be made outside of the root."""
    directories = {path for path, placed in tree.items() if stat.S_ISDIR(placed.entry.mode)}
    if b"" not in directories:
        raise broken(last, "it has no root directory")
    for path in tree:
        parent, _, name = path.rpartition(b"/")
        if path and (parent not in directories or name in (b"", b".", b"..") or b"\0" in path or path[:1] == b"/"):
            raise broken(last, f"{os.fsdecode(path)!r} has no directory to be in")


class _Restorer:
    """Makes a tree: first directories that only the owner may use and all that is in them, then, from the innermost
    out, each directory's own owner, mode and mtime, which making something in it would change."""

    def __init__(self, root_fd: int, states: Sequence[int], tree: Mapping[bytes, _Placed]) -> None:
        self._root = root_fd
        self._states = states
        self._tree = tree
        self._groups: dict[tuple[int, int], bytes] = {}
        self._order = sorted(
            tree, key=lambda path: path.replace(b"/", b"\0")
        )  # a directory's own before its neighbours

    def run(self) -> None:
        path = b""
        try:
            with Descent(self._root, force=False) as at, Descent(self._root, force=False) as other:
                for path in self._order:
                    self._make(path, at, other)
            with Descent(self._root, force=False) as at:
                for path in reversed(self._order):
                    if stat.S_ISDIR(self._tree[path].entry.mode):
                        self._finish_directory(path, at)
        except OSError as error:
            raise Broken(f"cannot restore {os.fsdecode(path) or '.'!r} of the workspace: {error.strerror}") from error
        except Shrunk as error:
            raise Broken(f"a state ends before the content of {os.fsdecode(path)!r}", hint=HINT) from error

    def _make(self, path: bytes, at: Descent, other: Descent) -> None:
        placed = self._tree[path]
        entry = placed.entry
        parent, _, name = path.rpartition(b"/")
        if not path:
            return
        dir_fd = at.go(parent)
        if entry.group:
            first = self._groups.setdefault((placed.state, entry.group), path)
            if first != path:
                directory, _, source = first.rpartition(b"/")
                os.link(source, name, src_dir_fd=other.go(directory), dst_dir_fd=dir_fd, follow_symlinks=False)
                return
        if stat.S_ISDIR(entry.mode):
            os.mkdir(name, 0o700, dir_fd=dir_fd)
        elif stat.S_ISREG(entry.mode):
            self._make_file(name, dir_fd, placed)
        else:
            _make_special(name, dir_fd, entry)

    def _finish_directory(self, path: bytes, at: Descent) -> None:
        # From its parent, which is not finished yet: a finished directory may refuse its owner even the way out.
        parent, _, name = path.rpartition(b"/")
        fd = os.open(name or b".", OPEN_DIR, dir_fd=at.go(parent))
        try:
            _finish(fd, self._tree[path].entry)
        finally:
            os.close(fd)

    def _make_file(self, name: bytes, dir_fd: int, placed: _Placed) -> None:
        entry = placed.entry
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=dir_fd)
        try:
            for offset, length, stored in entry.extents:
                copy(self._states[placed.state], fd, length, (stored, offset))
            if not entry.extents or sum(entry.extents[-1][:2]) < entry.size:
                os.ftruncate(fd, entry.size)
            _finish(fd, entry)
        finally:
            os.close(fd)


def _finish(fd: int, entry: Entry) -> None:
    """Attributes while the mode still allows it; the owner before the mode, for chown takes setuid away; times last."""
    for name, value in entry.xattrs:
        os.setxattr(fd, name, value)
    os.fchown(fd, entry.uid, entry.gid)
    os.fchmod(fd, stat.S_IMODE(entry.mode))
    os.utime(fd, ns=(entry.mtime, entry.mtime))


def _make_special(name: bytes, dir_fd: int, entry: Entry) -> None:
    if stat.S_ISLNK(entry.mode):
        os.symlink(entry.target, name, dir_fd=dir_fd)
    else:
        os.mknod(name, stat.S_IFMT(entry.mode) | 0o600, dir_fd=dir_fd)
    os.chown(name, entry.uid, entry.gid, dir_fd=dir_fd, follow_symlinks=False)
    if not stat.S_ISLNK(entry.mode):
        os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=dir_fd)  # made just now in a tree at rest: no link
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=dir_fd, follow_symlinks=False)
