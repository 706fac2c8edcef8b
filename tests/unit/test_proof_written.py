"""Record and plan are what was written, whatever fields a later Contractor knows: old proof goes on holding."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from proof_kit import BUILD, built, plan, tree

from contractor.build.verify.invocation import record_of
from contractor.plan.model import encode
from contractor.proof.audit import judge
from contractor.proof.errors import Refuted
from contractor.proof.keyring import Keyring
from contractor.proof.provenance import stored_at, written_digests
from contractor.proof.verify import read_claims
from contractor.proof.witness import Witness
from contractor.store import records
from contractor.store.layout import Store
from contractor.store.records import Records


class Other:
    """A store with a build by an earlier Contractor, whose records and plans had fewer fields than ours."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.ring = Store(str(folder / "store")), Keyring(str(folder / "config"))
        self.heads = str(folder / "heads")
        self.folder = Path(Records(self.store).folder(BUILD))
        data = _other(encode(plan()), "diagnostics")
        made = built(self.store, tree(folder / "tree"))
        self.place = Path(self.store.path("work", BUILD, "place", "ws"))
        made = msgspec.structs.replace(made, plan=_sha256(data), kept=str(self.place))
        with monkeypatch.context() as then:
            for module in ("contractor.proof.provenance", "contractor.store.records"):
                then.setattr(f"{module}.encode", lambda record: _formatted(_other(_compact(record), "message")))
            then.setattr("contractor.plan.model.encode", lambda _plan: data)
            witness = Witness(self.store, self.ring, self.heads)
            witness.started(made, plan())
            witness.finished(made, plan(), Records(self.store).write)
        (self.folder / "plan.json").write_bytes(data)

    def record(self) -> object:
        path = stored_at(self.store, BUILD, "hello-tar.zst")
        return record_of(read_claims(path, self.ring.trusted())[0], path, self.store)


def _compact(value: object) -> bytes:
    return msgspec.json.encode(value)


def _formatted(data: bytes) -> bytes:
    return msgspec.json.format(data, indent=1)


def _other(data: bytes, without: str) -> bytes:
    fields = json.loads(data)
    del fields[without]
    return _compact(fields)


def _sha256(data: bytes) -> str:
    from contractor.core.digest import of_bytes

    return of_bytes(data)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Other:
    return Other(tmp_path, monkeypatch)


def test_what_another_contractor_wrote_is_what_it_signed(other: Other) -> None:
    assert b'"message"' not in (other.folder / "record.json").read_bytes()[-300:]
    assert other.record() == Records(other.store).read(BUILD)
    assert judge(other.store, other.heads, other.ring.trusted()).findings == ()


def test_also_when_its_workspace_is_gone(other: Other) -> None:
    before = written_digests(other.store, BUILD)
    Records(other.store).forget_kept(BUILD)
    assert b'"kept": ""' in (other.folder / "record.json").read_bytes()
    assert b'"message"' not in (other.folder / "record.json").read_bytes()[-300:]
    assert written_digests(other.store, BUILD) == before
    assert other.record() == Records(other.store).read(BUILD)


@pytest.mark.parametrize("name", ["record.json", "plan.json"])
@pytest.mark.parametrize(("old", "new"), [('"name":', '"name" :'), ("1700000000", "1700000001")])
def test_every_byte_of_it_counts(other: Other, name: str, old: str, new: str) -> None:
    path = other.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(Refuted, match="is not the one that"):
        other.record()


def test_what_is_no_record_has_no_digest(other: Other) -> None:
    (other.folder / "record.json").write_bytes(b"{")
    (other.folder / "plan.json").unlink()
    assert written_digests(other.store, BUILD) == ("", "")
    with pytest.raises(msgspec.DecodeError):
        records.without_kept(b"[]")
