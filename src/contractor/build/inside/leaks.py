"""Which files of the workspace have a secret in them: in the content, the name, a link's target or an attribute."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from contractor.build.inside.access import Opened
from contractor.build.secrets.scan import Finder
from contractor.core.errors import Broken
from contractor.sandbox.namespace import Inside
from contractor.store import states
from contractor.store.descent import Descent, reading
from contractor.store.extents import data_ranges
from contractor.store.scan import MODE, Signature, compare

Args = dict[str, Any]
_MOST = 50  # files that are told
_PIECE = 1 << 20

Leak = tuple[bytes, str, str]
"""(path, name of the secret, where and in which form, in words)"""


def leaks(inside: Inside, args: Args, _fds: list[int]) -> list[Leak]:
    """secrets: values by name. changed: only what changed since the last restore or save; paths: these (None: all).

    Compressed and encrypted content is what it is: nothing is unpacked.
    """
    with Opened(f"{inside.state['work']}/ws") as ws:
        now = states.scan(ws.number)
        if args["changed"]:
            difference = compare(inside.state["scan"], now)
            paths: Iterable[bytes] = [*difference.changed, *difference.moved]
        else:
            paths = now.entries if args["paths"] is None else args["paths"]
        return _leaks(ws.number, _finder(inside, args["secrets"]), {path: now.entries[path] for path in sorted(paths)})


def _finder(inside: Inside, secrets: dict[str, bytes]) -> Finder:
    """Made once, for all that is stored of a build has to be looked at."""
    known: tuple[dict[str, bytes], Finder] | None = inside.state.get("finder")
    if known is None or known[0] != secrets:
        known = inside.state["finder"] = secrets, Finder(secrets)
    return known[1]


def _leaks(root_fd: int, finder: Finder, entries: dict[bytes, Signature]) -> list[Leak]:
    found: list[Leak] = []
    seen: set[bytes] = set()
    with Descent(root_fd, force=True) as at:
        for path, entry in entries.items():
            if any(path.startswith(above + b"/") for above in seen):
                continue  # the name of a folder above it says it for all
            try:
                leak = _of_path(finder, path) or _of_content(finder, at, path, entry)
            except OSError as error:
                raise Broken(f"cannot read {os.fsdecode(path)!r} to look for secrets: {error.strerror}") from error
            if leak:
                found.append((path, *leak))
                seen |= {path} if leak[1].startswith("in its name") else set()
            if len(found) >= _MOST:
                break
    return found


def _of_path(finder: Finder, path: bytes) -> tuple[str, str] | None:
    mark = finder.find([path])
    return (mark.name, f"in its name {mark.how}".strip()) if mark else None


def _of_content(finder: Finder, at: Descent, path: bytes, entry: Signature) -> tuple[str, str] | None:
    folder, _, name = path.rpartition(b"/")
    mode = entry[MODE]
    if stat.S_ISDIR(mode):
        at.go(path)
        mark = finder.find(_attributes(at.fd))
    elif stat.S_ISLNK(mode):
        at.go(folder)
        mark = finder.find([os.readlink(name, dir_fd=at.fd)])
    elif stat.S_ISREG(mode):
        at.go(folder)
        with reading(name, at.fd) as (fd, _forced):
            mark = finder.find(_attributes(fd)) or finder.find(_content(fd))
    else:
        return None
    return (mark.name, mark.how) if mark else None


def _content(fd: int) -> Iterator[bytes]:
    """What is not a hole: nothing hides in one."""
    for offset, length in data_ranges(fd, os.fstat(fd)):
        end = offset + length
        while offset < end and (piece := os.pread(fd, min(_PIECE, end - offset), offset)):
            yield piece
            offset += len(piece)


def _attributes(fd: int) -> Iterator[bytes]:
    try:
        names = os.listxattr(fd)
    except OSError:
        return
    for name in names:
        yield os.fsencode(name) + b"\0" + os.getxattr(fd, name) + b"\0"
