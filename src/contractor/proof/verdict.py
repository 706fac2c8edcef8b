"""The verdict of a rebuild, signed: did the same plan give the same bytes?

    builds/<id of the second build>/verdict.intoto.jsonl

An envelope (dsse.py) with an in-toto Statement about the first build's artifacts, whose predicate is in-toto's own for
tests: https://in-toto.io/attestation/test-result/v0.1. A test is an artifact: passed when it has the same digest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from contractor.core import digest
from contractor.core.errors import Broken, Rejected
from contractor.core.values import Value
from contractor.proof.dsse import seal
from contractor.proof.provenance import record_digest, subjects
from contractor.proof.signing import Signer
from contractor.proof.statement import STATEMENT, TEST_RESULT, Descriptor, require_subjects
from contractor.store.layout import Store
from contractor.store.records import Record, Records


class Reproduction(Value, frozen=True):
    """build: the one that was verified; again: the one that was made to compare. outcome: "reproduced",
    "not-reproducible", or how the second build ended. same, different: names of artifacts. varied: what was other."""

    build: str
    again: str
    outcome: str
    same: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    varied: tuple[str, ...] = ()
    finished: str = ""  # when: RFC 3339, UTC


class Original(NamedTuple):
    """What a verdict says of the first build: its artifacts, the sha256 of its record, its plan and its isolation."""

    subjects: tuple[Descriptor, ...]
    record: str
    plan: str
    isolation: str


def original_of(record: Record) -> Original:
    """Of a build that this store has."""
    made = tuple(subject for made in record.artifacts for subject in subjects(made))
    return Original(made, record_digest(record), record.plan, record.tier)


class Result(msgspec.Struct, frozen=True):
    """in-toto's test result: PASSED or FAILED; the tests are artifacts, by name."""

    result: str
    configuration: tuple[Descriptor, ...]
    passedTests: tuple[str, ...] = ()
    failedTests: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """The statement that is signed. What was compared is its only configuration: the record of the first build."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Descriptor, ...]
    predicateType: str
    predicate: Result

    @property
    def about(self) -> dict[str, Any]:
        """A Reproduction's fields, as they were written."""
        return self.predicate.configuration[0].annotations

    @property
    def build(self) -> str:
        return str(self.about.get("build", ""))

    @property
    def finished(self) -> str:
        return str(self.about.get("finished", ""))


def statement(found: Reproduction, first: Original) -> Verdict:
    """What is signed."""
    about = {**msgspec.to_builtins(found), "plan": first.plan, "isolation": first.isolation}
    compared = Descriptor(name="record.json", digest={"sha256": first.record}, annotations=about)
    result = "PASSED" if found.outcome == "reproduced" else "FAILED"
    return Verdict(
        STATEMENT,
        first.subjects,
        TEST_RESULT,
        Result(result, (compared,), found.same, found.different),
    )


def decode(payload: bytes) -> Verdict:
    """Rejected, with the reason, when it is not a statement of ours about a rebuild."""
    try:
        verdict = msgspec.json.decode(payload, type=Verdict)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"signed, but not a verdict: {error}") from error
    if not verdict.predicate.configuration or not verdict.build:
        raise Rejected("signed, but not the verdict of a rebuild")
    require_subjects(verdict.subject)
    return verdict


def verdict_at(store: Store, again: str) -> str:
    """Where the verdict of a second build is."""
    return f"{Records(store).folder(again)}/verdict.intoto.jsonl"


def write_verdict(found: Reproduction, first: Original, store: Store, signer: Signer) -> tuple[str, str]:
    """Sign and write it; returns the file's path and its sha256."""
    path = verdict_at(store, found.again)
    envelope = seal(digest.canonical(statement(found, first)), signer)
    try:
        with open(path, "wb") as file:
            file.write(envelope)
    except OSError as error:
        raise Broken(f"the verdict cannot be written: {path}: {error.strerror}") from error
    return path, digest.of_bytes(envelope)
