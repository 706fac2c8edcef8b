"""How two archives of the store differ, member by member."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contractor.core.digest import is_digest
from contractor.core.errors import Broken, Rejected
from contractor.core.values import Value
from contractor.plan.causes import Explanation
from contractor.plan.changes import Change
from contractor.store import tarformat
from contractor.store.layout import Store
from contractor.store.results import artifact_path

_LARGEST = 1 << 40  # bytes of an archive that are read: what the store has was measured when it was made
_CHEAP = 256 << 20  # compressed bytes of two sources that are read to say which files differ
_KINDS = {
    tarformat.FILE: "file",
    tarformat.LINK: "hard link",
    tarformat.SYMLINK: "symbolic link",
    tarformat.CHARACTER: "character device",
    tarformat.BLOCKDEV: "block device",
    tarformat.DIRECTORY: "folder",
    tarformat.FIFO: "fifo",
}


class Seen(NamedTuple):
    """What is compared of a member, as JSON values. mode: octal; mtime: seconds; content: sha256, "" for no file."""

    kind: str
    content: str
    size: int
    mode: str
    mtime: int
    owner: str
    link: str
    attributes: str


class MemberChange(Value, frozen=True):
    """how: added, removed or changed. what: for a changed one each aspect that differs, (before, after).

    path: bytes that are no UTF-8 are written as \\xNN.
    """

    path: str
    how: str
    what: dict[str, tuple[str | int, str | int]] = {}


class Members(Value, frozen=True):
    """Two archives compared. why_not: why they could not be."""

    changes: tuple[MemberChange, ...] = ()
    why_not: str = ""


def compare_archives(store: Store, before: str, after: str, *, most: int | None = None, times: bool = True) -> Members:
    """Two archives by digest. most: bytes of both, compressed, beyond which they are not read. times: matter."""
    if before == after:
        return Members()
    paths = [artifact_path(store, digest) for digest in (before, after)]
    missing = [digest for digest, path in zip((before, after), paths, strict=True) if not os.path.exists(path)]
    if missing:
        return Members(why_not=f"{' and '.join(name[:12] for name in missing)} not in the store any more")
    if most is not None and sum(map(os.path.getsize, paths)) > most:
        return Members(why_not="too large to be compared here")
    try:
        return Members(compare(read_members(paths[0], times=times), read_members(paths[1], times=times)))
    except (Rejected, Broken, OSError) as error:
        return Members(why_not=f"cannot be read: {error}")


def changed_files(store: Store, found: Iterable[Explanation], *, most: int = _CHEAP) -> dict[tuple[str, str], Members]:
    """Which files differ in each pair of sources that these name; their times are all the epoch, so these are left out.

    Sources of more than `most` bytes, compressed, are not read.
    """
    changes: list[Change] = []
    for explanation in found:
        changes += explanation.changes
        changes += [change for chained in explanation.chained for cause in chained.causes for change in cause.changes]
    pairs = dict.fromkeys((change.before, change.after) for change in changes if _archives(change))
    return {pair: compare_archives(store, *pair, most=most, times=False) for pair in pairs}


def _archives(change: Change) -> bool:
    """Whether they can be digests of archives: a git commit has 40 digits."""
    return change.input == "source" and is_digest(str(change.before)) and is_digest(str(change.after))


def compare(before: Mapping[bytes, Seen], after: Mapping[bytes, Seen]) -> tuple[MemberChange, ...]:
    """What differs, by path."""
    changes = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            changes.append(MemberChange(text_of(path), "added" if old is None else "removed"))
        elif old != new:
            aspects = old._asdict(), new._asdict()
            what = {name: (aspects[0][name], aspects[1][name]) for name in Seen._fields}
            differ = {name: pair for name, pair in what.items() if pair[0] != pair[1]}
            changes.append(MemberChange(text_of(path), "changed", differ))
    return tuple(changes)


def read_members(path: str, *, times: bool = True) -> dict[bytes, Seen]:
    """The members of a stored archive, by name; without `times` each mtime is 0. Rejected: it is damaged."""
    from contractor.store.compress import open_zstd
    from contractor.store.tarread import Stream, members

    found = {}
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        stream = Stream(open_zstd(fd), _LARGEST)
        for member in members(stream):
            content = ""
            if member.kind == tarformat.FILE:
                content_hash = hashlib.sha256()
                for piece in stream.pieces(member.size):
                    content_hash.update(piece)
                content = content_hash.hexdigest()
            found[member.name] = _seen(member, content, times)
    finally:
        os.close(fd)
    return found


def _seen(member: tarformat.Member, content: str, times: bool) -> Seen:
    return Seen(
        kind=_KINDS.get(member.kind, "other"),
        content=content,
        size=member.size,
        mode=f"{member.mode:04o}",
        mtime=member.mtime // tarformat.NANO if times else 0,
        owner=f"{member.uid}:{member.gid}",
        link=text_of(member.link),
        attributes=", ".join(f"{text_of(name)}={text_of(value)}" for name, value in sorted(member.xattrs.items())),
    )


def text_of(data: bytes) -> str:
    """A name as members are called here."""
    return data.decode("utf-8", "backslashreplace")
