"""Provenance: public schemas accept it, it says what went in, and it holds for these artifacts and no others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as PublicStatement
from proof_kit import BUILD, DEB, built, plan, ring, signer, tree, with_copies

from contractor.build.export.exporting import export_artifacts
from contractor.core.errors import Broken, ContractorError, Rejected
from contractor.proof import statement as s
from contractor.proof.dsse import seal, unseal
from contractor.proof.errors import Refuted
from contractor.proof.keys import by_id
from contractor.proof.provenance import SUFFIX, hand_out, record_digest, stored_at, write_provenance
from contractor.proof.verify import claim_of, match, match_digest, read_claims
from contractor.store.layout import Store
from contractor.store.records import Record, Records
from contractor.store.results import artifact_path

SIGNER = signer()
TRUSTED = by_id([SIGNER.key])
FORMS = ("tar.zst", "tar", "directory")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def made(store, tmp_path) -> Record:
    return built(store, tree(tmp_path / "tree"), *FORMS)


def exported(store: Store, made: Record, folder: Path) -> Record:
    """As after `build -o folder`."""
    return with_copies(made, export_artifacts(made.artifacts, store, str(folder), made.epoch))


def statement(line: bytes) -> s.Statement:
    return s.decode(unseal(line, TRUSTED).payload)


def only(written: list) -> s.Statement:
    return statement(written[0].envelope)


# --- the format ------------------------------------------------------------------------------------------------------


def test_the_public_schemas_accept_it(store, made, tmp_path) -> None:
    made = exported(store, made, tmp_path / "out")
    for item in write_provenance(made, plan(), store, SIGNER):
        text = unseal(item.envelope, TRUSTED).payload.decode()
        parsed = json_format.Parse(text, statement_pb2.Statement())
        PublicStatement.copy_from_pb(parsed).validate()
        predicate = json_format.Parse(json.dumps(json.loads(text)["predicate"]), provenance_pb2.Provenance())
        definition, details = predicate.build_definition, predicate.run_details
        for part in (*definition.resolved_dependencies, *details.byproducts):
            ResourceDescriptor.copy_from_pb(part).validate()
        assert definition.build_type == "urn:contractor:build:v1"
        assert details.builder.id == f"urn:contractor:builder:ed25519:{SIGNER.id}"
        assert details.metadata.invocation_id == BUILD
        assert details.metadata.started_on.seconds == 1741083300


def test_it_is_kept_in_the_store_and_beside_the_copies(store, made, tmp_path) -> None:
    made = exported(store, made, tmp_path / "out")
    written = write_provenance(made, plan(), store, SIGNER)
    assert [item.artifact for item in written] == [artifact.name for artifact in made.artifacts]
    for item in written:
        assert Path(stored_at(store, BUILD, item.artifact)).read_bytes() == Path(item.copy).read_bytes()
        assert hashlib.sha256(item.envelope).hexdigest() == item.digest
        assert item.envelope.count(b"\n") == 1
    names = sorted(name for name in os.listdir(tmp_path / "out") if name.endswith(SUFFIX))
    assert names == ["hello-directory" + SUFFIX, "hello-tar.tar" + SUFFIX, "hello-tar.zst.tar.zst" + SUFFIX]


def test_subjects_are_the_archive_and_the_copy(store, made, tmp_path) -> None:
    made = exported(store, made, tmp_path / "out")
    compressed, plain, folder = (
        statement(item.envelope).subject for item in write_provenance(made, plan(), store, SIGNER)
    )
    archive = {"sha256": made.artifacts[0].digest}
    copy = {"sha256": hashlib.sha256((tmp_path / "out" / "hello-tar.zst.tar.zst").read_bytes()).hexdigest()}
    assert [(item.name, item.digest) for item in compressed] == [
        ("hello-tar.zst.tar", archive),
        ("hello-tar.zst.tar.zst", copy),
    ]
    assert [item.digest for item in plain] == [{"sha256": made.artifacts[1].digest}]
    assert [set(item.digest) for item in folder] == [{"sha256"}, {"dirHash", "gitTree"}]
    done = subprocess.run(["sha256sum", tmp_path / "out" / "hello-tar.tar"], capture_output=True, check=True)
    assert done.stdout.split()[0].decode() == plain[0].digest["sha256"]


def test_what_went_in(store, made) -> None:
    found = only(write_provenance(made, plan(), store, SIGNER))
    definition = found.predicate.buildDefinition
    items = definition.resolvedDependencies
    by_uri = {item.uri: item for item in items if item.uri}
    by_role = {item.annotations["role"]: item for item in items if "role" in item.annotations}
    assert definition.externalParameters == s.External(
        s.Specification("contractor.yaml", "a" * 64), {"VERSION": "1.2"}, {}, ()
    )
    assert by_role["specification"].digest == {"sha256": "a" * 64}
    assert by_role["custom action"].digest == {"sha256": "4" * 64}
    commit = by_uri[f"git+https://example.org/hello.git@{'c' * 40}"]
    assert commit.digest == {"gitCommit": "c" * 40}
    assert commit.annotations == {
        "role": "commit",
        "folder": "src",
        "dirty": True,
        "changedFiles": 2,
        "patchSha256": "f" * 64,
    }
    assert by_uri["git+https://example.org/lib.git@v1"].digest == {"gitCommit": "2" * 40}
    assert by_uri["http://example.org/a%20b"].digest == {"sha256": "3" * 64}
    package = by_uri["pkg:deb/debian/hello@2.10-3%2Bb1?arch=amd64"]
    assert (package.digest, package.downloadLocation) == ({"sha256": "d" * 64}, DEB)
    assert by_uri["pkg:deb/debian/libc6@2.36-9?arch=amd64"].digest == {}
    assert by_uri["http://deb.debian.org/debian/dists/bookworm/InRelease"].digest == {"sha256": "e" * 64}
    assert by_uri["https://pypi.example"].annotations == {"role": "tunnel"}
    assert not [uri for uri in by_uri if "evil" in uri]
    assert [item.digest for item in items if item.name == "source"] == [{"gitCommit": "c" * 40}, {"sha256": "1" * 64}]


def test_how_it_was_made(store, made) -> None:
    found = only(write_provenance(made, plan(), store, SIGNER))
    internal = found.internal
    assert internal["epoch"] == 1700000000
    assert internal["epochOrigin"] == "the git commit of src"
    assert internal["isolation"] == "id-range"
    assert internal["degraded"] is False
    assert internal["plan"] == "0" * 64
    assert internal["environment"]["TZ"] == "UTC"
    assert "tainted" not in internal
    assert found.predicate.runDetails.builder.version == {"contractor": "0.1.0"}
    products = {item.name: item for item in found.predicate.runDetails.byproducts}
    assert products["log"].digest == {"sha256": hashlib.sha256(b"some output\n").hexdigest()}
    assert products["ledger"].annotations == {"requests": 4, "refused": 1}
    assert products["plan.json"].digest == {"sha256": plan().digest}


def test_the_record_that_it_names_is_the_one_that_is_written(store, made) -> None:
    found = only(write_provenance(made, plan(), store, SIGNER))
    Records(store).write(made)
    [product] = [item for item in found.predicate.runDetails.byproducts if item.name == "record.json"]
    written = Path(Records(store).folder(BUILD), "record.json").read_bytes()
    assert product.digest == {"sha256": hashlib.sha256(written).hexdigest()}
    kept = msgspec.structs.replace(made, kept="/somewhere")
    assert record_digest(kept) == record_digest(made)


def test_it_says_nothing_of_where_things_are_on_this_host(store, made) -> None:
    for item in write_provenance(made, plan(), store, SIGNER):
        assert b"/home/ada" not in unseal(item.envelope, TRUSTED).payload
        assert store.root.encode() not in unseal(item.envelope, TRUSTED).payload


def test_equal_builds_have_equal_statements(store, made) -> None:
    once = [item.envelope for item in write_provenance(made, plan(), store, SIGNER)]
    assert [item.envelope for item in write_provenance(made, plan(), store, SIGNER)] == once


def test_a_name_that_two_files_want_is_refused(store, made, tmp_path) -> None:
    made = exported(store, made, tmp_path / "out")
    clash = msgspec.structs.replace(made.artifacts[1], path=made.artifacts[0].path + SUFFIX)
    with pytest.raises(Rejected, match="is an artifact's name"):
        write_provenance(with_copies(made, (made.artifacts[0], clash)), plan(), store, SIGNER)


def test_a_folder_that_is_gone_is_told(store, made, tmp_path) -> None:
    gone = msgspec.structs.replace(made.artifacts[0], path=str(tmp_path / "gone" / "x"), copy={"sha256": "0" * 64})
    with pytest.raises(Broken, match="the provenance cannot be written"):
        write_provenance(with_copies(made, (gone,)), plan(), store, SIGNER)


# --- verifying -------------------------------------------------------------------------------------------------------


@pytest.fixture
def out(store, made, tmp_path) -> Path:
    """A folder with copies and provenance."""
    write_provenance(exported(store, made, tmp_path / "out"), plan(), store, SIGNER)
    return tmp_path / "out"


COPIES = ("hello-tar.zst.tar.zst", "hello-tar.tar", "hello-directory")


@pytest.mark.parametrize("name", COPIES)
def test_every_copy_is_verified_with_its_own_provenance(out, name) -> None:
    claims, troubles = read_claims(str(out / (name + SUFFIX)), TRUSTED)
    assert not troubles
    found = match(str(out / name), claims)
    assert found.claim.statement.build == BUILD
    assert found.claim.keys == (SIGNER.key,)
    assert found.how == ("its files, links and modes" if name == "hello-directory" else "its sha256")


def test_an_archive_that_was_compressed_otherwise_is_the_same_archive(out, tmp_path) -> None:
    claims, _ = read_claims(str(out / (COPIES[0] + SUFFIX)), TRUSTED)
    subprocess.run(["zstd", "-q", "-19", out / "hello-tar.tar", "-o", tmp_path / "again.zst"], check=True)
    assert match(str(tmp_path / "again.zst"), claims).how == "the archive in it"
    assert match(str(out / "hello-tar.tar"), claims).how == "its sha256"


def test_another_file_is_refuted_with_all_digests(out) -> None:
    claims, _ = read_claims(str(out / (COPIES[1] + SUFFIX)), TRUSTED)
    with pytest.raises(Refuted, match="is not what the provenance is about") as caught:
        match(str(out / "SHA256SUMS"), claims)
    assert any(line.startswith("it says hello-tar.tar: sha256 ") for line in caught.value.details)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", COPIES[:2])
def test_a_file_is_refuted_whatever_bit_is_changed(out, name) -> None:
    claims, _ = read_claims(str(out / (name + SUFFIX)), TRUSTED)
    path = out / name
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 50)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            found = match(str(path), claims)
        except Refuted:
            continue
        assert found.how == "the archive in it"  # a bit of zstd's own that changes nothing of what is in it
        done = subprocess.run(["zstd", "-dqc", path], capture_output=True, check=False)
        assert hashlib.sha256(done.stdout).hexdigest() == found.subject.digest["sha256"]


def test_a_folder_is_refuted_when_a_link_leads_elsewhere(out) -> None:
    claims, _ = read_claims(str(out / (COPIES[2] + SUFFIX)), TRUSTED)
    (out / COPIES[2] / "link").unlink()
    (out / COPIES[2] / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refuted):
        match(str(out / COPIES[2]), claims)


def test_a_folder_is_not_taken_for_its_dir_hash_alone(out) -> None:
    """dirHash knows neither links nor modes: a subject that has only that one is about something else."""
    claims, _ = read_claims(str(out / (COPIES[2] + SUFFIX)), TRUSTED)
    weak = tuple(
        msgspec.structs.replace(item, digest={k: v for k, v in item.digest.items() if k != "gitTree"})
        for item in claims[0].statement.subject
    )
    with pytest.raises(Refuted):
        match(
            str(out / COPIES[2]),
            [claims[0]._replace(statement=msgspec.structs.replace(claims[0].statement, subject=weak))],
        )


def test_what_is_not_there_cannot_be_judged(out, tmp_path) -> None:
    claims, _ = read_claims(str(out / (COPIES[0] + SUFFIX)), TRUSTED)
    with pytest.raises(Rejected, match="there is no artifact"):
        match(str(tmp_path / "nothing"), claims)
    with pytest.raises(Rejected, match="there is no file"):
        read_claims(str(tmp_path / "nothing"), TRUSTED)
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(Rejected, match="is empty"):
        read_claims(str(tmp_path / "empty"), TRUSTED)


def test_a_digest_in_the_store(store, made, out) -> None:
    claims, _ = read_claims(str(out / (COPIES[0] + SUFFIX)), TRUSTED)
    assert match_digest(made.artifacts[0].digest, claims).claim is claims[0]
    with pytest.raises(Refuted):
        match_digest("0" * 64, claims)


# --- tampering -------------------------------------------------------------------------------------------------------


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 1 << 30), bit=st.integers(0, 7))
def test_no_changed_byte_of_the_file_is_accepted(out, at: int, bit: int) -> None:
    line = (out / (COPIES[0] + SUFFIX)).read_bytes()
    at %= len(line)
    changed = line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :]
    try:
        claim = claim_of(changed, TRUSTED)
    except ContractorError as error:
        assert error.message
    else:
        assert claim == claim_of(line, TRUSTED)


def resigned(line: bytes, change: object, key=SIGNER) -> bytes:
    """As somebody who has a trusted key would: the signature holds, what it is over need not make sense."""
    value = json.loads(unseal(line, TRUSTED).payload)
    change(value)
    return seal(json.dumps(value).encode(), key)


def _set(*path: str | int):
    def change(value) -> None:
        *most, last, new = path
        for part in most:
            value = value[part]
        value[last] = new

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("_type", "https://in-toto.io/Statement/v0.1"), "not an in-toto Statement v1"),
        (_set("predicateType", "https://spdx.dev/Document"), "not SLSA provenance v1"),
        (_set("subject", []), "names no artifact"),
        (_set("subject", 0, "digest", {}), "without a digest"),
        (_set("subject", 0, "digest", {"sha256": "short"}), "without a digest"),
        (_set("predicate", "buildDefinition", "buildType", "https://example.org/x"), "build of another kind"),
        (_set("predicate", "buildDefinition", "externalParameters", "more", 1), "not a statement about a build"),
        (_set("predicate", "runDetails", 3), "not a statement about a build"),
        (_set("predicate", {}), "not a statement about a build"),
    ],
)
def test_what_is_signed_must_make_sense(out, change, reason) -> None:
    line = (out / (COPIES[0] + SUFFIX)).read_bytes()
    with pytest.raises(Rejected, match=reason):
        claim_of(resigned(line, change), TRUSTED)
    with pytest.raises(Rejected, match="not a statement"):
        claim_of(seal(b"[]", SIGNER), TRUSTED)


def test_the_builder_must_be_who_signed(out) -> None:
    line = (out / (COPIES[0] + SUFFIX)).read_bytes()
    other = signer("other", b"x" * 32)
    trusted = by_id([SIGNER.key, other.key])
    with pytest.raises(Refuted, match="the builder that it names did not sign it"):
        claim_of(resigned(line, lambda value: None, other), trusted)
    with pytest.raises(Refuted, match="did not sign it"):
        claim_of(resigned(line, _set("predicate", "runDetails", "builder", "id", SIGNER.id)), TRUSTED)


def test_a_tainted_build_is_refused_unless_asked_for(store, made) -> None:
    spoilt = msgspec.structs.replace(made, tainted="a shell changed 2 files before step 3")
    [first, *_rest] = write_provenance(spoilt, plan(), store, SIGNER)
    with pytest.raises(Refuted, match="is tainted: a shell changed 2 files") as caught:
        claim_of(first.envelope, TRUSTED)
    assert "--allow-tainted" in caught.value.hint
    assert claim_of(first.envelope, TRUSTED, allow_tainted=True).statement.tainted == spoilt.tainted


def test_lines_of_others_do_not_count(out, tmp_path) -> None:
    line = (out / (COPIES[0] + SUFFIX)).read_bytes()
    stranger = resigned(line, lambda value: None, signer("other", b"x" * 32))
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"not json\n" + stranger + line + seal(b'{"other": 1}', SIGNER))
    claims, troubles = read_claims(str(bundle), TRUSTED)
    assert len(claims) == 1
    assert len(troubles) == 3
    bundle.write_bytes(b"not json\n" + stranger)
    with pytest.raises(Rejected, match="not a DSSE envelope"):
        read_claims(str(bundle), TRUSTED)
    broken = line.replace(b'"sig":"', b'"sig":"AAAA')
    bundle.write_bytes(stranger + line[:300] + b"\n" + resigned(line, _set("predicate", "runDetails", 3)) + broken)
    with pytest.raises(ContractorError):
        read_claims(str(bundle), TRUSTED)


# --- copies that are made later --------------------------------------------------------------------------------------


def test_a_copy_that_is_made_later_gets_provenance_of_its_own(store, made, tmp_path) -> None:
    keys = ring(tmp_path / "config")
    write_provenance(made, plan(), store, keys.signer())
    later = exported(store, made, tmp_path / "later")
    for copy in later.artifacts:
        path = hand_out(store, BUILD, copy, keys)
        assert path == copy.path + SUFFIX
        claims, _ = read_claims(path, keys.trusted())
        assert match(copy.path, claims).how != "the archive in it"
        assert len(claims[0].statement.subject) == (1 if copy.format == "tar" else 2)


def test_it_is_signed_by_the_key_that_had_signed(store, made, tmp_path) -> None:
    keys = ring(tmp_path / "config")
    first = keys.signer()
    write_provenance(made, plan(), store, first)
    keys.new("second", use=True)
    copy = exported(store, made, tmp_path / "later").artifacts[0]
    claims, _ = read_claims(hand_out(store, BUILD, copy, keys), keys.trusted())
    assert claims[0].keys == (first.key,)


def test_somebody_elses_provenance_is_copied_as_it_is(store, made, tmp_path) -> None:
    write_provenance(made, plan(), store, SIGNER)
    copy = exported(store, made, tmp_path / "later").artifacts[0]
    path = hand_out(store, BUILD, copy, ring(tmp_path / "config"))
    assert Path(path).read_bytes() == Path(stored_at(store, BUILD, copy.name)).read_bytes()


def test_changed_provenance_is_not_signed_anew(store, made, tmp_path) -> None:
    keys = ring(tmp_path / "config")
    write_provenance(made, plan(), store, keys.signer())
    path = Path(stored_at(store, BUILD, made.artifacts[0].name))
    value = json.loads(path.read_bytes())
    value["payload"] = value["payload"][:-8] + "AAAA" + value["payload"][-4:]
    path.write_text(json.dumps(value))
    copy = exported(store, made, tmp_path / "later").artifacts[0]
    with pytest.raises(ContractorError):
        hand_out(store, BUILD, copy, keys)
    assert not os.path.exists(copy.path + SUFFIX)


def test_a_build_without_provenance_gives_none(store, made, tmp_path) -> None:
    copy = exported(store, made, tmp_path / "later").artifacts[0]
    assert hand_out(store, BUILD, copy, ring(tmp_path / "config")) == ""
    assert os.path.exists(artifact_path(store, copy.digest))
