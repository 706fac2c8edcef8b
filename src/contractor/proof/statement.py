"""The statement about an artifact, in-toto's v1 with SLSA provenance v1, as values; and what is asked of one.

https://github.com/in-toto/attestation/tree/main/spec/v1 and https://slsa.dev/provenance/v1; names and nesting are
theirs. docs/how-to/provenance.md says what our build type puts where.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.proof.errors import Refuted

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:contractor:build:v1"  # a TypeURI that names no host: it is documented, and resolves nowhere
BUILDER = "urn:contractor:builder:ed25519:"  # and the id of the key: who signs is who built


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """in-toto's ResourceDescriptor: at least one of uri and digest is set."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    downloadLocation: str = ""
    mediaType: str = ""
    annotations: dict[str, Any] = {}


class Specification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """path: the file's name; sha256: of its bytes, empty when they were gone when the build began."""

    path: str
    sha256: str


class External(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked for. asked: options besides the plan, such as ("--from", "3")."""

    specification: Specification
    parameters: dict[str, str]
    matrix: dict[str, str]
    asked: tuple[str, ...]


class Definition(msgspec.Struct, frozen=True):
    buildType: str
    externalParameters: External
    internalParameters: dict[str, Any]
    resolvedDependencies: tuple[Descriptor, ...]


class Builder(msgspec.Struct, frozen=True):
    id: str
    version: dict[str, str] = {}


class Metadata(msgspec.Struct, frozen=True):
    invocationId: str
    startedOn: str
    finishedOn: str


class Details(msgspec.Struct, frozen=True):
    builder: Builder
    metadata: Metadata
    byproducts: tuple[Descriptor, ...] = ()


class Provenance(msgspec.Struct, frozen=True):
    buildDefinition: Definition
    runDetails: Details


class Statement(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[Descriptor, ...]
    predicateType: str
    predicate: Provenance

    @property
    def internal(self) -> dict[str, Any]:
        return self.predicate.buildDefinition.internalParameters

    @property
    def tainted(self) -> str:
        """Why some of what was built is not what its keys say; "" when it all is."""
        return str(self.internal.get("tainted", ""))

    @property
    def build(self) -> str:
        """The build's id."""
        return self.predicate.runDetails.metadata.invocationId

    @property
    def finished(self) -> str:
        """When: RFC 3339, UTC."""
        return self.predicate.runDetails.metadata.finishedOn


def encode(statement: Statement) -> bytes:
    """Canonical JSON: what is signed."""
    return digest.canonical(statement)


class _Kind(msgspec.Struct):
    type: str = msgspec.field(name="_type", default="")
    predicateType: str = ""


def kind_of(payload: bytes) -> str:
    """The type of an in-toto Statement's predicate; Rejected when it is none of version 1."""
    try:
        kind = msgspec.json.decode(payload, type=_Kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"signed, but not a statement: {error}") from error
    if kind.type != STATEMENT:
        raise Rejected(f"signed, but not an in-toto Statement v1: {kind.type[:80]!r}")
    return kind.predicateType


def decode(payload: bytes) -> Statement:
    """Rejected, with the reason, when it is not a statement of ours about a build."""
    kind = kind_of(payload)
    if kind != PROVENANCE:
        raise Rejected(f"signed, but not SLSA provenance v1: {kind[:80]!r}")
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"signed, but not a statement about a build: {error}") from error
    made = statement.predicate.buildDefinition.buildType
    if made != BUILD_TYPE:
        raise Rejected(f"signed, but about a build of another kind: {made[:80]!r}")
    require_subjects(statement.subject)
    return statement


def require_subjects(subject: tuple[Descriptor, ...]) -> None:
    """Rejected when it names no artifact, or one without a digest."""
    if not subject or not all(digest.is_digest(part) for item in subject for part in _parts(item)):
        raise Rejected("signed, but it names no artifact, or one without a digest")


def _parts(item: Descriptor) -> list[str]:
    return list(item.digest.values()) or [""]


def require_builder(statement: Statement, keys: tuple[str, ...]) -> None:
    """Refuted when the builder that the statement names is none of the keys (ids) that signed it."""
    builder = statement.predicate.runDetails.builder.id
    if builder.removeprefix(BUILDER) not in keys or not builder.startswith(BUILDER):
        raise Refuted(f"the builder that it names did not sign it: {builder[:120]}", details=keys)
