"""The audit journal of a store, read and judged: the file and its heads, and the records and provenance that it names.

What the journal says of a build that has ended, its files must say too: `record.json` and each provenance file still
have the digest that was noted. A build whose folder is gone was cleaned away, which is nobody's crime.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from contractor.core import digest
from contractor.core.errors import Broken, Rejected
from contractor.proof.journal import Files, Journal, files, read_head, reading
from contractor.proof.journal_check import IN_STORE, Finding, Report, check
from contractor.proof.journal_line import Entry, parse_line
from contractor.proof.keys import Keys
from contractor.proof.provenance import stored_at, written_digests
from contractor.proof.verdict import verdict_at
from contractor.store.layout import Store
from contractor.store.records import Records

Heads = dict[str, Sequence[bytes] | None]


class Found(NamedTuple):
    """A journal's bytes, and the heads that are known of it by where they are."""

    data: bytes
    heads: Heads


def look(store: Store, outside: str) -> Found:
    """A store's journal. Rejected when it has none, and no head of one."""
    place = files(store, outside)
    with reading(place):
        data = _read(place)
        heads: Heads = {IN_STORE: read_head(place.head)}
        if outside:
            heads[f"outside of it ({place.outside})"] = read_head(place.outside)
    if data is None and not any(heads.values()):
        raise Rejected(f"the store {store.root} has no audit journal yet", hint="`contractor build` begins it")
    return Found(data or b"", heads)


def _read(place: Files) -> bytes | None:
    try:
        with open(place.journal, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Broken(f"the audit journal cannot be read: {place.journal}: {error.strerror}") from error


def entries(data: bytes) -> Iterator[Entry]:
    """What can be read of a journal, in its order; nothing is checked."""
    for line in data.split(b"\n")[:-1]:
        try:
            yield parse_line(line)
        except ValueError:
            continue


def judge(store: Store, outside: str, keys: Keys, *, every: bool = False, more: Heads | None = None) -> Report:
    """Whether a store's journal is whole, and builds are as it has them. more: heads that somebody else has kept."""
    found = look(store, outside)
    report = check(found.data, {**found.heads, **(more or {})}, keys, every=every)
    reasons = _reasons(found.data)
    wrong = [msgspec.structs.replace(item, accepted=reasons.get(item.mark, "")) for item in _builds(store, found.data)]
    return msgspec.structs.replace(report, findings=(*report.findings, *wrong))


def _reasons(data: bytes) -> dict[str, str]:
    """Of what was accepted; that the entries are signed has been checked with the others."""
    return {
        mark: str(entry.body.get("reason"))
        for entry in entries(data)
        if entry.kind == "accepted"
        for mark in entry.body.get("marks", ())
    }


def accept(journal: Journal, report: Report, reason: str) -> int:
    """Note that what was found is known, and why it is no worry; returns how many findings that were."""
    marks = [finding.mark for finding in report.findings if not finding.accepted]
    if marks:
        texts = [finding.text for finding in report.findings if not finding.accepted]
        journal.append("accepted", {"reason": reason, "findings": texts, "marks": marks})
    return len(marks)


def _builds(store: Store, data: bytes) -> Iterator[Finding]:
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        if not any(mark in line for mark in _ABOUT_FILES):
            continue
        try:
            entry = parse_line(line)
        except ValueError:
            continue
        build = str(entry.body.get("again" if entry.kind == "verdict" else "build"))
        if _is_id(build) and os.path.isdir(store.path("builds", build)):
            differs = {"build-finished": _differs, "verdict": _verdict_differs}.get(entry.kind, _never)
            for text in differs(store, build, entry.body):
                yield Finding(number, f"{text} of {build} is not what line {number} says")


_ABOUT_FILES = (b'"kind":"build-finished"', b'"kind":"verdict"')


def _is_id(build: str) -> bool:
    return "/" not in build and build not in ("", ".", "..") and build.isprintable()


def _differs(store: Store, build: str, body: dict[str, Any]) -> Iterator[str]:
    if _record(store, build) != body.get("record"):
        yield "the record"
    elif _plan(store, build) is False:
        yield "the plan"
    for name, noted in dict(body.get("provenance") or {}).items():
        if "/" not in name and _file(stored_at(store, build, name)) != noted:
            yield f"the provenance of the artifact {name}"


def _record(store: Store, build: str) -> str:
    """The digest that the journal would have of a build's record as it is now."""
    try:
        Records(store).read(build)
    except (Rejected, Broken, OSError):
        return ""
    return written_digests(store, build)[0]


def _verdict_differs(store: Store, build: str, body: dict[str, Any]) -> Iterator[str]:
    if _file(verdict_at(store, build)) != body.get("sha256"):
        yield "the verdict"


def _never(_store: Store, _build: str, _body: dict[str, Any]) -> Iterator[str]:
    return iter(())


def _plan(store: Store, build: str) -> bool | None:
    """Whether a build's plan is the one that its record names; None when that says nothing, for a shell changed it."""
    record = Records(store).read(build)
    found = _file(f"{Records(store).folder(build)}/plan.json")
    return None if record.tainted or not found else found == record.plan


def _file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return digest.of_bytes(file.read())
    except OSError:
        return ""
