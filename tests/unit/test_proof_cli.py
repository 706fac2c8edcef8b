"""contractor keys, provenance and audit, as their users see them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from proof_kit import BUILD, built, plan, signer, tree, with_copies

from contractor.build.export.exporting import export_artifacts
from contractor.cli import config
from contractor.cli.commands import artifacts, audit, keys, provenance
from contractor.cli.proving import witness_of
from contractor.core.errors import Broken, ContractorError, Rejected
from contractor.proof.errors import Refuted
from contractor.proof.keyring import Keyring
from contractor.proof.keys import public_text
from contractor.proof.provenance import SUFFIX, stored_at
from contractor.proof.witness import Witness
from contractor.store.layout import Store
from contractor.store.records import Records
from contractor.store.results import artifact_path


class Home:
    """A user's folders; a build with three artifacts, copied to `out`."""

    def __init__(self, folder: Path, monkeypatch, *, build: bool = True) -> None:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "CONTRACTOR_STORE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.chdir(folder)
        self.ring = Keyring(f"{folder}/.config/contractor")
        self.store = Store(f"{folder}/.local/share/contractor")
        self.out = folder / "out"
        if build:
            witness = Witness(self.store, self.ring, f"{folder}/.local/state/contractor/heads")
            made = built(self.store, tree(folder / "tree"), "tar.zst", "tar", "directory")
            self.record = with_copies(made, export_artifacts(made.artifacts, self.store, "out", made.epoch))
            witness.started(self.record, plan())
            witness.finished(self.record, plan(), Records(self.store).write)

    @property
    def journal(self) -> Path:
        return Path(self.store.path("journal", "journal.jsonl"))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    return Home(tmp_path, monkeypatch)


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Home:
    return Home(tmp_path, monkeypatch, build=False)


FILES = ("hello-tar.zst.tar.zst", "hello-tar.tar", "hello-directory")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_there_is_no_key_before_the_first_build(bare, capsys) -> None:
    assert keys.run([]) == 0
    assert "the first build makes one" in capsys.readouterr().err
    with pytest.raises(Rejected, match="there is no key yet"):
        keys.run(["export"])


def test_keys_are_made_chosen_and_listed(bare, capsys) -> None:
    keys.run(["new", "first"])
    keys.run(["new", "second"])
    said = capsys.readouterr()
    assert said.out.startswith(f"made first  {bare.ring.own()[0].id}\n")
    assert "first goes on signing; `contractor keys use second` changes that" in said.err
    keys.run(["use", "second"])
    keys.run(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "second signs from now on"
    assert lines[2].split() == ["first", "own", bare.ring.own()[0].id]
    assert lines[3].split() == ["second", "own,", "signs", bare.ring.own()[1].id]
    keys.run(["list", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(key["name"], key["own"], key["signs"]) for key in found["keys"]] == [
        ("first", True, False),
        ("second", True, True),
    ]


def test_a_key_goes_to_standard_output(bare, capsysbinary) -> None:
    key = bare.ring.new("own")
    keys.run(["export"])
    assert capsysbinary.readouterr().out.decode() == public_text(key)


def test_what_is_exported_can_be_trusted(bare, capsys, tmp_path) -> None:
    other = Keyring(str(tmp_path / "other")).new("release")
    (tmp_path / "release.pub").write_text(public_text(other))
    keys.run(["trust", "release.pub"])
    keys.run(["trust", "release.pub"])
    keys.run(["trust", "release.pub", "--name", "another"])
    assert capsys.readouterr().out.splitlines() == [
        f"trusted:         release  {other.id}",
        f"trusted already: release  {other.id}",
        f"trusted already: another  {other.id}",
    ]
    keys.run(["export", "release", "-o", "again.pub"])
    assert (tmp_path / "again.pub").read_text() == public_text(other)
    with pytest.raises(Rejected, match="cannot be written"):
        keys.run(["export", "release", "-o", "nowhere/again.pub"])
    keys.run(["untrust", "release"])
    assert bare.ring.others() == []


def test_a_file_with_several_keys_has_several_names(bare, tmp_path) -> None:
    text = public_text(signer("a").key) + public_text(signer("b", b"x" * 32).key)
    (tmp_path / "both").write_text(text)
    with pytest.raises(Rejected, match="has 2 keys, --name names one"):
        keys.run(["trust", "both", "--name", "x"])
    keys.run(["trust", "both"])
    assert [key.name for key in bare.ring.others()] == ["a", "b"]
    (tmp_path / "none").write_text("# nothing\n")
    with pytest.raises(Rejected, match="there is no public key in none"):
        keys.run(["trust", "none"])


@pytest.mark.parametrize(
    "argv", [["new"], ["new", "../x"], ["use", "x"], ["untrust", "x"], ["trust", "x"], ["rm", "x"]]
)
def test_bad_requests_are_answered(bare, argv) -> None:
    with pytest.raises(Rejected) as caught:
        keys.run(argv)
    assert caught.value.hint


# --- provenance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_what_lies_beside_is_verified(home, name, capsys) -> None:
    assert provenance.run(["verify", f"out/{name}{SUFFIX}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"verified: out/{name} (its ")
    assert lines[1] == f"  signed by {home.ring.own()[0].name} ({home.ring.own()[0].id})"
    assert any(line.split() == ["parameter", "VERSION", "1.2"] for line in lines)
    assert "  DIRTY              2 files not as in the commit" in lines


def test_artifacts_can_be_named(home, capsys) -> None:
    assert provenance.run(["verify", f"out/{FILES[1]}{SUFFIX}", f"out/{FILES[1]}", f"out/{FILES[0]}"]) == 0
    assert capsys.readouterr().out.count("verified: ") == 2
    with pytest.raises(Refuted):
        provenance.run(["verify", f"out/{FILES[1]}{SUFFIX}", "out/SHA256SUMS"])


def test_a_build_is_verified_in_the_store(home, capsys) -> None:
    assert provenance.run(["verify", "last"]) == 0
    assert capsys.readouterr().out.count("verified: ") == 3
    name, digest = home.record.artifacts[0].name, home.record.artifacts[0].digest
    assert provenance.run(["verify", BUILD, name]) == 0
    assert provenance.run(["verify", stored_at(home.store, BUILD, name), f"sha256:{digest}"]) == 0
    with pytest.raises(Rejected, match="has no artifact x"):
        provenance.run(["verify", BUILD, "x"])
    os.unlink(artifact_path(home.store, digest))
    with pytest.raises(Broken, match="is not in the store"):
        provenance.run(["verify", BUILD])


def test_verified_as_json(home, capsys) -> None:
    provenance.run(["verify", f"out/{FILES[0]}{SUFFIX}", "--json"])
    [found] = json.loads(capsys.readouterr().out)["verified"]
    assert found["artifact"] == f"out/{FILES[0]}"
    assert found["build"] == BUILD
    assert found["subject"]["name"] == FILES[0]


def test_only_the_keys_that_are_given_count(home, tmp_path) -> None:
    (tmp_path / "other.pub").write_text(public_text(signer("other").key))
    with pytest.raises(Rejected, match="signed by a key that is not trusted"):
        provenance.run(["verify", f"out/{FILES[0]}{SUFFIX}", "--trust", "other.pub"])
    (tmp_path / "own.pub").write_text(public_text(home.ring.own()[0]))
    assert provenance.run(["verify", f"out/{FILES[0]}{SUFFIX}", "--trust", "own.pub"]) == 0


def test_nothing_to_compare_is_no_success(home) -> None:
    os.rename(f"out/{FILES[0]}", "elsewhere")
    with pytest.raises(Rejected, match="no artifact to compare") as caught:
        provenance.run(["verify", f"out/{FILES[0]}{SUFFIX}"])
    assert caught.value.hint.endswith(" ARTIFACT")
    assert provenance.run(["verify", f"out/{FILES[0]}{SUFFIX}", "elsewhere"]) == 0


def test_exit_codes_say_whose_turn_it_is(home) -> None:
    codes = {}
    Path("tampered").write_bytes(
        Path(f"out/{FILES[0]}{SUFFIX}").read_bytes().replace(b'"payload":"eyJf', b'"payload":"eyJg')
    )
    for name, argv in {
        "tampered": ["verify", "tampered", f"out/{FILES[0]}"],
        "other artifact": ["verify", f"out/{FILES[0]}{SUFFIX}", "out/SHA256SUMS"],
        "no file": ["verify", "nothing" + SUFFIX],
        "no envelope": ["verify", "out/SHA256SUMS"],
        "no build": ["verify", "nothing"],
    }.items():
        with pytest.raises(ContractorError) as caught:
            provenance.run(argv)
        codes[name] = caught.value.exit_code
    assert codes == {"tampered": 3, "other artifact": 3, "no file": 2, "no envelope": 2, "no build": 2}


def test_show_says_that_it_did_not_verify(home, capsys) -> None:
    assert provenance.run(["show", "last", "--materials"]) == 0
    said = capsys.readouterr()
    assert "not verified" in said.err
    assert said.out.count(SUFFIX) == 3
    assert "pkg:deb/debian/hello@2.10-3%2Bb1?arch=amd64  sha256:" in said.out
    provenance.run(["show", f"out/{FILES[0]}{SUFFIX}", "--json"])
    assert json.loads(capsys.readouterr().out)["predicateType"] == "https://slsa.dev/provenance/v1"


def test_hostile_text_is_made_safe(tmp_path, monkeypatch, capsys) -> None:
    home = Home(tmp_path, monkeypatch, build=False)
    made = built(
        home.store, tree(tmp_path / "tree"), parameters={"X": "\x1b[31mred\x1b]0;title\x07"}, tools={"\x1b[2J": "\x07"}
    )
    Witness(home.store, home.ring, "").finished(made, plan(parameters=made.parameters), Records(home.store).write)
    provenance.run(["verify", "last"])
    provenance.run(["show", "last"])
    assert "\x1b" not in capsys.readouterr().out


def test_artifacts_get_hands_out_provenance(home, capsys) -> None:
    assert artifacts.run(["get", "last", "-o", "later"]) == 0
    assert f"later/{FILES[0]}{SUFFIX}" in capsys.readouterr().out.splitlines()
    for name in FILES:
        assert provenance.run(["verify", f"later/{name}{SUFFIX}"]) == 0


# --- audit -----------------------------------------------------------------------------------------------------------


def test_the_journal_is_shown(home, capsys) -> None:
    assert audit.run(["show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines] == ["opened", "build-started", "build-finished"]
    audit.run(["show", "--kind", "build-finished", "--build", BUILD[:8], "--json"])
    [entry] = capsys.readouterr().out.splitlines()
    assert json.loads(entry)["body"]["outcome"] == "succeeded"
    audit.run(["show", "-n", "1"])
    assert "the newest 1 of 3" in capsys.readouterr().err


def test_a_whole_journal_is_verified(home, capsys) -> None:
    assert audit.run(["verify"]) == 0
    assert capsys.readouterr().out.startswith("whole: 3 entries from ")
    assert audit.run(["verify", "--every", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] is True


def test_a_changed_journal_is_refuted_with_the_place(home, capsys) -> None:
    home.journal.write_bytes(home.journal.read_bytes().replace(b'"outcome":"succeeded"', b'"outcome":"failed"'))
    with pytest.raises(Refuted, match="not as it was written") as caught:
        audit.run(["verify"])
    assert caught.value.exit_code == 3
    assert any("line 3" in line for line in caught.value.details)
    assert audit.run(["verify", "--json"]) == 3


def test_an_exported_journal_is_verified_elsewhere(home, capsysbinary, tmp_path) -> None:
    audit.run(["export"])
    (tmp_path / "journal").write_bytes(capsysbinary.readouterr().out)
    audit.run(["export", "--head", "-o", "head"])
    (tmp_path / "own.pub").write_text(public_text(home.ring.own()[0]))
    assert audit.run(["verify", "journal", "--head", "head", "--trust", "own.pub"]) == 0
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(b"".join(lines[:-1]))
    assert audit.run(["verify", "journal", "--trust", "own.pub"]) == 0
    (tmp_path / "journal").write_bytes(b"".join(lines[:-2]))
    with pytest.raises(Refuted) as caught:
        audit.run(["verify", "journal", "--head", "head", "--trust", "own.pub"])
    assert "missing at the end: the head in head has" in caught.value.details[0]


@pytest.mark.parametrize("text", ["", "hello\n", "{}\n"])
def test_what_is_no_head_is_refused(home, text) -> None:
    Path("head").write_text(text)
    with pytest.raises(Rejected, match="is not the head of an audit journal"):
        audit.run(["verify", "--head", "head"])


def test_findings_can_be_accepted(home, capsys) -> None:
    home.journal.write_bytes(home.journal.read_bytes().replace(b'"outcome":"succeeded"', b'"outcome":"failed"'))
    with pytest.raises(Refuted):
        audit.run(["verify"])
    audit.run(["accept", "--reason", "a test \x1b[31m"])
    assert "accepted: " in capsys.readouterr().out
    assert audit.run(["verify"]) == 0
    said = capsys.readouterr()
    assert "known: " in said.err
    assert "\x1b" not in said.err + said.out


def test_without_a_journal_there_is_nothing_to_judge(bare) -> None:
    for argv in (["verify"], ["show"], ["export"], ["accept", "--reason", "x"]):
        with pytest.raises(Rejected, match="has no audit journal yet"):
            audit.run(argv)
    with pytest.raises(Rejected, match="cannot be read"):
        audit.run(["verify", "nothing"])


# --- a user without a home -------------------------------------------------------------------------------------------


def test_without_a_home_the_keys_are_in_the_store(tmp_path, monkeypatch, capsys) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    store = Store(str(tmp_path / "store"))
    monkeypatch.setenv("CONTRACTOR_STORE", store.root)
    made = built(store, tree(tmp_path / "tree"))
    witness = witness_of(store, config.load())
    witness.started(made, plan())
    witness.finished(made, plan(), Records(store).write)
    assert provenance.run(["verify", "last"]) == 0
    assert audit.run(["verify"]) == 0
    keys.run([])
    assert capsys.readouterr().out.count("own, signs") == 1
    assert os.listdir(store.path("config")) == ["keys"]
    monkeypatch.delenv("CONTRACTOR_STORE")
    assert provenance.run(["verify", "last", "--store", store.root]) == 0
    assert audit.run(["verify", "--store", store.root]) == 0
