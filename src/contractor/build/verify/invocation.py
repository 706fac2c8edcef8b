"""From a signed statement to the build that it is about, in this store: is its record the one that was signed for?"""

from __future__ import annotations

from collections.abc import Sequence

from contractor.build.compare.history import plan_of
from contractor.core.errors import Broken, Rejected
from contractor.proof.errors import Refuted
from contractor.proof.provenance import written_digests
from contractor.proof.statement import Descriptor, Statement
from contractor.proof.verdict import Verdict
from contractor.proof.verify import Claim
from contractor.store.layout import Store
from contractor.store.records import Record, Records


def record_of(claims: Sequence[Claim], path: str, store: Store) -> Record:
    """The record of the one build that the claims of a file are about.

    Rejected: its build, or what it needs, is not in this store, or they are about several. Refuted: the record, the
    plan or an artifact is not what was signed for.
    """
    builds = sorted({claim.statement.build for claim in claims})
    if len(builds) > 1:
        raise Rejected(f"{path} is about {len(builds)} builds", details=tuple(builds), hint="name one of them")
    records = Records(store)
    try:
        record = records.read(builds[0]) if builds[0] in records.ids() else None
    except Broken:
        record = None
    if record is None:
        raise Rejected(
            f"{path} is about the build {builds[0]}, whose record is not in this store",
            details=("to build it again here: its specification, its lock, and what it was made of",),
            hint="with the project, or a capsule of it: contractor verify FILE --spec SPEC; or name the store that has "
            "it: --store DIR",
        )
    plan_of(records, record.id)  # Broken when it cannot be read
    written = written_digests(store, record.id)
    for claim in claims:
        for what, said, found in _compared(claim.statement, record, *written):
            if said != found:
                raise Refuted(
                    f"{what} of {record.id} is not the one that {path} speaks of",
                    details=(f"signed: sha256 {said}", f"here:   sha256 {found or 'none'}"),
                    hint="one of the two was changed since, or comes from another store",
                )
    return record


def _compared(
    statement: Statement | Verdict, record: Record, here_record: str, here_plan: str
) -> list[tuple[str, str, str]]:
    """(what, the digest that was signed for, the one that is here)."""
    known = {f"{made.name}.tar": made.digest for made in record.artifacts}
    found = [
        (f"the artifact {subject.name.removesuffix('.tar')}", subject.digest.get("sha256", ""), known[subject.name])
        for subject in statement.subject
        if subject.name in known
    ]
    if isinstance(statement, Verdict):
        named: Sequence[Descriptor] = statement.predicate.configuration
    else:
        named = statement.predicate.runDetails.byproducts
    here = {"record.json": ("the record", here_record), "plan.json": ("the plan", here_plan)}
    return found + [(here[item.name][0], item.digest.get("sha256", ""), here[item.name][1]) for item in named
                    if item.name in here]  # fmt: skip
