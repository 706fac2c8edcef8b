"""What a build leaves behind so that it can be proven: entries in the audit journal, and signed provenance.

The journal comes first: nothing is built that it cannot take. A build counts as succeeded when its provenance is
signed and written; then its record is written, and last the journal's entry about its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from contractor.core.errors import ContractorError, Outcome
from contractor.core.events import AnyEvent, ShellFinished, ShellStarted
from contractor.plan.model import Plan
from contractor.proof.journal import Journal
from contractor.proof.keyring import Keyring
from contractor.store.layout import Store
from contractor.store.records import Record

if TYPE_CHECKING:
    from contractor.proof.provenance import Written
    from contractor.proof.verdict import Original, Reproduction


class Witness:
    """Of one store, for any number of builds. heads: the folder for heads outside of stores, or ""."""

    def __init__(self, store: Store, keyring: Keyring, heads: str) -> None:
        self._store = store
        self._keyring = keyring
        self.journal = Journal(store, keyring, heads)

    def started(self, record: Record, plan: Plan) -> str:
        """A build begins. Returns what its user should know, or "": that a key was made. Raises when it must not."""
        self.journal.append_all(_beginning(record, plan))
        signer = self.journal.signer
        if not signer.made:
            return ""
        signer.made = False
        place = f"{self._keyring.keys}/{signer.key.name}.pem"
        return f"made the key {signer.key.name}, which signs provenance and the audit journal: {place}"

    def event(self, event: AnyEvent) -> None:
        """Something happened in a build; only shells are kept."""
        if isinstance(event, ShellStarted):
            body = {"build": event.build, "step": event.step + 1, "why": event.why, "network": event.network}
            self.journal.append("shell-entered", body)
        elif isinstance(event, ShellFinished):
            body = {"build": event.build, "step": event.step + 1, "code": event.code, "changed": event.changed}
            self.journal.append("shell-left", body)

    def finished(self, record: Record, plan: Plan, write: Callable[[Record], None]) -> Record:
        """A build has ended: sign its provenance, write its record (by `write`), and note it. Returns the record.

        What goes wrong with that is the build's outcome, if it had succeeded.
        """
        written: list[Written] = []
        if record.outcome == Outcome.SUCCEEDED:
            from contractor.proof.provenance import write_provenance

            try:
                written = write_provenance(record, plan, self._store, self.journal.signer)
            except ContractorError as trouble:
                record = _spoilt(record, trouble)
        write(record)
        try:
            self.journal.append_all(_end(record, written))
        except ContractorError as trouble:
            record = _spoilt(record, trouble)
            write(record)
        return record

    def verdict(self, found: Reproduction, first: Original) -> str:
        """Sign the verdict of a rebuild of the first build, and note it; returns the file's path."""
        from contractor.proof.verdict import write_verdict

        path, sha256 = write_verdict(found, first, self._store, self.journal.signer)
        self.journal.append("verdict", {**msgspec.to_builtins(found), "sha256": sha256})
        return path


def _beginning(record: Record, plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    body: dict[str, Any] = {
        "build": record.id,
        "name": record.name,
        "matrix": record.matrix,
        "plan": record.plan,
        "specification": plan.specification,
        "isolation": record.tier,
        "user": os.getuid(),
    }
    if record.parent:
        body["parent"] = record.parent
    if record.asked:
        body["asked"] = record.asked
    entries = [("build-started", body)]
    hosts = {action.step.name: action.hosts for action in plan.actions if action.hosts}
    secrets = {action.step.name: action.step.secrets for action in plan.actions if action.step.secrets}
    if hosts:
        entries.append(("grant", {"build": record.id, "network": hosts}))
    if secrets:
        entries.append(("secrets", {"build": record.id, "names": secrets}))
    if record.degraded:
        entries.append(("override", {"build": record.id, "what": "degraded isolation", "why": record.tier}))
    return entries


def _end(record: Record, written: list[Written]) -> list[tuple[str, dict[str, Any]]]:
    from contractor.proof.provenance import record_digest

    body = {
        "build": record.id,
        "outcome": record.outcome,
        "record": record_digest(record),
        "artifacts": {made.name: made.digest for made in record.artifacts},
        "provenance": {item.artifact: item.digest for item in written},
    }
    entries: list[tuple[str, dict[str, Any]]] = [("build-finished", body)]
    if record.tainted:
        entries.insert(0, ("override", {"build": record.id, "what": "tainted", "why": record.tainted}))
    return entries


def _spoilt(record: Record, trouble: ContractorError) -> Record:
    """The record of a build whose proof failed: that is its outcome, unless it has a worse one."""
    if trouble.message == record.message:
        return record
    if record.outcome != Outcome.SUCCEEDED:
        return msgspec.structs.replace(record, details=(*record.details, trouble.message, *trouble.details))
    return msgspec.structs.replace(
        record, outcome=trouble.outcome.value, message=trouble.message, details=trouble.details, hint=trouble.hint
    )
