"""Which commit a source is, and how far from it: as git would say, without running what a checkout may name."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from contractor.build.source.checkout import checkout_of
from contractor.build.source.folder import Source
from contractor.build.source.git import SAFE, head_of
from contractor.plan.model import Checkout
from contractor.store.layout import Store


def git(folder: Path, *argv: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", folder, *who, *argv], env=own, capture_output=True, check=True, text=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def repository(tmp_path, request) -> Path:
    folder = tmp_path / "repository"
    (folder / "src" / "sub").mkdir(parents=True)
    git(folder, "init", "-q", f"--object-format={request.param}")
    (folder / "contractor.yaml").write_text("contractor: 1\n")
    (folder / "src" / "a").write_text("a\n")
    (folder / "src" / "run").write_text("#!/bin/sh\n")
    (folder / "src" / "run").chmod(0o755)
    (folder / "src" / "sub" / "ünï").write_text("x")
    (folder / "src" / "link").symlink_to("a")
    (folder / ".gitignore").write_text("*.o\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    return folder


def look(path: Path, tmp_path: Path, *leave: Path) -> Checkout:
    store = Store(str(tmp_path / "store"))
    source = Source(str(path), store, tuple(map(str, leave)))
    assert source.git
    head = head_of(str(path))
    assert head is not None
    found = checkout_of(source, head, store, source.digest(1700000000))
    assert found is not None
    return found


def test_a_clean_checkout(repository, tmp_path) -> None:
    found = look(repository, tmp_path)
    assert found == Checkout(git(repository, "rev-parse", "HEAD"), "", ".", 0, "")
    assert look(repository / "src", tmp_path).folder == "src"


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda src: (src / "a").write_text("b\n"), 1),
        (lambda src: (src / "a").unlink(), 1),
        (lambda src: (src / "new").write_text("n"), 1),
        (lambda src: (src / "new.o").write_text("ignored"), 0),
        (lambda src: (src / "run").chmod(0o644), 1),
        (lambda src: ((src / "link").unlink(), (src / "link").symlink_to("run")), 1),
        (lambda src: os.rename(src / "a", src / "b"), 2),
        (lambda src: os.utime(src / "a", (1, 1)), 0),
    ],
)
def test_what_is_not_as_in_the_commit_is_counted(repository, tmp_path, change, count) -> None:
    change(repository / "src")
    for path in (repository, repository / "src"):
        found = look(path, tmp_path)
        assert found.changed == count
        assert (found.patch != "") == (count > 0)


def test_the_patch_is_what_its_description_says(repository, tmp_path) -> None:
    before, _kind, old, _name = git(repository, "ls-tree", "HEAD", "src/a").split()
    (repository / "src" / "a").write_text("b\n")
    new = git(repository, "hash-object", "src/a")
    text = f"src/a\0{before} {old}\0{before} {new}\0"
    assert look(repository, tmp_path).patch == hashlib.sha256(text.encode()).hexdigest()


def test_the_specification_counts_although_it_is_no_source(repository, tmp_path) -> None:
    spec = repository / "contractor.yaml"
    assert look(repository, tmp_path, spec).changed == 0
    spec.write_text("contractor: 1\nname: other\n")
    store = Store(str(tmp_path / "other store"))
    source = Source(str(repository), store, (str(spec),))
    head = head_of(str(repository))
    assert head is not None
    found = checkout_of(source, head, store, source.digest(1), "digest of the specification")
    assert found is not None
    assert found.changed == 1


def test_a_new_commit_is_another_checkout_of_the_same_files(repository, tmp_path) -> None:
    first = look(repository, tmp_path)
    git(repository, "commit", "-q", "--allow-empty", "-m", "two")
    second = look(repository, tmp_path)
    assert first.commit != second.commit == git(repository, "rev-parse", "HEAD")
    assert second.changed == 0


def test_a_submodule_is_not_a_change(repository, tmp_path) -> None:
    inner = repository / "src" / "module"
    inner.mkdir()
    git(
        inner,
        "init",
        "-q",
        f"--object-format={'sha1' if len(git(repository, 'rev-parse', 'HEAD')) == 40 else 'sha256'}",
    )
    git(inner, "commit", "-q", "--allow-empty", "-m", "inner")
    git(repository, "add", "src/module")
    git(repository, "commit", "-qm", "two")
    assert look(repository, tmp_path).changed == 0


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("https://ada:token@example.org/x.git", "https://example.org/x.git"),
        ("git@example.org:group/x.git", "ssh://example.org/group/x.git"),
        ("example.org:x.git", "ssh://example.org/x.git"),
        ("ssh://git@example.org:2222/x.git", "ssh://example.org:2222/x.git"),
        ("/srv/git/x.git", ""),
        ("../x.git", ""),
        ("file:///srv/git/x.git", ""),
    ],
)
def test_a_remote_is_named_without_credentials_and_places_of_this_host(repository, tmp_path, remote, url) -> None:
    git(repository, "remote", "add", "origin", remote)
    assert look(repository, tmp_path).url == url


def test_without_a_commit_there_is_no_checkout(tmp_path) -> None:
    git(tmp_path, "init", "-q")
    assert head_of(str(tmp_path)) is None
    assert head_of("/") is None


def evil(folder: Path) -> tuple[Path, Path]:
    """A program that a checkout names, and the file that it leaves when it runs."""
    mark, program = folder / "it-ran", folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    return program, mark


@pytest.mark.parametrize(
    "settings",
    [
        {"core.fsmonitor": "{}", "core.hooksPath": "{}"},
        {"log.showSignature": "true", "gpg.program": "{}"},
        {"filter.x.clean": "{}", "filter.x.smudge": "{}", "filter.x.required": "true"},
        {"diff.external": "{}", "diff.x.textconv": "{}", "diff.x.command": "{}"},
        {"core.pager": "{}", "pager.log": "{}"},
        {"core.sshCommand": "{}", "core.gitProxy": "{}", "credential.helper": "{}"},
    ],
)
def test_nothing_that_a_checkout_names_is_run(repository, tmp_path, settings) -> None:
    program, mark = evil(tmp_path)
    (repository / ".gitattributes").write_text("* filter=x diff=x\n")
    signed = repository / "signed"
    tree, parent = git(repository, "rev-parse", "HEAD^{tree}"), git(repository, "rev-parse", "HEAD")
    who = "a <a> 1 +0000"
    text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n"
    text += "gpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\nx\n"
    signed.write_text(text)
    git(repository, "update-ref", "HEAD", git(repository, "hash-object", "-t", "commit", "-w", "signed"))
    signed.unlink()
    for name, value in settings.items():
        git(repository, "config", name, value.format(program))
    (repository / "src" / "a").write_text("changed\n")
    assert look(repository, tmp_path).changed == 2
    assert not mark.exists()


def test_a_missing_object_is_not_fetched_by_a_program_that_a_checkout_names(repository, tmp_path) -> None:
    program, mark = evil(tmp_path)
    head = git(repository, "rev-parse", "HEAD")
    for name, value in {
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{program}",
        "protocol.ext.allow": "always",
    }.items():
        git(repository, "config", name, value)
    (repository / ".git" / "objects" / head[:2] / head[2:]).unlink()
    assert head_of(str(repository)) is None
    assert not mark.exists()
    assert SAFE["GIT_ALLOW_PROTOCOL"] == "none"
