"""build()'s arguments: all ten types, and all problems at once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.arguments import STRUCTS, typed
from contractor.buildd.arguments_check import check
from contractor.buildd.builds import TYPES
from contractor.core.errors import Rejected

COMMON = {"series": "noble", "archives": ["deb http://archive.example/ubuntu noble main"], "unknown": [1, {"a": None}]}
VCS = {**COMMON, "git_repository": "https://git.example/x", "git_path": None, "branch": None}
GOOD: dict[str, dict[str, Any]] = {
    "binarypackage": {**COMMON, "suite": "noble", "ogrecomponent": "main", "arch_indep": 1},
    "sourcepackagerecipe": {
        **COMMON, "recipe_text": "# x", "suite": "noble", "ogrecomponent": "universe", "author_name": "A",
        "author_email": "a@b", "archive_purpose": "PPA", "git": True,
    },
    "translation-templates": {**COMMON, "branch_url": "http://bzr.example/x"},
    "livefs": {**COMMON, "project": "ubuntu", "pocket": "release", "cohort-key": "k", "repo_snapshot_stamp": 17},
    "snap": {**VCS, "name": "hello", "channels": {"core": "edge"}, "build_request_id": 7, "private": False},
    "oci": {**VCS, "name": "x", "build_args": {"A": "b"}, "proxy_url": "http://u:s@proxy.example:3128/"},
    "charm": {**VCS, "name": "x", "build_path": "charms/x"},
    "ci": {**VCS, "jobs": [[["build", 0], ["build", 1]], [["test", 0]]], "secrets": {"auth": "s"}},
    "rock": {**VCS, "name": "x"},
    "craft": {**VCS, "name": "x", "environment_variables": {"A": "b"}},
}  # fmt: skip
FILES = ["hello.dsc", "hello.tar.gz"]


@pytest.mark.parametrize("tag", TYPES)
def test_every_type_takes_its_arguments(tag: str) -> None:
    arguments = check(tag, GOOD[tag], FILES, "amd64")
    assert arguments.series == "noble" and arguments.arch_tag == "amd64"
    assert not hasattr(arguments, "unknown")
    through = json.loads(msgspec.json.encode(arguments))
    assert typed(tag, through) == arguments
    for name, value in GOOD[tag].items():
        if value is not None and name != "unknown":
            assert through[name] == value, name


@pytest.mark.parametrize("tag", TYPES)
def test_every_required_argument_is_required(tag: str) -> None:
    required = [field.encode_name for field in msgspec.structs.fields(STRUCTS[tag]) if field.required]
    with pytest.raises(Rejected) as caught:
        check(tag, dict.fromkeys(required), FILES, "amd64")
    assert caught.value.details == tuple(f"{name} is missing" for name in required)
    for name in required:
        with pytest.raises(Rejected, match="are wrong"):
            check(tag, {key: value for key, value in GOOD[tag].items() if key != name}, FILES, "amd64")


@pytest.mark.parametrize(
    ("tag", "change", "problems"),
    [
        ("snap", {"series": 5, "channels": ["x"], "private": "no"}, 3),
        ("snap", {"series": "../../etc"}, 1),
        ("snap", {"name": "../x"}, 1),
        ("snap", {"git_repository": None}, 1),
        ("snap", {"branch": "lp:x"}, 1),
        ("snap", {"git_path": "--upload-pack=x"}, 1),
        ("snap", {"proxy_url": "socks://u:secret@h"}, 1),
        ("snap", {"proxy_url": "http://[u:secret@h"}, 1),
        ("ci", {"jobs": [["build", 0]]}, 1),
        ("ci", {"jobs": [[]]}, 1),
        ("ci", {"jobs": [[["a", 0]], [["a", 0]]]}, 1),
        ("ci", {"jobs": [[["a", "0"]]]}, 1),
        ("binarypackage", {"archives": ["deb x\ndeb y"], "trusted_keys": ["a"]}, 2),
        ("binarypackage", {"archives": "deb x"}, 1),
        ("binarypackage", {"suite": "noble\nEvil: yes", "arch_tag": "amd 64"}, 2),
        ("binarypackage", {"archives": [b"\xff"]}, 1),
        ("binarypackage", {"image_type": "docker"}, 1),
        ("livefs", {"debug": 2}, 1),
    ],
)
def test_all_problems_are_told_and_no_secret(tag: str, change: dict[str, Any], problems: int) -> None:
    with pytest.raises(Rejected) as caught:
        check(tag, GOOD[tag] | change, FILES, "amd64")
    assert len(caught.value.details) == problems, caught.value.details
    assert all(any(name in detail for name in (*change, "neither", "both")) for detail in caught.value.details)
    assert "secret" not in str(caught.value.details)


@pytest.mark.parametrize("files", [[], ["a.dsc", "b.dsc"], ["dsc"]])
def test_a_binary_package_has_one_source(files: list[str]) -> None:
    with pytest.raises(Rejected) as caught:
        check("binarypackage", GOOD["binarypackage"], files, "amd64")
    assert "instead of one" in caught.value.details[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(TYPES)), st.data())
def test_anything_is_taken_or_rejected(tag: str, data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(STRUCTS[tag])]
    changes = data.draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=4))
    try:
        arguments = check(tag, GOOD[tag] | changes, FILES, "amd64")
    except Rejected as error:
        assert error.details
    else:
        assert typed(tag, json.loads(msgspec.json.encode(arguments))) == arguments
