"""A build and its lock: what answers a step, what offline lacks, and what a new lock takes over."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from cli_store import artifact
from lock_kit import APT, answered, deb, fetch, lock_of, plan, sha, steps_of
from plan_kit import named

from contractor.build.lock import precheck
from contractor.build.lock.adopt import adopt
from contractor.build.lock.locking import Wanted, lost, up_to_date
from contractor.build.lock.precheck import Ground, check_base, lacking
from contractor.build.lock.replay import last_run, replay_of
from contractor.build.options import Options
from contractor.build.source.git_archive import archive_of, remember
from contractor.core.errors import NotReproducible
from contractor.core.fetch import Fetch
from contractor.plan.lock import LockedFile, LockedSource
from contractor.plan.locked import locked_plan
from contractor.plan.model import Action, Plan
from contractor.plan.rekey import Changed, rekey
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.results import Result, Results, artifact_path

GIT = model.Source(git="https://x.example/r.git", ref="v1")
ASK = named("ask", model.Shell("curl example.org"), network=("example.org",))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def put(store: Store, *texts: str) -> None:
    for text in texts:
        writer = store.captured.writer()
        writer.write(text.encode())
        writer.commit(sha(text))


def add(store: Store, action: Action, *fetches: Fetch, **more) -> Result:
    values = {"kind": action.kind, "name": action.step.name, "build": "b1", "finished": 1.0, "seconds": 1.0}
    made = Result(key=action.key, inputs=action.inputs, fetches=fetches, **{**values, **more})
    Results(store, "x").add(made)
    return made


def lacks(store: Store, whole: Plan, **options) -> list[str]:
    return list(lacking(whole, Ground(store, Results(store, "x"), Options(offline=True, **options))))


# --- what answers a step ---


def test_offline_a_step_gets_what_it_got_when_it_last_ran(store):
    whole = plan(APT, ASK)
    action = whole.actions[2]
    assert last_run(whole, action, store) is None
    add(store, action, fetch(answered("http://example.org/x")), Fetch("GET", "http://no/", "refused", 403))
    replay = replay_of(whole, action, store, Options(offline=True))
    assert replay is not None
    assert (list(replay.answers), replay.source, replay.asks) == (["http://example.org/x"], "the build b1", "nothing")
    assert replay_of(whole, action, store, Options()) is None  # online it asks


@pytest.mark.parametrize(
    "hidden",
    [
        Fetch("CONNECT", "example.org:443", "allowed", 200),
        Fetch("POST", "http://example.org/", "allowed", 200, 1, sha("x")),
        Fetch("GET", "http://example.org/", "allowed", 206, 1, sha("x")),
    ],
)
def test_what_was_not_kept_cannot_be_given_again(store, hidden):
    whole = plan(APT, ASK)
    add(store, whole.actions[2], fetch(answered("http://example.org/x")), hidden)
    assert last_run(whole, whole.actions[2], store) is None


def test_a_step_that_asked_nothing_needs_nobody(store):
    whole = plan(APT, ASK)
    add(store, whole.actions[2])
    replay = last_run(whole, whole.actions[2], store)
    assert replay is not None and replay.answers == {}


def test_a_bases_steps_are_answered_from_its_artifact(store):
    whole = plan(APT)
    base = whole.bases["debian-12"]
    add(store, base.actions[-1], fetch(answered(deb("libc6", "1"))))
    replay = last_run(base, base.actions[1], store)
    assert replay is not None and list(replay.answers) == [deb("libc6", "1")]


def test_a_lock_asks_servers_for_what_the_store_has_lost_and_only_online(store):
    given = plan(APT)
    whole = locked_plan(given, lock_of(given))
    apt = steps_of(whole, "apt")[0]
    texts = ["release 1 of bookworm", "packages 1", deb("hello", "1.0")]
    assert replay_of(whole, apt, store, Options()).asks == "indexes"
    put(store, *texts[:2])
    assert replay_of(whole, apt, store, Options()).asks == "lost"
    assert replay_of(whole, apt, store, Options(offline=True)).asks == "nothing"
    assert len(replay_of(whole, apt, store, Options()).lost(store.captured)) == 1
    put(store, texts[2])
    assert replay_of(whole, apt, store, Options()).lost(store.captured) == []
    opened = msgspec.structs.replace(whole.held[apt.key], opened=True)
    held = msgspec.structs.replace(whole, held={apt.key: opened})
    assert replay_of(held, apt, store, Options()).asks == "rest"


# --- what offline lacks ---


def test_every_step_that_would_ask_is_named(store):
    download = model.Fetch("http://example.org/f.tar", sha("f"), "")
    whole = plan(GIT, APT, download, ASK, source="c" * 40)
    assert lacks(store, whole) == [
        "base debian-12, step 2, debootstrap bookworm: it asks deb.debian.org, and is not locked",
        "step 2, source https://x.example/r.git: commit cccccccccccc of https://x.example/r.git is not in the store",
        "step 3, apt hello: it asks deb.debian.org, and is not locked",
        "step 4, fetch f.tar: http://example.org/f.tar is not in the store",
        "step 5, ask: it asks example.org",
    ]


def test_what_is_there_is_not_lacking(store, tmp_path):
    download = model.Fetch("http://example.org/f.tar", sha("f"), "")
    whole = plan(GIT, APT, download, ASK, source="c" * 40)
    (tmp_path / "tree").mkdir()
    made = artifact(store, tmp_path / "tree")
    add(store, whole.bases["debian-12"].actions[-1], artifact=made)
    remember(store, "c" * 40, made.digest)
    add(store, whole.actions[2])
    store.blobs.add_bytes(b"f")
    add(store, whole.actions[4])
    assert lacks(store, whole) == []
    assert len(lacks(store, whole, fresh_bases=True)) == 1


def test_a_repository_beside_the_specification_asks_nobody(store):
    whole = plan(model.Source(git="r.bundle", ref="v1"), source="c" * 40)
    assert [text for text in lacks(store, whole) if "r.bundle" in text] == []


def test_how_much_of_a_lock_is_lost_is_told(store):
    given = plan(APT)
    whole = locked_plan(given, lock_of(given))
    put(store, "release 1 of bookworm")
    assert lacks(store, whole)[1] == "step 2, apt hello: 2 of 3 files that the lock names are not in the store"
    assert lost(lock_of(given).steps[1], store) == {sha("packages 1"), sha(deb("hello", "1.0"))}


# --- bases ---


def test_a_base_that_came_out_otherwise_is_not_reproducible(store, tmp_path):
    given = plan(APT)
    whole = locked_plan(given, lock_of(given))
    made = artifact(store, tmp_path)
    result = add(store, whole.bases["debian-12"].actions[-1], artifact=made)
    error = check_base(whole, "debian-12", result, store)
    assert isinstance(error, NotReproducible)
    assert made.digest in error.message and sha("base") in error.details[0]
    same = msgspec.structs.replace(whole, expected={"debian-12": made.digest})
    assert check_base(same, "debian-12", result, store) is None
    assert check_base(given, "debian-12", result, store) is None
    assert check_base(whole, "debian-12", None, store) is None


def test_the_tools_that_made_another_base_are_named(store, tmp_path, monkeypatch):
    monkeypatch.setattr(precheck, "tool_versions", lambda _store: {"mmdebstrap": "1.5", "bwrap": "0.8", "git": "2"})
    given = plan(APT)
    tools = {"mmdebstrap": "1.3", "bwrap": "0.8", "newuidmap": "installed"}
    whole = locked_plan(given, lock_of(given, tools=tools))
    result = add(store, whole.bases["debian-12"].actions[-1], artifact=artifact(store, tmp_path))
    error = check_base(whole, "debian-12", result, store)
    assert error.details[1:] == (
        "git is 2, and was not there when it was locked",
        "mmdebstrap is 1.5, and was 1.3 when it was locked",
        "newuidmap is not there, and was installed when it was locked",
    )
    same = msgspec.structs.replace(whole, expected_tools={"mmdebstrap": "1.5", "bwrap": "0.8", "git": "2"})
    error = check_base(same, "debian-12", result, store)
    assert len(error.details) == 1 and "all tools are those that it was locked with" in error.hint


# --- a new lock ---


def test_whether_a_lock_fits_is_known_without_asking():
    given = plan(APT)
    assert up_to_date(Wanted([given], lock_of(given))) == ()
    assert up_to_date(Wanted([given])) == (
        "the base debian-12 is not in the lock",
        "step 'apt hello' is not in the lock",
    )
    less = plan()
    gone = up_to_date(Wanted([less], lock_of(given)))
    assert gone == ("nothing asks for the locked step 'apt hello' any more",)
    assert up_to_date(Wanted([less], lock_of(given), part=True)) == ()
    git = plan(GIT, APT, source="c" * 40)
    assert "the git reference v1" in up_to_date(Wanted([git], lock_of(given)))[0]
    locked = lock_of(git, sources=(LockedSource(GIT.git, "v1", "c" * 40),))
    assert up_to_date(Wanted([git], locked)) == ()
    more = msgspec.structs.replace(locked, files=(LockedFile("https://x.example/a", sha("a")),))
    assert up_to_date(Wanted([git], more)) == ("nothing asks for the download https://x.example/a any more",)
    assert up_to_date(Wanted([given], locked)) == (f"nothing asks for v1 of {GIT.git} any more",)
    assert up_to_date(Wanted([given], more, part=True)) == ()


def ran_and_locked(session: str = "") -> tuple[Plan, Plan]:
    given = plan(APT)
    ran = rekey(given, Changed(extra={1: {"lock": f"asked {session}"}})) if session else given
    return ran, locked_plan(given, lock_of(given))


def test_what_was_run_for_a_lock_is_found_under_its_keys(store):
    ran, locked = ran_and_locked("s1")
    key, new = ran.actions[1].key, locked.actions[1].key
    layer = Path(store.layer("x", key))
    (layer / "usr").mkdir(parents=True)
    add(store, ran.actions[1], layer=True, packages=("hello:amd64=1.0",))
    adopt(ran, locked, "s1", Results(store, "x"), store)
    assert os.path.isdir(f"{store.layer('x', new)}/usr") and not layer.exists()
    found = Results(store, "x").find(new)
    assert found is not None
    assert (found.inputs, found.packages) == (locked.actions[1].inputs, ("hello:amd64=1.0",))
    assert Results(store, "x").read(key) is None


def test_what_earlier_builds_made_stays_theirs(store, tmp_path):
    ran, locked = ran_and_locked()
    layer = Path(store.layer("x", ran.actions[1].key))
    layer.mkdir(parents=True)
    add(store, ran.actions[1], layer=True)
    made = artifact(store, tmp_path)
    base = ran.bases["debian-12"].actions[-1]
    add(store, base, artifact=made)
    adopt(ran, locked, "s1", Results(store, "x"), store)
    results = Results(store, "x")
    assert layer.exists() and results.find(ran.actions[1].key) is not None
    assert results.find(locked.actions[1].key) is None
    alias = results.find(locked.bases["debian-12"].actions[-1].key)
    assert alias is not None and alias.artifact == made  # an artifact is only named once more
    assert results.find(base.key) is not None


def test_what_was_run_for_nothing_goes(store):
    ran, locked = ran_and_locked("s1")
    for action in (ran.actions[1], locked.actions[1]):
        os.makedirs(store.layer("x", action.key))
        add(store, action, layer=True)
    adopt(ran, locked, "s1", Results(store, "x"), store)
    assert Results(store, "x").read(ran.actions[1].key) is None
    assert Results(store, "x").find(locked.actions[1].key) is not None


# --- commits ---


def test_a_commit_is_known_as_long_as_its_archive_is_there(store, tmp_path):
    commit = "d" * 40
    assert archive_of(store, commit) == ""
    digest = artifact(store, tmp_path).digest
    remember(store, commit, digest)
    assert archive_of(store, commit) == digest
    Path(artifact_path(store, digest)).unlink()
    assert archive_of(store, commit) == ""


@pytest.mark.parametrize("text", [b"", b"x", b"../../etc/passwd", b"\xff" * 64, b"a" * 100])
def test_a_damaged_note_of_a_commit_is_none(store, text):
    os.makedirs(store.path("git"))
    Path(store.path("git", "e" * 40)).write_bytes(text)
    assert archive_of(store, "e" * 40) == ""
