"""Provenance of a build: for each artifact a signed statement of what it was made of, how, where and when.

    builds/<id>/provenance/<artifact>.intoto.jsonl     an envelope (dsse.py) with a statement (statement.py)
    DIR/<file>.intoto.jsonl                            the same beside the copy of an artifact, with `build -o DIR`

A statement's subjects are the artifact's archive, uncompressed, as `<artifact>.tar`: the digest that names it in every
store; and the copy that was made of it, by the name and the digests of that file or folder (tree.py).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contractor.core import digest
from contractor.core.errors import Broken, Rejected
from contractor.core.events import ArtifactInfo
from contractor.plan.environment import FIXED
from contractor.plan.model import Plan
from contractor.proof import statement as s
from contractor.proof.dsse import peek, seal, unseal
from contractor.proof.keyring import Keyring
from contractor.proof.keys import by_id
from contractor.proof.materials import file_name, materials
from contractor.proof.signing import Signer
from contractor.proof.tree import file_digest
from contractor.store.layout import Store
from contractor.store.records import Record, Records, encode, without_kept
from contractor.store.results import Results

SUFFIX = ".intoto.jsonl"
_FOLDERS = re.compile(r"/(?:.*/)?")  # where a source is on this host is in the record, and nobody else's business


class Written(NamedTuple):
    """An artifact's provenance: the envelope, and the path of the copy beside the artifact's, or ""."""

    artifact: str
    envelope: bytes
    copy: str

    @property
    def digest(self) -> str:
        """The sha256 of the file."""
        return digest.of_bytes(self.envelope)


def stored_at(store: Store, build: str, artifact: str) -> str:
    return store.path("builds", build, "provenance", artifact + SUFFIX)


def record_digest(record: Record) -> str:
    """The sha256 of record.json, but for `kept`, which `contractor clean` takes out later."""
    return digest.of_bytes(encode(msgspec.structs.replace(record, kept="")))


def written_digests(store: Store, build: str) -> tuple[str, str]:
    """The same of record.json and of plan.json as they lie in the store, "" where one cannot be read.

    What they are as values may have more fields today than the Contractor knew that wrote them.
    """
    folder, found = Records(store).folder(build), []
    for name, read in (("record.json", without_kept), ("plan.json", bytes)):
        try:
            with open(f"{folder}/{name}", "rb") as file:
                found.append(digest.of_bytes(read(file.read())))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            found.append("")
    return found[0], found[1]


def write_provenance(record: Record, plan: Plan, store: Store, signer: Signer) -> list[Written]:
    """Sign and write the provenance of every artifact of a build that succeeded, in the store and beside the copies.

    record: as it will be written. Broken when a file cannot be written.
    """
    written = [
        Written(made.name, seal(s.encode(statement), signer), made.path and made.path + SUFFIX)
        for made, statement in statements(record, plan, store, signer.id)
    ]
    copies = {made.path for made in record.artifacts}
    for item in written:
        if item.copy and item.copy in copies:
            raise Rejected(f"{item.copy} is an artifact's name and that of another's provenance", hint="rename one")
    folder = store.path("builds", record.id, "provenance")
    try:
        if written:
            os.makedirs(folder, 0o700, exist_ok=True)
        for item in written:
            _write(stored_at(store, record.id, item.artifact), item.envelope)
            if item.copy:
                _write(item.copy, item.envelope)
    except OSError as error:
        raise Broken(
            f"the provenance cannot be written: {error.filename or folder}: {error.strerror}",
            hint="is the disk full, or the folder gone?",
        ) from error
    return written


def statements(record: Record, plan: Plan, store: Store, key: str) -> Iterator[tuple[ArtifactInfo, s.Statement]]:
    """The statements of a record's artifacts; key: the id of the key that will sign them."""
    inputs = materials(record, plan, Results(store, ""))
    predicate = s.Provenance(
        buildDefinition=s.Definition(
            buildType=s.BUILD_TYPE,
            externalParameters=s.External(
                specification=s.Specification(file_name(record.spec), plan.specification),
                parameters=record.parameters,
                matrix=record.matrix,
                asked=record.asked,
            ),
            internalParameters=_internal(record, plan),
            resolvedDependencies=inputs,
        ),
        runDetails=s.Details(
            builder=s.Builder(s.BUILDER + key, record.tools),
            metadata=s.Metadata(record.id, _moment(record.started), _moment(record.finished)),
            byproducts=tuple(_byproducts(record, plan, store)),
        ),
    )
    for made in record.artifacts:
        beside = tuple(_beside(other) for other in record.artifacts if other is not made)
        details = msgspec.structs.replace(predicate.runDetails, byproducts=(*predicate.runDetails.byproducts, *beside))
        about = msgspec.structs.replace(predicate, runDetails=details)
        yield made, s.Statement(s.STATEMENT, subjects(made), s.PROVENANCE, about)


def _beside(made: ArtifactInfo) -> s.Descriptor:
    """Another artifact of the same build: so each statement tells the whole set."""
    return s.Descriptor(name=f"{made.name}.tar", digest={"sha256": made.digest}, annotations={"role": "artifact"})


def subjects(made: ArtifactInfo) -> tuple[s.Descriptor, ...]:
    """The archive, and the copy of it when there is one that is not the archive itself."""
    archive = s.Descriptor(name=f"{made.name}.tar", digest={"sha256": made.digest})
    if not made.copy or made.copy == archive.digest:
        return (archive,)
    return (archive, s.Descriptor(name=file_name(made.path), digest=made.copy))


def hand_out(store: Store, build: str, made: ArtifactInfo, ring: Keyring) -> str:
    """Write an artifact's provenance beside a copy that was made of it later; its path, "" when the build left none.

    When the copy's digests are not yet among the subjects they are added, and it is signed anew by the key that had
    signed it, if that is one of ours. Refuted when it is not as it was signed.
    """
    path = made.path + SUFFIX
    try:
        with open(stored_at(store, build, made.name), "rb") as file:
            envelope = file.read()
    except FileNotFoundError:
        return ""
    signer = ring.signer_with(peek(envelope)[1])
    if signer is not None:
        old = s.decode(unseal(envelope, by_id([signer.key])).payload)
        merged = (*old.subject, *(item for item in subjects(made) if item not in old.subject))
        if merged != old.subject:
            envelope = seal(s.encode(msgspec.structs.replace(old, subject=merged)), signer)
    try:
        _write(path, envelope)
    except OSError as error:
        raise Broken(f"{path} cannot be written: {error.strerror}") from error
    return path


def keys_digest(plan: Plan) -> str:
    """Of the keys of a plan's steps: the same wherever the plan is made, and only of what would make the same."""
    return digest.of_value([action.key for action in plan.actions])


def _internal(record: Record, plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "arch": record.arch,
        "degraded": record.degraded,
        "environment": FIXED,
        "epoch": record.epoch,
        "epochOrigin": _FOLDERS.sub("", record.epoch_origin),
        "host": record.host,
        "isolation": record.tier,
        "keys": keys_digest(plan),
        "limits": record.limits,
        "memory": record.memory,
        "plan": record.plan,
        "secrets": sorted({name for step in record.steps for name in step.secrets}),
        "skipped": [name for name, _why in plan.skipped],
    }
    if record.tainted:
        found["tainted"] = record.tainted
    return found


def _byproducts(record: Record, plan: Plan, store: Store) -> Iterator[s.Descriptor]:
    folder = Records(store).folder(record.id)
    fetches = [msgspec.to_builtins(fetch) for step in record.steps for fetch in step.fetches]
    refused = sum(fetch["verdict"] != "allowed" for fetch in fetches)
    yield s.Descriptor(name="record.json", digest={"sha256": record_digest(record)})
    yield s.Descriptor(name="plan.json", digest={"sha256": plan.digest})
    yield s.Descriptor(name="log", digest={"sha256": file_digest(f"{folder}/log")})
    yield s.Descriptor(
        name="ledger",
        digest={"sha256": digest.of_value(fetches)},
        annotations={"requests": len(fetches), "refused": refused},
    )


def _moment(at: float) -> str:
    """RFC 3339, in UTC; what no calendar has is the epoch."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00Z"


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)
