"""Whatever byte of what a build left behind is changed, it is found, and nothing crashes on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from cli_store import add, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proof_kit import BUILD, built, plan, tree

from contractor.core.errors import ContractorError
from contractor.plan.model import encode
from contractor.proof.audit import judge
from contractor.proof.journal_check import Report
from contractor.proof.keyring import Keyring
from contractor.proof.keys import Keys, by_id, parse, public_text
from contractor.proof.provenance import stored_at
from contractor.proof.verdict import Reproduction, original_of, verdict_at
from contractor.proof.verify import read_claims
from contractor.proof.witness import Witness
from contractor.store.layout import Store
from contractor.store.records import Records

AGAIN = "20250305-101500-hello-bbbb"


class Left(NamedTuple):
    """files: by name, what a build and its verification have left."""

    store: Store
    heads: str
    keys: Keys
    files: dict[str, Path]

    def judge(self) -> Report:
        return judge(self.store, self.heads, self.keys)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("bytes")
    store, ring = Store(str(folder / "store")), Keyring(str(folder / "config"))
    run = plan()
    made = msgspec.structs.replace(built(store, tree(folder / "tree")), plan=run.digest)
    Path(Records(store).folder(BUILD), "plan.json").write_bytes(encode(run))
    witness = Witness(store, ring, str(folder / "heads"))
    witness.started(made, run)
    made = witness.finished(made, run, Records(store).write)
    add(store, record(AGAIN, asked=("--verify", BUILD)))
    witness.verdict(Reproduction(BUILD, AGAIN, "reproduced", ("hello-tar.zst",)), original_of(made))
    files = {
        "record": Path(Records(store).folder(BUILD), "record.json"),
        "plan": Path(Records(store).folder(BUILD), "plan.json"),
        "provenance": Path(stored_at(store, BUILD, "hello-tar.zst")),
        "verdict": Path(verdict_at(store, AGAIN)),
        "journal": Path(store.path("journal", "journal.jsonl")),
        "head": Path(store.path("journal", "head")),
        "outside": next(Path(folder, "heads").iterdir()),
    }
    return Left(store, str(folder / "heads"), ring.trusted(), files)


NAMES = ("record", "plan", "provenance", "verdict", "journal", "head", "outside")
quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_all_of_it_is_whole(left: Left) -> None:
    assert left.judge().findings == ()
    assert set(left.files) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@quick
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_found_in_every_region(left: Left, name: str, place: float, flip: int) -> None:
    path = left.files[name]
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[int(place * len(whole))] ^= flip
    _found(left, path, whole, bytes(changed), head=name in ("head", "outside"))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(place=st.floats(0, 1, exclude_max=True), length=st.integers(1, 400), put=st.binary(max_size=40))
def test_a_cut_or_other_bytes_are_found(left: Left, name: str, place: float, length: int, put: bytes) -> None:
    path = left.files[name]
    whole = path.read_bytes()
    at = int(place * len(whole))
    changed = whole[:at] + put + whole[at + length :]
    if changed != whole:
        _found(left, path, whole, changed, head=name in ("head", "outside"))


def _found(left: Left, path: Path, whole: bytes, changed: bytes, *, head: bool) -> None:
    """head: without one, or with one that nobody can read outside of the store, that is a note."""
    path.write_bytes(changed)
    try:
        report = left.judge()
        cut_short = path == left.files["journal"] and whole.startswith(changed)  # as by a kill: it can be finished
        assert report.findings or ((head or cut_short) and report.notes)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["provenance", "verdict"])
@quick
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_statement_is_never_believed_otherwise(left: Left, name: str, place: float, flip: int) -> None:
    path = left.files[name]
    whole = path.read_bytes()
    (before,), _troubles = read_claims(str(path), left.keys)
    changed = bytearray(whole)
    changed[int(place * len(whole))] ^= flip
    copy = path.parent / f"copy-{os.getpid()}"
    copy.write_bytes(changed)
    try:
        (after,), _troubles = read_claims(str(copy), left.keys)
    except ContractorError as error:
        assert error.exit_code in (2, 3)
    else:
        assert after == before  # white space at the end, or between the fields of the envelope
    finally:
        copy.unlink()


@quick
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_trust_file_never_makes_another_key_believed(left: Left, place: float, flip: int) -> None:
    """Its text is not signed: whoever may write it may trust whom they want. It is refused, or says what it says."""
    (key,) = left.keys.values()
    changed = bytearray(public_text(key).encode())
    changed[int(place * len(changed))] ^= flip
    try:
        found = by_id(parse(changed.decode("utf-8", "replace"), "trust"))
        read_claims(str(left.files["provenance"]), found)
    except ContractorError as error:
        assert error.exit_code in (2, 3)
    else:
        assert [known.data for known in found.values()] == [key.data]
