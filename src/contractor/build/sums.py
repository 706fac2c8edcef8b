"""Sets of outputs by name and digest: of a build, or of a file that sha256sum wrote; and how two of them differ."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from contractor.build.export import SUMS, export_artifacts
from contractor.build.inside.access import Opened
from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.store.layout import Store, in_use
from contractor.store.records import Record
from contractor.store.remove import remove_tree

_LINE = re.compile(rb"(?P<escaped>\\?)(?P<digest>[0-9a-f]{64}) [ *](?P<name>.+)\Z", re.DOTALL)
_ARCHIVE = re.compile(rb"# sha256 of the uncompressed archive of (?P<name>.+): (?P<digest>[0-9a-f]{64})\Z")
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_LARGEST = 64 << 20  # bytes of a file of sums


class Outputs(NamedTuple):
    """files: digests of files by name; archives: digests of artifacts' uncompressed archives by the artifact's name."""

    files: dict[str, str]
    archives: dict[str, str]


class Comparison(Value, frozen=True):
    """Names, sorted. what: "artifacts" (by the digest of their archives) or "files" (by that of each file)."""

    what: str
    same: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not (self.different or self.only_a or self.only_b)


def parse_sums(data: bytes, path: str) -> Outputs:
    """A file as sha256sum writes it, with our comments in it. Rejected: another line, a name that comes twice."""
    files: dict[str, str] = {}
    archives: dict[str, str] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if found := _ARCHIVE.match(line):
            archives[os.fsdecode(found["name"])] = found["digest"].decode()
            continue
        if not line or line.startswith(b"#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise Rejected(
                f"{path}:{number}: not a line of sha256sum: {line[:80]!r}", hint="64 digits, two spaces, and a name"
            )
        raw = found["name"]
        raw = re.sub(rb"\\[\\nr]", lambda match: _ESCAPES[match[0]], raw) if found["escaped"] else raw
        name = os.fsdecode(raw)
        if name in files and files[name] != found["digest"].decode():
            raise Rejected(f"{path}:{number}: {name!r} is there twice, with two digests")
        files[name] = found["digest"].decode()
    if not files and not archives:
        raise Rejected(f"{path} has no sums in it", hint="it is a file as sha256sum writes it")
    return Outputs(files, archives)


def read_sums(path: str) -> Outputs:
    """The sums in a file, or in SHA256SUMS of a folder."""
    path = f"{path.rstrip('/')}/{SUMS}" if os.path.isdir(path) else path
    try:
        with open(path, "rb") as file:
            return parse_sums(file.read(_LARGEST), path)
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error


def outputs_of(record: Record, store: Store, *, files: bool) -> Outputs:
    """What a build made. files: also the digest of every file that `-o DIR` would write (they are made for it)."""
    archives = {artifact.name: artifact.digest for artifact in record.artifacts}
    if not files:
        return Outputs({}, archives)
    session = f"compare-{os.getpid()}-{os.urandom(4).hex()}"
    with in_use(store, session):
        folder = store.path("work", session)
        try:
            export_artifacts(record.artifacts, store, f"{folder}/out", record.epoch)
            return Outputs(read_sums(f"{folder}/out").files, archives)
        finally:
            with Opened(folder) as fd:
                remove_tree(fd.number, "out")


def compare_outputs(a: Outputs, b: Outputs) -> Comparison:
    """By artifacts where both know them, else by files."""
    what = "artifacts" if a.archives and b.archives else "files"
    first, second = (a.archives, b.archives) if what == "artifacts" else (a.files, b.files)
    both = sorted({*first} & {*second})
    return Comparison(
        what=what,
        same=tuple(name for name in both if first[name] == second[name]),
        different=tuple(name for name in both if first[name] != second[name]),
        only_a=tuple(sorted({*first} - {*second})),
        only_b=tuple(sorted({*second} - {*first})),
    )
