"""The signed verdict of a rebuild: public schemas accept it, and it counts only when everything was the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_store import add, record
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as PublicStatement
from proof_kit import BUILD, built, ring, signer, tree, with_copies

from contractor.build.export.exporting import export_artifacts
from contractor.cli.commands import provenance
from contractor.core import digest
from contractor.core.errors import Rejected
from contractor.proof.audit import entries, look
from contractor.proof.dsse import unseal
from contractor.proof.errors import Refuted
from contractor.proof.keyring import Keyring
from contractor.proof.keys import by_id
from contractor.proof.verdict import Original, Reproduction, Verdict, decode, original_of, statement, write_verdict
from contractor.proof.verify import match, read_claims
from contractor.proof.witness import Witness
from contractor.store.layout import Store
from contractor.store.records import Records

AGAIN = "20250305-101500-hello-bbbb"
SIGNER = signer()
TRUSTED = by_id([SIGNER.key])
SAME = Reproduction(BUILD, AGAIN, "reproduced", ("hello-tar.zst",), (), ("a later time", "1 CPU"))
OTHER = Reproduction(BUILD, AGAIN, "not-reproducible", (), ("hello-tar.zst",))


@pytest.fixture
def store(tmp_path) -> Store:
    """With both builds; the first one's artifact is in `out`."""
    store = Store(str(tmp_path / "store"))
    made = built(store, tree(tmp_path / "tree"))
    made = with_copies(made, export_artifacts(made.artifacts, store, str(tmp_path / "out"), made.epoch))
    Records(store).write(made)
    add(store, record(AGAIN, asked=("--verify", BUILD)))
    return store


def first(store: Store) -> Original:
    return original_of(Records(store).read(BUILD))


def test_the_public_schemas_accept_it(store) -> None:
    path, sha256 = write_verdict(SAME, first(store), store, SIGNER)
    line = Path(path).read_bytes()
    assert digest.of_bytes(line) == sha256
    text = unseal(line, TRUSTED).payload.decode()
    PublicStatement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement())).validate()
    found = json_format.Parse(json.dumps(json.loads(text)["predicate"]), test_result_pb2.TestResult())
    assert found.result == "PASSED"
    assert list(found.passed_tests) == ["hello-tar.zst"]
    assert found.configuration[0].annotations["varied"]


def test_it_is_about_the_artifacts_of_the_first_build(store, tmp_path) -> None:
    path, _sha256 = write_verdict(SAME, first(store), store, SIGNER)
    claims, _ = read_claims(path, TRUSTED)
    found = match(str(tmp_path / "out" / "hello-tar.zst.tar.zst"), claims)
    assert isinstance(found.claim.statement, Verdict)
    assert found.claim.statement.build == BUILD
    with pytest.raises(Refuted):
        match(str(tmp_path / "out" / "SHA256SUMS"), claims)


def test_other_bytes_are_no_reproduction(store) -> None:
    path, _sha256 = write_verdict(OTHER, first(store), store, SIGNER)
    with pytest.raises(Refuted, match=f"the verdict on {BUILD} is not-reproducible") as caught:
        read_claims(path, TRUSTED)
    assert caught.value.details == ("other bytes: hello-tar.zst",)


def test_a_second_build_that_failed_is_no_reproduction(store) -> None:
    path, _sha256 = write_verdict(Reproduction(BUILD, AGAIN, "failed"), first(store), store, SIGNER)
    with pytest.raises(Refuted, match="is failed"):
        read_claims(path, TRUSTED)


@pytest.mark.parametrize("part", ["configuration", "result"])
def test_what_is_signed_must_make_sense(store, part) -> None:
    value = json.loads(digest.canonical(statement(SAME, first(store))))
    value["predicate"][part] = []
    with pytest.raises(Rejected, match="signed, but not"):
        decode(json.dumps(value).encode())
    value = json.loads(digest.canonical(statement(SAME, first(store))))
    value["subject"] = []
    with pytest.raises(Rejected, match="names no artifact"):
        decode(json.dumps(value).encode())


def test_it_is_in_the_journal(store, tmp_path) -> None:
    keys, heads = ring(tmp_path / "config"), str(tmp_path / "heads")
    path = Witness(store, keys, heads).verdict(SAME, first(store))
    [entry] = [entry for entry in entries(look(store, heads).data) if entry.kind == "verdict"]
    assert entry.body["outcome"] == "reproduced"
    assert entry.body["sha256"] == digest.of_bytes(Path(path).read_bytes())


def test_it_is_shown_and_verified(store, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    keys = Keyring(str(tmp_path / ".config" / "contractor"))
    path, _sha256 = write_verdict(SAME, first(store), store, keys.signer())
    artifact = str(tmp_path / "out" / "hello-tar.zst.tar.zst")
    assert provenance.run(["verify", path, artifact]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"verified: {artifact} (its sha256)"
    assert lines[3].split() == ["built", "again", f"{AGAIN},", "reproduced"]
    assert provenance.run(["verify", path, artifact, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"][0]["about"] == "a rebuild"
    write_verdict(OTHER, first(store), store, keys.signer())
    assert provenance.run(["show", path, "--materials"]) == 0
    assert "DIFFERENT" in capsys.readouterr().out
