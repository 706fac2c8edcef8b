"""Is this what was built, by somebody whom we trust? Provenance against artifacts, with nothing but local files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from contractor.core.errors import ContractorError, Rejected
from contractor.proof import statement as s
from contractor.proof.dsse import LARGEST, unseal
from contractor.proof.errors import Refuted
from contractor.proof.keys import Keys, PublicKey
from contractor.proof.tree import archive_digest, file_digest, folder_digests
from contractor.proof.verdict import Verdict
from contractor.proof.verdict import decode as decode_verdict


class Claim(NamedTuple):
    """A statement, of a build or of a rebuild, and the trusted keys that signed it."""

    statement: s.Statement | Verdict
    keys: tuple[PublicKey, ...]


class Match(NamedTuple):
    """An artifact that a claim is about. how: what was compared, in words."""

    path: str
    claim: Claim
    subject: s.Descriptor
    how: str


def read_claims(path: str, trusted: Keys, *, allow_tainted: bool = False) -> tuple[list[Claim], list[ContractorError]]:
    """What trusted keys claim in a file of envelopes, one a line; and what was wrong with the other lines.

    Lines that others signed, or that are about something else, do not count, as in-toto's bundles want it. Without
    any claim the reason is raised: Refuted when a signature, or what it stands for, does not hold, else Rejected.
    """
    claims, troubles = [], []
    for number, line in enumerate(_lines(path), 1):
        try:
            claims.append(claim_of(line, trusted, allow_tainted=allow_tainted))
        except ContractorError as error:
            where = f"{path}:{number}" if number > 1 else path
            troubles.append(type(error)(f"{where}: {error.message}", details=error.details, hint=error.hint))
    if not claims:
        raise next((error for error in troubles if isinstance(error, Refuted)), troubles[0])
    return claims, list(troubles)


def claim_of(line: bytes, trusted: Keys, *, allow_tainted: bool = False) -> Claim:
    """One envelope: signed by a trusted key, a statement of ours, by the builder that signed it, of an honest build.

    Or the verdict of a rebuild, which must have given the same bytes.
    """
    opened = unseal(line, trusted)
    if s.kind_of(opened.payload) == s.TEST_RESULT:
        verdict = _passed(decode_verdict(opened.payload))
        return Claim(verdict, _in_time(verdict, opened.keys))
    statement = s.decode(opened.payload)
    keys = _in_time(statement, opened.keys)
    s.require_builder(statement, tuple(key.id for key in keys))
    if statement.tainted and not allow_tainted:
        raise Refuted(
            f"the build {statement.build} is tainted: {statement.tainted}",
            details=("what was built is not what its plan alone would give",),
            hint="--allow-tainted if you want it all the same",
        )
    return Claim(statement, keys)


def _in_time(statement: s.Statement | Verdict, keys: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
    """The keys that were valid when it was signed: today's date decides nothing, so old proof goes on holding.

    The time is what the signer says; a key that was stolen is no longer trusted at all, or has a last day before that.
    """
    found = tuple(key for key in keys if key.counts_at(statement.finished))
    if not found:
        key, day = keys[0], statement.finished[:10] or "a day that it does not name"
        raise Refuted(
            f"signed by {key.name} on {day}, and that key was valid until {key.until}",
            details=(key.id,),
            hint="ask who signed it for a signature by another key",
        )
    return found


def _passed(verdict: Verdict) -> Verdict:
    if verdict.predicate.result != "PASSED":
        other = ", ".join(verdict.predicate.failedTests)
        raise Refuted(
            f"the verdict on {verdict.build} is {verdict.about.get('outcome', '?')}",
            details=(f"other bytes: {other}",) if other else (),
        )
    return verdict


def match(path: str, claims: Sequence[Claim]) -> Match:
    """The claim that a file or folder is what a subject says. Refuted when there is none."""
    try:
        digests = folder_digests(path) if os.path.isdir(path) else {"sha256": file_digest(path)}
        inner = None if os.path.isdir(path) or _found(digests, claims) else archive_digest(path)
    except FileNotFoundError as error:
        raise Rejected(f"there is no artifact {path}") from error
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    except Rejected as error:
        raise Refuted(f"{path} is not what the provenance is about: {error.message}") from error
    for found, how in ((digests, _HOW[len(digests) == 1]), ({"sha256": inner or ""}, "the archive in it")):
        if (hit := _found(found, claims)) is not None:
            return Match(path, *hit, how)
    raise Refuted(
        f"{path} is not what the provenance is about",
        details=(*(f"it has {name} {value}" for name, value in digests.items()), *_said(claims)),
        hint="take the provenance that came with it, or build again",
    )


def match_digest(digest: str, claims: Sequence[Claim]) -> Match:
    """The claim about an archive by its sha256. Refuted when there is none."""
    hit = _found({"sha256": digest}, claims)
    if hit is None:
        raise Refuted(f"the provenance is not about {digest}", details=tuple(_said(claims)))
    return Match(digest, *hit, "the digest of its archive")


_HOW = {True: "its sha256", False: "its files, links and modes"}


def _found(digests: dict[str, str], claims: Sequence[Claim]) -> tuple[Claim, s.Descriptor] | None:
    """The first subject all of whose digests are these; one that has other algorithms as well is not compared by them.

    A folder without a dirHash, or with more algorithms than we know, must at least agree in its gitTree.
    """
    strong = "sha256" if "sha256" in digests else "gitTree"
    for claim in claims:
        for subject in claim.statement.subject:
            same = all(subject.digest.get(name, value) == value for name, value in digests.items())
            if same and subject.digest.get(strong) == digests[strong]:
                return claim, subject
    return None


def _said(claims: Sequence[Claim]) -> list[str]:
    return [
        f"it says {subject.name}: {name} {value}"
        for claim in claims
        for subject in claim.statement.subject
        for name, value in subject.digest.items()
    ]


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise Rejected(f"there is no file {path}", hint="`contractor build -o DIR` writes one per artifact") from error
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise Rejected(f"{path} is larger than provenance can be ({LARGEST} bytes)")
    lines = [line for line in data.split(b"\n") if line.strip()]
    if not lines:
        raise Rejected(f"{path} is empty")
    return lines
