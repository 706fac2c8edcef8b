"""Keys that count until a day: what they signed before goes on holding for ever, what they sign later never does."""

from __future__ import annotations

import calendar
import os
import time
from pathlib import Path

import msgspec
import pytest
from cli_store import add, record
from proof_kit import BUILD, built, plan, ring, tree, with_copies

from contractor.build.export.exporting import export_artifacts
from contractor.cli.commands import keys as keys_command
from contractor.cli.commands import provenance
from contractor.core.errors import Rejected
from contractor.proof import provenance as proof
from contractor.proof.audit import judge
from contractor.proof.errors import Refuted
from contractor.proof.journal import Journal
from contractor.proof.keyring import Keyring
from contractor.proof.keys import PublicKey, by_id, parse, public_text
from contractor.proof.provenance import write_provenance
from contractor.proof.verdict import Reproduction, original_of, write_verdict
from contractor.proof.verify import read_claims
from contractor.store.layout import Store
from contractor.store.records import Records

AGAIN = "20250305-101500-hello-bbbb"
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def signed(store: Store, tmp_path: Path, keys: Keyring, finished: float) -> str:
    """The path of provenance of a build that ended then."""
    made = built(store, tree(tmp_path / f"tree-{finished}"), finished=finished)
    made = with_copies(made, export_artifacts(made.artifacts, store, str(tmp_path / f"out-{finished}"), made.epoch))
    (first, *_rest) = write_provenance(made, plan(), store, keys.signer())
    return first.copy


@pytest.mark.parametrize(
    ("finished", "until", "holds"),
    [
        ("2026-03-01", "2026-03-01", True),
        ("2026-03-02", "2026-03-01", False),
        ("2026-03-02", "", True),
        ("1969-12-31", "1970-01-01", True),  # a clock before the epoch
        ("9999-12-31", "2026-03-01", False),
    ],
)
def test_only_the_day_of_the_signature_decides(store, tmp_path, finished, until, holds) -> None:
    keys = ring(tmp_path / "keys")
    path = signed(store, tmp_path, keys, float(calendar.timegm(time.strptime(finished, "%Y-%m-%d"))))
    trusted = by_id([msgspec.structs.replace(keys.signer().key, until=until)])
    if holds:
        assert read_claims(path, trusted)[0]
    else:
        with pytest.raises(Refuted, match=f"on {finished}, and that key was valid until {until}"):
            read_claims(path, trusted)


@pytest.mark.parametrize("finished", [-5e9, 5e11, float("1e300")])
def test_no_clock_breaks_it(store, tmp_path, finished) -> None:
    """A build before the epoch, in the year 17814, and at no time that there is."""
    keys = ring(tmp_path / "keys")
    path = signed(store, tmp_path, keys, finished)
    key = keys.signer().key
    assert read_claims(path, by_id([key]))[0]
    if finished > 0:  # a year of five digits is no day that a key counts on
        later = by_id([msgspec.structs.replace(key, until="2030-01-01")])
        if proof._moment(finished).startswith("1970"):
            assert read_claims(path, later)[0]
        else:
            with pytest.raises(Refuted):
                read_claims(path, later)


def test_checking_is_the_same_in_any_year(store, tmp_path, monkeypatch) -> None:
    keys = ring(tmp_path / "keys")
    path = signed(store, tmp_path, keys, 1_772_323_200.0)
    trusted = by_id([msgspec.structs.replace(keys.signer().key, until="2026-12-31")])
    for moment in (-1e9, 0.0, 4e9, 2e11):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert read_claims(path, trusted)[0]


def test_a_verdict_says_when_and_an_old_one_that_does_not_counts_for_no_such_key(store, tmp_path) -> None:
    made = built(store, tree(tmp_path / "tree"))
    Records(store).write(made)
    add(store, record(AGAIN))
    keys = ring(tmp_path / "keys")
    key = msgspec.structs.replace(keys.signer().key, until="2026-03-01")
    for finished, holds in (("2026-03-01T23:59:59Z", True), ("2026-03-02T00:00:00Z", False), ("", False)):
        about = Reproduction(BUILD, AGAIN, "reproduced", ("hello",), finished=finished)
        path, _sha256 = write_verdict(about, original_of(made), store, keys.signer())
        if holds:
            assert read_claims(path, by_id([key]))[0]
        else:
            with pytest.raises(Refuted, match="was valid until 2026-03-01"):
                read_claims(path, by_id([key]))


def test_an_own_key_signs_no_more_after_its_day(tmp_path) -> None:
    keys = ring(tmp_path / "keys")
    name = keys.default()
    assert keys.until(name, "9999-12-31").until == "9999-12-31"
    assert keys.signer().key.name == name
    keys.until(name, "2020-01-01")
    with pytest.raises(Rejected, match="was valid until 2020-01-01") as error:
        keys.signer()
    assert "keys new NAME --use" in error.value.hint
    assert keys.signer_with([keys.own()[0].id]) is None
    assert keys.until(name, "").until == ""
    assert keys.signer().key.name == name


def test_a_rotated_key_goes_on_proving_what_it_signed(store, tmp_path) -> None:
    keys = ring(tmp_path / "keys")
    path = signed(store, tmp_path, keys, 1_772_323_200.0)
    old = keys.default()
    keys.new("next", use=True)
    keys.until(old, "2026-12-31")
    assert keys.signer().key.name == "next"
    assert read_claims(path, keys.trusted())[0]
    keys.until(old, "2026-01-01")  # it was stolen then
    with pytest.raises(Refuted):
        read_claims(path, keys.trusted())


def test_the_journal_shows_what_was_signed_too_late(store, tmp_path) -> None:
    keys = ring(tmp_path / "keys")
    moments = iter(
        [1_771_000_000.0, 1_772_000_000.0, 1_772_323_200.0, 1_772_323_200.0 + 9 * DAY, 1_772_323_200.0 + 10 * DAY]
    )
    journal = Journal(store, keys, "", clock=lambda: next(moments))
    for number in range(4):
        journal.append("note", {"number": number})
    assert judge(store, "", keys.trusted()).whole
    key = msgspec.structs.replace(keys.signer().key, until="2026-03-01")
    report = judge(store, "", by_id([key]))
    assert [finding.text for finding in report.findings] == [
        f"line 4 is signed by {key.name}, which was valid until 2026-03-01"
    ]


def test_a_trust_file_has_the_day(tmp_path) -> None:
    key = PublicKey("release-2026", bytes(range(32)), "2026-12-31")
    assert "\nvalid-until: 2026-12-31\n" in public_text(key)
    assert parse(public_text(key) + public_text(PublicKey("b", bytes(32))), "x") == [key, PublicKey("b", bytes(32))]


@pytest.mark.parametrize(
    "day", ["", "tomorrow", "2026-13-01", "2026-00-10", "2026-1-1", "20261231", "2026-12-31 ", "\x1b"]
)
def test_what_is_no_day_is_refused(tmp_path, day) -> None:
    text = public_text(PublicKey("a", bytes(32), "2026-12-31")).replace("2026-12-31", day)
    if day.strip() == "2026-12-31":
        assert parse(text, "trust")[0].until == "2026-12-31"
        return
    with pytest.raises(Rejected, match=r"trust:2: .* is not a day"):
        parse(text, "trust")


def test_by_command(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    other = tmp_path / "other.pub"
    other.write_text(public_text(PublicKey("bob", bytes(range(32)))))
    keys_command.run(["new", "ada"])
    keys_command.run(["trust", str(other)])
    capsys.readouterr()
    keys_command.run(["until", "ada", "2099-01-01"])
    keys_command.run(["until", "bob", "2030-06-30"])
    assert capsys.readouterr().out.splitlines()[1].startswith("bob counts until 2030-06-30  ")
    keys_command.run(["list"])
    shown = capsys.readouterr().out
    assert "own, signs, until 2099-01-01" in shown
    assert "trusted, until 2030-06-30" in shown
    assert "valid-until: 2030-06-30" in (tmp_path / "config" / "contractor" / "trusted-keys").read_text()
    keys_command.run(["until", "bob", "always"])
    assert "bob counts always" in capsys.readouterr().out
    for argv in (["until", "ada", "soon"], ["until", "nobody", "2030-01-01"], ["until", "ada"]):
        with pytest.raises(Rejected):
            keys_command.run(argv)


def test_copies_of_what_such_a_key_signed_are_still_handed_out(store, tmp_path) -> None:
    keys = ring(tmp_path / "keys")
    made = built(store, tree(tmp_path / "tree"), finished=1_600_000_000.0)
    write_provenance(made, plan(), store, keys.signer())
    keys.until(keys.default(), "2020-12-31")
    copy = with_copies(made, export_artifacts(made.artifacts, store, str(tmp_path / "out"), made.epoch)).artifacts[0]
    path = proof.hand_out(store, made.id, copy, keys)
    assert os.path.exists(path)
    assert read_claims(path, keys.trusted())[0]
    assert provenance.SUFFIX in path
