"""Provenance of another store's build: what it must say before anything is planned. Real ones: sandbox/test_verify."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_store import add, record
from proof_kit import BUILD, built, plan, signer, tree

from contractor.build.prepare import Request
from contractor.build.verify import elsewhere
from contractor.build.verify.elsewhere import build_of
from contractor.core.errors import Rejected
from contractor.proof.errors import Refuted
from contractor.proof.provenance import keys_digest, statements
from contractor.proof.statement import Statement
from contractor.proof.verdict import Reproduction, original_of
from contractor.proof.verdict import statement as verdict_of
from contractor.proof.verify import Claim
from contractor.store.layout import Store

KEY = signer().key
REQUEST = Request(spec="here/contractor.yaml")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def signed(store: Store, tmp_path: Path) -> list[Statement]:
    made = built(store, tree(tmp_path / "tree"), "tar.zst", "tar")
    return [statement for _made, statement in statements(made, plan(), store, KEY.id)]


def claims(*found: object) -> list[Claim]:
    return [Claim(statement, (KEY,)) for statement in found]  # type: ignore[arg-type]


def test_every_statement_names_all_artifacts(signed: list[Statement]) -> None:
    first, second = signed
    for one, other in ((first, second), (second, first)):
        assert elsewhere._artifacts(one, [one]) == {
            one.subject[0].name.removesuffix(".tar"): one.subject[0].digest["sha256"],
            other.subject[0].name.removesuffix(".tar"): other.subject[0].digest["sha256"],
        }


def test_what_says_too_little_is_refused(store: Store, signed: list[Statement]) -> None:
    first, made = signed[0], add(store, record(BUILD))
    old = msgspec.convert(msgspec.to_builtins(first), Statement)
    del old.internal["keys"]
    other = msgspec.convert(msgspec.to_builtins(first), Statement)
    metadata = msgspec.structs.replace(other.predicate.runDetails.metadata, invocationId="another")
    details = msgspec.structs.replace(other.predicate.runDetails, metadata=metadata)
    other = msgspec.structs.replace(other, predicate=msgspec.structs.replace(other.predicate, runDetails=details))
    verdict = verdict_of(Reproduction(BUILD, "again", "reproduced", ("x",)), original_of(made))
    for given, why in (
        ([old], "does not say which steps were run"),
        ([first, other], "is about 2 builds"),
        ([verdict], "is a verdict"),
    ):
        with pytest.raises(Rejected, match=why):
            build_of(claims(*given), "file", REQUEST, store, None)  # type: ignore[arg-type]


def test_other_steps_are_refuted_with_what_is_other(
    store: Store, signed: list[Statement], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = plan(specification="b" * 64, epoch=5, actions=plan().actions[1:])
    monkeypatch.setattr(elsewhere, "make_plans", lambda *_given: [here])
    with pytest.raises(Refuted, match="is not what file speaks of") as error:
        build_of(claims(signed[0]), "file", REQUEST, store, None)  # type: ignore[arg-type]
    assert error.value.details == (
        f"the specification: signed {'a' * 64}, here {'b' * 64}",
        "the epoch: signed 1700000000, here 5",
    )


def test_the_same_steps_are_taken_and_nothing_is_believed_of_paths(
    store: Store, signed: list[Statement], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []
    same = plan(file="here/contractor.yaml")

    def make_plans(request: Request, *_more: object) -> list[object]:
        asked.append(request)
        return [plan(actions=()), same]

    monkeypatch.setattr(elsewhere, "make_plans", make_plans)
    found = build_of(claims(signed[0]), "file", REQUEST, store, None)  # type: ignore[arg-type]
    assert found.plan is same
    assert keys_digest(same) == signed[0].internal["keys"]
    assert (asked[0].lock, asked[0].offline, dict(asked[0].parameters)) == ("require", True, {"VERSION": "1.2"})
    assert found.record.id == BUILD
    assert {made.name for made in found.record.artifacts} == {"hello-tar.zst", "hello-tar"}
    assert found.original.record
    assert len(found.original.subjects) == 2


def test_a_step_that_fetched_what_the_lock_has_not_is_named(
    store: Store, signed: list[Statement], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, custom = plan().actions[0], plan().actions[3]
    asking = plan(actions=(first, *plan().actions[1:3], msgspec.structs.replace(custom, hosts=("pypi.example",))))
    monkeypatch.setattr(elsewhere, "make_plans", lambda *_given: [asking])
    with pytest.raises(Rejected, match="has not what these steps fetched") as error:
        build_of(claims(signed[0]), "file", REQUEST, store, None)  # type: ignore[arg-type]
    assert error.value.details == ("custom",)


def test_a_time_that_is_none_is_long_ago() -> None:
    assert elsewhere._seconds("2026-03-01T00:00:00Z") == 1_772_323_200.0
    assert elsewhere._seconds("yesterday") == 0.0
