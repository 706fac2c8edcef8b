"""Sets of outputs by name and digest: of a build, of a folder, or of a file of sums; and how two of them differ.

A file of sums is what its author claims. Of a folder every file is read, and held against its SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from contractor.build.export.exporting import SUMS, export_artifacts
from contractor.build.inside.access import Opened
from contractor.core.errors import Rejected
from contractor.core.values import Value
from contractor.store.layout import Store, in_use
from contractor.store.records import Record
from contractor.store.remove import remove_tree

_LINE = re.compile(rb"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)\Z", re.DOTALL)
_TAGGED = re.compile(rb"(?P<escaped>\\?)SHA256 \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]{64})\Z", re.DOTALL)
_ARCHIVE = re.compile(rb"# sha256 of the uncompressed archive of (?P<name>.+): (?P<digest>[0-9a-f]{64})\Z")
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_LARGEST = 64 << 20  # bytes of a file of sums
_BESIDE = ".intoto.jsonl"  # what a file's provenance is called: no output
_COMPRESSED = ".tar.zst"


class Outputs(NamedTuple):
    """files: digests of files by name; archives: digests of artifacts' uncompressed archives by the artifact's name.

    claimed: a file says so, and nobody looked. folder: where the files are, "" for nowhere. damaged: names of files
    there that are not what SHA256SUMS says.
    """

    files: dict[str, str]
    archives: dict[str, str]
    claimed: bool = False
    folder: str = ""
    damaged: tuple[str, ...] = ()


class Comparison(Value, frozen=True):
    """Names, sorted. what: "artifacts" (by the digest of their archives) or "files" (by that of each file).

    damaged: paths of files that are not what the SHA256SUMS beside them says. notes: what people should know.
    """

    what: str
    same: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not (self.different or self.only_a or self.only_b or self.damaged)


def parse_sums(data: bytes, path: str) -> Outputs:
    """A file as sha256sum writes it, with --tag or without, with our comments in it.

    Rejected: another line, a name that comes twice with two digests, no sums.
    """
    files: dict[str, str] = {}
    archives: dict[str, str] = {}
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")  # names with one at their end are escaped
        if found := _ARCHIVE.match(line):
            archives[os.fsdecode(found["name"])] = found["digest"].decode()
            continue
        if not line or line.startswith(b"#"):
            continue
        found = _LINE.match(line) or _TAGGED.match(line)
        if found is None:
            raise Rejected(
                f"{path}:{number}: not a line of sha256sum: {line[:80]!r}", hint="64 digits, two spaces, and a name"
            )
        name, digest = _name(found["name"], escaped=bool(found["escaped"])), found["digest"].decode().lower()
        if files.setdefault(name, digest) != digest:
            raise Rejected(f"{path}:{number}: {name!r} is there twice, with two digests")
    if not files and not archives:
        raise Rejected(f"{path} has no sums in it", hint="it is a file as sha256sum writes it")
    return Outputs(files, archives, claimed=True)


def _name(raw: bytes, *, escaped: bool) -> str:
    """`sha256sum ./*` writes what `sha256sum *` does, but for the beginning."""
    plain = re.sub(rb"\\[\\nr]", lambda match: _ESCAPES[match[0]], raw) if escaped else raw
    return os.fsdecode(plain.removeprefix(b"./"))


def read_sums(path: str) -> Outputs:
    """The sums in a file, or in SHA256SUMS of a folder, as they are written there."""
    path = f"{path.rstrip('/')}/{SUMS}" if os.path.isdir(path) else path
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise Rejected(f"{path} has more than {_LARGEST >> 20} MiB: is it a file of sums?")
    return parse_sums(data, path)


def read_folder(path: str) -> Outputs:
    """The files of a folder, each read; its SHA256SUMS, if it has one, is held against them."""
    folder = path.rstrip("/") or "/"
    files: dict[str, str] = {}
    try:
        for name in _files(folder):
            with open(os.path.join(folder, name), "rb") as file:
                files[name] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Rejected(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    claimed = read_sums(folder) if os.path.exists(f"{folder}/{SUMS}") else Outputs({}, {})
    outputs = {name: digest for name, digest in files.items() if name in claimed.files or _is_output(folder, name)}
    if not outputs and not claimed.files:
        raise Rejected(f"{folder} has no files in it", hint="compare with what `contractor build -o DIR` wrote")
    damaged = sorted(name for name, digest in claimed.files.items() if files.get(name) != digest)
    return Outputs(outputs, {}, folder=folder, damaged=tuple(damaged))


def _is_output(folder: str, name: str) -> bool:
    """Not what speaks of outputs, nor a link to one."""
    speaks = os.path.basename(name) == SUMS or name.endswith(_BESIDE)
    return not speaks and not os.path.islink(os.path.join(folder, name))


def _files(folder: str) -> Iterator[str]:
    """Every regular file below it, by its path there; links count as what they point to, as sha256sum sees them."""
    for above, _folders, names in os.walk(folder, onerror=_raise):
        for name in names:
            if os.path.isfile(os.path.join(above, name)):
                yield os.path.relpath(os.path.join(above, name), folder)


def _raise(error: OSError) -> None:
    raise error


def outputs_of(record: Record, store: Store, *, files: bool) -> Outputs:
    """What a build made. files: also the digest of every file that `-o DIR` would write (they are made for it).

    Rejected: it has not succeeded, or made nothing: that it is equal to another such says nothing.
    """
    if record.outcome != "succeeded" or not record.artifacts:
        why = "made no artifact" if record.outcome == "succeeded" else f"has not succeeded ({record.outcome})"
        raise Rejected(f"{record.id} {why}: there is nothing to compare", hint="`contractor list` shows the builds")
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
    """By artifacts when both are builds, else by files."""
    builds = not a.files and not b.files
    first, second = (a.archives, b.archives) if builds else (a.files, b.files)
    both = sorted({*first} & {*second})
    equal = {name for name in both if first[name] == second[name]}
    repacked = [name for name in both if name not in equal and not builds and _same_archive(name, a, b)]
    return Comparison(
        what="artifacts" if builds else "files",
        same=tuple(name for name in both if name in equal or name in repacked),
        different=tuple(name for name in both if name not in equal and name not in repacked),
        only_a=tuple(sorted({*first} - {*second})),
        only_b=tuple(sorted({*second} - {*first})),
        damaged=tuple(f"{side.folder}/{name}" for side in (a, b) for name in side.damaged),
        notes=tuple(f"{name} is compressed in another way: the archive in it is the same" for name in repacked),
    )


def _same_archive(name: str, a: Outputs, b: Outputs) -> bool:
    """Whether two compressed files hold one archive, where that is known and not only claimed."""
    if not name.endswith(_COMPRESSED):
        return False
    found = [_archive(name, side) for side in (a, b)]
    return found[0] == found[1] != ""


def _archive(name: str, side: Outputs) -> str:
    from contractor.proof.tree import archive_digest

    if side.claimed:
        return ""
    if not side.folder:
        return side.archives.get(name.removesuffix(_COMPRESSED), "")
    try:
        return archive_digest(os.path.join(side.folder, name)) or ""
    except (OSError, Rejected):
        return ""


def notes_on(a: Record, b: Record) -> tuple[str, ...]:
    """What an equality of two builds does not prove."""
    if a.id == b.id:
        return ("this is one and the same build",)
    notes = []
    olds, news = _makers(a), _makers(b)
    once = sorted(name for name in {*olds} & {*news} if olds[name] == news[name])
    if once:
        made = ", ".join(sorted({olds[name] for name in once}))
        notes.append(f"made once, by {made}: {', '.join(once)} (`contractor verify` builds again)")
    notes += [f"{record.id} is tainted: {record.tainted}" for record in (a, b) if record.tainted]
    return tuple(notes)


def _makers(record: Record) -> dict[str, str]:
    """The build that really made each artifact: they are in the order of the steps that finished."""
    done = [step for step in record.steps if step.action == "create-artifact" and step.outcome in _DONE]
    return {made.name: step.made_by or record.id for made, step in zip(record.artifacts, done, strict=False)}


_DONE = ("succeeded", "cached")


def with_notes(found: Comparison, notes: tuple[str, ...]) -> Comparison:
    return msgspec.structs.replace(found, notes=(*found.notes, *notes))
