"""The upper directory of an overlay that shows the new system where the old one lies below; and what it shows.

    a path that is new or changed   itself, whole, and the directories above it as they are in the new system
    a path that is gone             a whiteout: a character device 0:0 (Linux, Documentation/filesystems/overlayfs.rst)
    a directory that stays one      only what changed in it: never opaque, so no attribute of overlayfs is needed

A directory in place of a file needs no mark either: the kernel joins directories with directories only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from posixpath import dirname

from incremental.system import Entry, System, same_content

OVERLAY = ("trusted.overlay.", "user.overlay.")  # orders to overlayfs: never part of a system


def whiteout(mtime: int) -> Entry:
    """What stands for a path that is gone."""
    return Entry("c", mode=0, mtime=mtime)


def is_whiteout(entry: Entry) -> bool:
    return entry.kind == "c" and entry.device == (0, 0)


def difference(old: System, new: System, *, epoch: int, ignored: Collection[str] = ()) -> System:
    """The upper directory. epoch: the time of whiteouts; ignored: globs of files that may differ in time only.

    ValueError: the new system holds what an overlay cannot show.
    """
    upper: dict[str, Entry] = {}
    for path in sorted({*old.entries, *new.entries}):
        now = new.entries.get(path)
        if now is None:
            above = new.entries.get(dirname(path))
            if above is not None and above.kind == "d":  # else it is hidden with what is above it
                upper[path] = whiteout(epoch)
                _add_above(upper, new, path)
            continue
        if is_whiteout(now):
            raise ValueError(f"/{path} is a character device 0:0, which an overlay takes for a file that is gone")
        if path in old.entries and _same(old, new, path, ignored):
            continue
        upper[path] = stripped(now)
        _add_above(upper, new, path)
    upper.setdefault("", stripped(new.entries[""]))
    return System(upper, new.pieces)


def overlaid(lower: System, upper: System) -> System:
    """What the kernel shows of the two. ValueError: the upper directory has marks that format 2 does not have."""
    marked = [path for path, entry in upper.entries.items() if any(key.startswith(OVERLAY) for key, _ in entry.xattrs)]
    if marked:
        raise ValueError(f"/{marked[0]} has an attribute of overlayfs")
    shown: dict[str, Entry] = {}
    from_upper: set[str] = set()
    for path, entry in upper.entries.items():
        if not is_whiteout(entry):
            shown[path] = entry
            from_upper.add(path)
    for path, entry in lower.entries.items():
        if path not in upper.entries and all(_joined(lower, upper, above) for above in _above(path)):
            shown[path] = entry

    def pieces(path: str) -> Iterator[bytes]:
        return (upper if path in from_upper else lower).pieces(path)

    return System(shown, pieces)


def unlike(one: System, two: System, ignored: Collection[str] = ()) -> list[str]:
    """The paths that are not the same in both; the time of the root is that of the image."""
    paths = sorted({*one.entries, *two.entries})
    return [
        path
        for path in paths
        if path not in one.entries or path not in two.entries or not _same(one, two, path, ignored)
    ]


def stripped(entry: Entry) -> Entry:
    """Without attributes of overlayfs."""
    return entry._replace(xattrs=tuple(pair for pair in entry.xattrs if not pair[0].startswith(OVERLAY)))


def _same(old: System, new: System, path: str, ignored: Collection[str]) -> bool:
    before, now = stripped(old.entries[path]), stripped(new.entries[path])
    if not path or (now.kind == "f" and any(fnmatchcase(f"/{path}", glob) for glob in ignored)):
        before = before._replace(mtime=now.mtime)
    return before == now and (now.kind != "f" or same_content(old, new, path))


def _add_above(upper: dict[str, Entry], new: System, path: str) -> None:
    """The directories above a path: what overlayfs shows of a directory is what the upper one is."""
    for above in _above(path):
        upper.setdefault(above, stripped(new.entries[above]))


def _above(path: str) -> Iterator[str]:
    while path:
        path = dirname(path)
        yield path


def _joined(lower: System, upper: System, path: str) -> bool:
    """Whether a directory of the lower system is still looked into."""
    there = upper.entries.get(path)
    return lower.entries[path].kind == "d" and (there is None or there.kind == "d")
