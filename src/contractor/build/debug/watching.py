"""What a build reads of the user's files, whether any of it has changed, and waiting until something may have.

A look is the state of every such file; two looks tell what has changed. What wakes us (inotify, or a clock) decides
only when to look, so that a file which is no part of the build, such as one that the build itself writes, never
starts another build, and a change that nobody was told of is seen by the next look all the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from contractor.build.facts import custom_path
from contractor.build.prepare import Request
from contractor.build.source.folder import is_part, list_files
from contractor.build.source.git import SAFE
from contractor.core.errors import ContractorError
from contractor.plan.model import Plan
from contractor.sandbox import process
from contractor.spec.load import load_spec
from contractor.spec.model import Custom, Source
from contractor.store.layout import Store

Signature: TypeAlias = tuple[int, int, int, int, int]
Look: TypeAlias = Mapping[str, Signature | None]  # absolute path -> its signature, None when it cannot be had

_LARGEST_SPEC = 16 << 20  # bytes, as the build reads

# What editors keep beside a file that is open, and remove or replace a moment later.
_EDITORS_OWN = re.compile(
    r"^(\..*\.sw[a-p]|.*~|\.#.*|#.*#|4913|\.goutputstream-.*|.*___jb_(tmp|old)___|\..*\.kate-swp|\..*\.un~)$"
)


class Folder(NamedTuple):
    """A source's folder, and the absolute paths that are no part of it."""

    path: str
    leave: tuple[str, ...]


class Inputs(NamedTuple):
    """files: absolute paths, which need not exist. folders: sources."""

    files: frozenset[str] = frozenset()
    folders: frozenset[Folder] = frozenset()


def inputs_of(request: Request, plans: Sequence[Plan]) -> Inputs:
    """All that these plans were made from. Without plans: the specification and what it names itself."""
    files: set[str] = set()
    folders: set[Folder] = set()
    files.update((*_specification(request.spec), os.path.abspath(request.lock_path)))
    for plan in plans:
        _add(plan, request.folder, os.path.abspath(request.spec), request, (files, folders))
    return Inputs(frozenset(files), frozenset(folders))


def _add(plan: Plan, folder: str, spec: str, request: Request, found: tuple[set[str], set[Folder]]) -> None:
    files, folders = found
    for action in plan.actions:
        match action.step.action:
            case Custom(name=name):
                files.add(os.path.abspath(custom_path(folder, name)))
            case Source(path=path) if path:
                own = (spec, os.path.abspath(f"{folder}/.contractor"))
                folders.add(Folder(os.path.abspath(os.path.join(folder, path)), (*own, *request.leave)))
    for name, base in plan.bases.items():
        files.add(os.path.abspath(f"{request.folder}/.contractor/bases/{name}.yaml"))  # goes before all others
        files.update(_specification(base.file))
        _add(base, os.path.dirname(os.path.abspath(base.file)), os.path.abspath(base.file), request, found)


def _specification(path: str) -> Iterator[str]:
    """A specification's file and those of its pipelines; of one that is broken, as far as it can be read."""
    yield os.path.abspath(path)
    named: list[str] = []

    def read(name: str) -> bytes:
        named.append(os.path.abspath(os.path.join(os.path.dirname(path), name)))
        return _read(named[-1])

    with contextlib.suppress(ContractorError, OSError):  # the build says what is wrong
        load_spec(_read(path), "", read)
    yield from named


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST_SPEC)


def look(inputs: Inputs, store: Store, ours: frozenset[tuple[int, int]] = frozenset()) -> Look:
    """The state of everything now. ours: device and inode of files that this process itself writes to."""
    found: dict[str, Signature | None] = {path: _signature(path, ours, follow=True) for path in inputs.files}
    for folder in inputs.folders:
        try:
            names, _git = list_files(folder.path, store, folder.leave)
        except ContractorError:
            found[folder.path] = None
            continue
        for name in names:
            path = os.path.join(folder.path, os.fsdecode(name))
            signature = _signature(path, ours, follow=False)
            if signature is not None and not stat.S_ISDIR(signature[0]):
                found[path] = signature
    return found


def _signature(path: str, ours: frozenset[tuple[int, int]], *, follow: bool) -> Signature | None:
    try:
        now = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    if (now.st_dev, now.st_ino) in ours:
        return None
    return now.st_mode, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino


def changes(before: Look, after: Look) -> list[str]:
    """The paths that differ between two looks, sorted; without what only editors have a use for. Pure."""
    paths = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return sorted(path for path in paths if not _EDITORS_OWN.match(os.path.basename(path)))


def directories(inputs: Inputs, store: Store) -> set[str]:
    """Where something has to happen for a look to change: directories only, however many files they have."""
    found: set[str] = set()
    for path in inputs.files:
        found.update((_nearest(os.path.dirname(path)), _nearest(os.path.dirname(os.path.realpath(path)))))
    for folder in inputs.folders:
        found.add(_nearest(os.path.dirname(folder.path)))
        found.update(_below(folder, store))
    return found


def _nearest(path: str) -> str:
    """The directory, or the next one above it that is there."""
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _below(folder: Folder, store: Store) -> Iterator[str]:
    """A source's folder and those below it that may hold a part of it: not .git, nor what git ignores."""
    ignored = _ignored(folder.path)
    part = is_part(folder.path, store, folder.leave)
    for path, names, _files in os.walk(folder.path):
        yield path
        below = os.path.relpath(path, folder.path)
        relative = {name: os.fsencode(os.path.normpath(f"{below}/{name}")) for name in names}
        names[:] = [name for name in names if name != ".git" and relative[name] not in ignored and part(relative[name])]


def _ignored(path: str) -> frozenset[bytes]:
    """The directories below a folder that git ignores, each without what is in it; none where git has no say."""
    git = process.which("git")
    if git is None:
        return frozenset()
    argv = [git, "-C", path, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    done = process.run(argv, env=SAFE)
    names: Iterable[bytes] = done.output.split(b"\0")[:-1] if done.code == 0 else ()
    return frozenset(name[:-1] for name in names if name.endswith(b"/"))
