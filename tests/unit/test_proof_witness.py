"""What a build leaves in the journal and beside its record, and what becomes of it when it cannot."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from cli_store import step
from proof_kit import BUILD, built, plan, tree

from contractor.core.errors import Broken, Rejected
from contractor.core.events import Notice, ShellFinished, ShellStarted
from contractor.plan.model import Plan
from contractor.proof.audit import entries, judge, look
from contractor.proof.journal import Journal
from contractor.proof.keyring import Keyring
from contractor.proof.provenance import stored_at
from contractor.proof.witness import Witness
from contractor.store.layout import Store
from contractor.store.records import Record, Records


class Kit:
    def __init__(self, folder: Path) -> None:
        self.store = Store(str(folder / "store"))
        self.ring = Keyring(str(folder / "config"))
        self.heads = str(folder / "heads")
        self.record = built(self.store, tree(folder / "tree"))

    def witness(self) -> Witness:
        return Witness(self.store, self.ring, self.heads)

    def bodies(self, kind: str) -> list[dict]:
        return [entry.body for entry in entries(look(self.store, self.heads).data) if entry.kind == kind]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in entries(look(self.store, self.heads).data)]

    def finish(self, witness: Witness, record: Record) -> Record:
        return witness.finished(record, plan(), Records(self.store).write)

    def findings(self) -> list[str]:
        return [item.text for item in judge(self.store, self.heads, self.ring.trusted()).findings]


@pytest.fixture
def kit(tmp_path) -> Kit:
    return Kit(tmp_path)


def networked(**more: object) -> Plan:
    """A plan whose second step may reach a host, and reads a secret."""
    first, second, *rest = plan().actions
    asking = msgspec.structs.replace(second.step, secrets=("TOKEN",))
    return plan(actions=(first, msgspec.structs.replace(second, step=asking, hosts=("example.org",)), *rest), **more)


def test_a_build_that_succeeds(kit: Kit) -> None:
    witness = kit.witness()
    assert "made the key" in witness.started(kit.record, plan())
    assert witness.started(kit.record, plan()) == ""
    done = kit.finish(witness, kit.record)
    assert done == kit.record == Records(kit.store).read(BUILD)
    [body] = kit.bodies("build-finished")
    data = Path(Records(kit.store).folder(BUILD), "record.json").read_bytes()
    assert body["record"] == hashlib.sha256(data).hexdigest()
    name = kit.record.artifacts[0].name
    assert body["artifacts"] == {name: kit.record.artifacts[0].digest}
    envelope = Path(stored_at(kit.store, BUILD, name)).read_bytes()
    assert body["provenance"] == {name: hashlib.sha256(envelope).hexdigest()}
    assert kit.findings() == []


def test_what_a_build_was_given_is_noted(kit: Kit) -> None:
    record = msgspec.structs.replace(
        kit.record, degraded=True, tier="one-id", asked=("--from", "3"), parent="20250304-101500-outer-0000"
    )
    kit.witness().started(record, networked())
    assert kit.kinds() == ["opened", "build-started", "grant", "secrets", "override"]
    [started] = kit.bodies("build-started")
    assert started["build"] == BUILD
    assert (started["asked"], started["parent"]) == (["--from", "3"], "20250304-101500-outer-0000")
    assert started["user"] == os.getuid()
    assert kit.bodies("grant") == [{"build": BUILD, "network": {"library": ["example.org"]}}]
    assert kit.bodies("secrets") == [{"build": BUILD, "names": {"library": ["TOKEN"]}}]
    assert kit.bodies("override") == [{"build": BUILD, "what": "degraded isolation", "why": "one-id"}]


def test_shells_are_noted_and_other_events_are_not(kit: Kit) -> None:
    witness = kit.witness()
    witness.event(ShellStarted(at=1.0, build=BUILD, step=2, why="--debug", leave="exit", network="none"))
    witness.event(ShellFinished(at=2.0, build=BUILD, step=2, code=0, changed=3))
    witness.event(Notice(at=3.0, build=BUILD, text="text"))
    assert kit.kinds() == ["opened", "shell-entered", "shell-left"]
    assert kit.bodies("shell-entered") == [{"build": BUILD, "step": 3, "why": "--debug", "network": "none"}]
    assert kit.bodies("shell-left") == [{"build": BUILD, "step": 3, "code": 0, "changed": 3}]


def test_a_tainted_build_is_noted(kit: Kit) -> None:
    kit.finish(kit.witness(), msgspec.structs.replace(kit.record, tainted="a shell"))
    assert kit.bodies("override") == [{"build": BUILD, "what": "tainted", "why": "a shell"}]


def test_a_build_that_fails_has_no_provenance(kit: Kit) -> None:
    failed = msgspec.structs.replace(kit.record, outcome="failed", message="it failed", artifacts=())
    assert kit.finish(kit.witness(), failed) == failed
    assert kit.bodies("build-finished")[0]["provenance"] == {}
    assert not os.path.exists(os.path.dirname(stored_at(kit.store, BUILD, "x")))


def test_a_key_that_others_can_read_stops_a_build_before_it_begins(kit: Kit) -> None:
    os.chmod(f"{kit.ring.keys}/{kit.ring.new('own').name}.pem", 0o644)
    with pytest.raises(Rejected, match="others can read"):
        kit.witness().started(kit.record, plan())


def test_a_build_whose_provenance_cannot_be_written_has_not_succeeded(kit: Kit) -> None:
    gone = msgspec.structs.replace(kit.record.artifacts[0], path="/nonexistent/x", copy={"sha256": "0" * 64})
    done = kit.finish(kit.witness(), msgspec.structs.replace(kit.record, artifacts=(gone,)))
    assert done.outcome == "broken"
    assert "the provenance cannot be written" in done.message
    assert Records(kit.store).read(BUILD).outcome == "broken"
    assert kit.bodies("build-finished")[0]["outcome"] == "broken"
    assert kit.findings() == []


def test_a_build_that_the_journal_does_not_have_has_not_succeeded(kit: Kit, monkeypatch) -> None:
    def full(*_args: object) -> None:
        raise Broken("the audit journal cannot be written: no room")

    monkeypatch.setattr(Journal, "append_all", full)
    done = kit.finish(kit.witness(), kit.record)
    assert (done.outcome, done.message) == ("broken", "the audit journal cannot be written: no room")
    assert Records(kit.store).read(BUILD) == done
    failed = msgspec.structs.replace(kit.record, outcome="failed", message="it failed")
    done = kit.finish(kit.witness(), failed)
    assert (done.outcome, done.message) == ("failed", "it failed")
    assert done.details == ("the audit journal cannot be written: no room",)


# --- records and provenance that are changed later -------------------------------------------------------------------


def _edit(path: str, old: bytes, new: bytes) -> None:
    data = Path(path).read_bytes()
    assert old in data
    Path(path).write_bytes(data.replace(old, new))


def test_a_changed_record_is_found(kit: Kit) -> None:
    kit.finish(kit.witness(), kit.record)
    _edit(f"{Records(kit.store).folder(BUILD)}/record.json", b'"id-range"', b'"root-all"')
    assert kit.findings() == [f"the record of {BUILD} is not what line 2 says"]


@pytest.mark.parametrize("data", [b"", b"{", b'{"id": 1}'])
def test_a_damaged_record_is_found(kit: Kit, data: bytes) -> None:
    kit.finish(kit.witness(), kit.record)
    Path(Records(kit.store).folder(BUILD), "record.json").write_bytes(data)
    assert kit.findings() == [f"the record of {BUILD} is not what line 2 says"]


def test_changed_and_missing_provenance_is_found(kit: Kit) -> None:
    kit.finish(kit.witness(), kit.record)
    name = kit.record.artifacts[0].name
    path = stored_at(kit.store, BUILD, name)
    _edit(path, b"payloadType", b"payloadtype")
    assert kit.findings() == [f"the provenance of the artifact {name} of {BUILD} is not what line 2 says"]
    os.unlink(path)
    assert len(kit.findings()) == 1


def test_a_build_that_was_cleaned_away_is_no_finding(kit: Kit) -> None:
    kit.finish(kit.witness(), kit.record)
    os.rename(Records(kit.store).folder(BUILD), f"{kit.store.root}/trash/x")
    assert kit.findings() == []


def test_a_workspace_that_was_cleaned_away_is_no_finding(kit: Kit) -> None:
    records = Records(kit.store)
    kit.finish(kit.witness(), msgspec.structs.replace(kit.record, kept="/somewhere"))
    assert kit.findings() == []
    records.write(msgspec.structs.replace(records.read(BUILD), kept=""))
    assert kit.findings() == []


def test_names_in_the_journal_never_become_paths(kit: Kit) -> None:
    for build in ("../..", "/etc", "..", "", "a/b", "a\nb"):
        kit.witness().journal.append("build-finished", {"build": build, "record": "x", "provenance": {"../x": "y"}})
    kit.witness().journal.append("build-finished", {"build": BUILD, "record": None, "provenance": {"../x": "y"}})
    assert kit.findings() == [f"the record of {BUILD} is not what line 8 says"]


def test_steps_with_secrets_are_not_the_ones_with_values(kit: Kit) -> None:
    """Only names: there is no way for a value to get here."""
    record = msgspec.structs.replace(kit.record, steps=(step("sign", secrets=("TOKEN",)),))
    kit.finish(kit.witness(), record)
    text = Path(stored_at(kit.store, BUILD, record.artifacts[0].name)).read_bytes()
    assert text
    assert kit.findings() == []
