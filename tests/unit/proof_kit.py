"""Keys, and a build with artifacts and provenance in a store, made without a sandbox."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cli_store import add, artifact, record, step

from contractor.core.events import ArtifactInfo
from contractor.core.fetch import Fetch
from contractor.plan.model import Action, Checkout, Plan
from contractor.proof.keyring import Keyring
from contractor.proof.signing import Signer
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.records import Record

BUILD = "20250304-101500-hello-aaaa"
PRIVATE = bytes(range(32))  # a key whose signatures are the same in every run
DEB = "http://deb.debian.org/debian/pool/main/h/hello/hello_2.10-3%2bb1_amd64.deb"
FETCHES = (
    Fetch("GET", DEB, "allowed", 200, 10, "d" * 64),
    Fetch("GET", "http://deb.debian.org/debian/dists/bookworm/InRelease", "allowed", 200, 10, "e" * 64),
    Fetch("GET", "http://evil.example/x", "refused"),
    Fetch("CONNECT", "pypi.example:443", "allowed", 200),
)


def signer(name: str = "ada@laptop", private: bytes = PRIVATE) -> Signer:
    return Signer(name, private)


def ring(folder: Path) -> Keyring:
    """A keyring with one key of its own."""
    made = Keyring(str(folder))
    made.new("ada@laptop")
    return made


def _action(name: str, action: model.AnyAction, **inputs: str) -> Action:
    place = model.Place("contractor.yaml", 1, 1)
    return Action(
        kind=str(action.__struct_config__.tag),
        step=model.Step(action=action, name=name, place=place),
        key=f"key-{name}",
        inputs=inputs,
        env={},
        hosts=(),
        layers=(),
        before="",
        after="",
    )


def plan(**more: object) -> Plan:
    """A folder as source, a git repository, a download, a custom action."""
    values: dict[str, object] = {
        "name": "hello",
        "arch": "amd64",
        "epoch": 1700000000,
        "epoch_origin": "given",
        "parameters": {"VERSION": "1.2"},
        "matrix": {},
        "limits": model.Limits(),
        "file": "/home/ada/hello/contractor.yaml",
        "specification": "a" * 64,
        "checkouts": {"0": Checkout("c" * 40, "https://example.org/hello.git", "src", 2, "f" * 64)},
        "actions": (
            _action("source", model.Source(path="src"), source="1" * 64),
            _action("library", model.Source(git="https://u:p@Example.org/lib.git", ref="v1"), source="2" * 40),
            _action("fetch", model.Fetch(url="http://example.org/a b", sha256="3" * 64)),
            _action("custom", model.Custom(name="tool"), executable="4" * 64),
        ),
        **more,
    }
    return Plan(**values)


def built(store: Store, tree: Path, *forms: str, **more: object) -> Record:
    """A record of a build with an artifact in each of these formats, stored; not yet written."""
    made: list[ArtifactInfo] = [artifact(store, tree, f"hello-{form}", form) for form in forms or ("tar.zst",)]
    fields = {
        "steps": (step("apt", packages=("hello:amd64=2.10-3+b1", "libc6:amd64=2.36-9"), fetches=FETCHES),),
        "artifacts": tuple(made),
        "parameters": {"VERSION": "1.2"},
        "spec": "/home/ada/hello/contractor.yaml",
        "epoch_origin": "the git commit of /home/ada/hello/src",
        "tools": {"contractor": "0.1.0"},
        **more,
    }
    return add(store, record(BUILD, **fields), b"some output\n")


def tree(folder: Path) -> Path:
    """Files, a link, an executable, an empty folder, and names that want to be escaped."""
    (folder / "sub dir" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "sub dir" / "file").write_text("content")
    (folder / "sub dir" / "deep" / "x").write_text("")
    (folder / "sub.dir").write_text("sorts between")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("sub dir/file")
    return folder


def with_copies(made: Record, copies: tuple[ArtifactInfo, ...]) -> Record:
    return msgspec.structs.replace(made, artifacts=copies)
