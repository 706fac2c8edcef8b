"""Snaps, charms, rocks and crafts: what the tools are told, in which order, and what becomes a result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_target import Call, FakeTarget, Script

from contractor.buildd.builds import craft, snap
from contractor.buildd.target.target import Failed, TargetFailed

GIT = {"git_repository": "https://git.example.org/x"}


def leaves(*names: str, code: int = 0) -> Script:
    """A program that leaves files where it runs, or where --output says."""

    def script(target: FakeTarget, words: Sequence[str], call: Call) -> int:
        folder = words[words.index("--output") + 1] if "--output" in words else call.cwd
        for name in names:
            target.write(f"{folder}/{name}", b"made")
        return code

    return script


def snaps(folder: Path, arguments: Mapping[str, Any] = {}, program: Script | None = None) -> FakeTarget:
    programs = {"snapcraft": program or leaves("hello_1_amd64.snap"), "tar": _writes, "gzip": _gzips}
    return FakeTarget(folder, "snap", {"name": "hello", **GIT, **arguments}, programs, {"snapcraft.yaml": "x"})


def _writes(target: FakeTarget, words: Sequence[str], _call: Call) -> int:
    target.write(words[words.index("-cf") + 1], b"tar")
    return 0


def _gzips(target: FakeTarget, words: Sequence[str], _call: Call) -> int:
    target.write(f"{words[-1]}.gz", b"gz")
    return 0


def test_a_snap_is_pulled_built_and_collected(tmp_path: Path) -> None:
    target = snaps(tmp_path)
    assert snap.build(target, target.arguments) == "OK"
    assert target.commands("snapcraft", "sha512sum") == [
        ("/usr/bin/snapcraft", "pull"),
        ("/usr/bin/snapcraft",),
        ("sha512sum", "./hello_1_amd64.snap"),
    ]
    assert target.files.keys() == {"hello_1_amd64.snap"}
    assert target.extras["revision_id"] == "0123456789abcdef0123456789abcdef01234567"
    assert "git.example.org" in target.allow
    pull, build = (call for call in target.calls if call.argv[0].endswith("snapcraft"))
    assert (pull.cwd, pull.network, build.network) == ("/build/hello", True, True)
    assert pull.env == {**build.env, "SNAPCRAFT_LOCAL_SOURCES": "1", "SNAPCRAFT_SETUP_CORE": "1"}


def test_the_environment_of_snapcraft(tmp_path: Path) -> None:
    target = snaps(
        tmp_path,
        {
            "build_request_id": 13,
            "build_request_timestamp": "2018-04-13T14:50:02Z",
            "build_url": "https://launchpad.example.org/b",
            "target_architectures": ["arm64", "amd64"],
            "craft_platform": "p",
        },
    )
    env = snap.environment(target.arguments)
    info = env.pop("SNAPCRAFT_IMAGE_INFO")
    assert env == {
        "SNAPCRAFT_BUILD_ENVIRONMENT": "host",
        "SNAPCRAFT_BUILD_INFO": "1",
        "SNAPCRAFT_BUILD_FOR": "arm64",
        "CRAFT_PLATFORM": "p",
    }
    assert info == json.dumps(
        {
            "build-request-id": "lp-13",
            "build-request-timestamp": "2018-04-13T14:50:02Z",
            "build_url": "https://launchpad.example.org/b",
        },
        sort_keys=True,
    )


def test_a_private_snap_has_no_build_info(tmp_path: Path) -> None:
    assert "SNAPCRAFT_BUILD_INFO" not in snap.environment(snaps(tmp_path, {"private": True}).arguments)


def test_the_token_is_revoked_between_pull_and_build(tmp_path: Path) -> None:
    proxy = {"proxy_url": "http://u:p@proxy:1", "revocation_endpoint": "http://t/1", "disable_proxy_after_pull": True}
    target = snaps(tmp_path, proxy)
    assert snap.build(target, target.arguments) == "OK"
    pull, build = (i for i, call in enumerate(target.calls) if call.argv[0].endswith("snapcraft"))
    assert target.revoked_before is not None and pull < target.revoked_before <= build
    assert [target.calls[i].network for i in (pull, build)] == [True, False]


def test_a_tar_of_the_source(tmp_path: Path) -> None:
    target = snaps(tmp_path, {"build_source_tarball": True})
    assert snap.build(target, target.arguments) == "OK"
    assert target.files.keys() == {"hello.tar.gz", "hello_1_amd64.snap"}
    (tar,) = target.commands("tar")
    for option in ("--sort=name", "--owner=0", "--group=0", "--exclude-vcs", "--mtime=@1714979289"):
        assert option in tar
    names = [call.argv[0].rpartition("/")[2] for call in target.calls]
    assert names.index("tar") == names.index("snapcraft") + 2, "after the pull, before the build"


def test_all_kinds_of_results_and_no_links(tmp_path: Path) -> None:
    made = ("a.snap", "a.manifest", "a.debug", "a.dpkg.yaml", "a.comp", "a.txt")
    target = snaps(tmp_path, program=leaves(*made))
    target.link("/build/hello/b.snap", "/etc/passwd")
    assert snap.build(target, target.arguments) == "OK"
    assert target.files.keys() == set(made) - {"a.txt"}


def test_without_snapcraft_it_is_the_image_that_is_wrong(tmp_path: Path) -> None:
    target = FakeTarget(tmp_path, "snap", {"name": "hello", **GIT})
    with pytest.raises(Failed, match="snapcraft is not in this image") as caught:
        snap.build(target, target.arguments)
    assert caught.value.status == "CHROOTFAIL"


def test_a_snapcraft_that_fails_or_leaves_nothing(tmp_path: Path) -> None:
    target = snaps(tmp_path, program=leaves(code=2))
    with pytest.raises(TargetFailed):
        snap.build(target, target.arguments)
    target = snaps(tmp_path, program=leaves("x.txt"))
    with pytest.raises(Failed, match=r"left no \.snap") as caught:
        snap.build(target, target.arguments)
    assert caught.value.status == "PACKAGEFAIL"


CRAFTS = [
    ("charm", "charmcraft", "charmcraft.yaml", ("a.charm", "a.manifest")),
    ("rock", "rockcraft", "rockcraft.yaml", ("a.rock",)),
    ("craft", "sourcecraft", "sourcecraft.yaml", ("a.tar.xz",)),
]


@pytest.mark.parametrize(("tag", "tool", "project", "made"), CRAFTS)
def test_crafts_are_packed(tmp_path: Path, tag: str, tool: str, project: str, made: tuple[str, ...]) -> None:
    arguments = {"name": "n", **GIT, "build_path": "sub/./dir", "channels": {tool: "edge"}, "craft_platform": "p"}
    if tag == "craft":
        arguments["environment_variables"] = {"TOKEN": "s3cr3t-value"}
    source = {f"sub/dir/{project}": "name: n"}
    target = FakeTarget(tmp_path, tag, arguments, {tool: leaves(*made, "other")}, source)
    assert craft.build(target, target.arguments) == "OK"
    assert target.files.keys() == set(made)
    (call,) = (call for call in target.calls if call.argv[0].endswith(tool))
    assert call.argv[:4] == (f"/usr/bin/{tool}", "pack", "-v", "--destructive-mode")
    assert (call.cwd, call.network, call.env["CRAFT_PLATFORM"]) == ("/build/n/sub/dir", True, "p")
    assert (call.env.get("TOKEN") == "s3cr3t-value") == (tag == "craft")
    assert f"Snaps cannot be installed in this target ({tool} from edge)" in target.text
    assert "s3cr3t" not in target.text


@pytest.mark.parametrize(("tag", "tool", "project", "made"), CRAFTS)
def test_what_is_missing_is_said(tmp_path: Path, tag: str, tool: str, project: str, made: tuple[str, ...]) -> None:
    def failure(programs: Mapping[str, Script], source: Mapping[str, str], **more: str) -> str:
        target = FakeTarget(tmp_path, tag, {"name": "n", **GIT, **more}, programs, source)
        with pytest.raises(Failed) as caught:
            craft.build(target, target.arguments)
        assert caught.value.status == "PACKAGEFAIL"
        return caught.value.message

    assert f"{tool} is not in this image" in failure({}, {project: "x"})
    tools = {tool: leaves(*made)}
    assert f"there is no {project} in the top of the source" in failure(tools, {"x": "y"})
    assert f"{tool} left no *{Path(made[0]).suffix}" in failure({tool: leaves("x")}, {project: "x"}).replace(
        ".tar.xz", ".xz"
    )
    for path in ("../..", "/etc", "link", "deep/../../.."):
        source = {project: "x", "link": "-> /etc", "deep/x": ""}
        assert "leads out of the source" in failure(tools, source, build_path=path)
    assert "there is no folder" in failure(tools, {project: "x"}, build_path="none")


def test_the_clone_forgets_how_it_was_allowed(tmp_path: Path) -> None:
    target = snaps(tmp_path, {"git_repository": "https://user:t0ken@git.example.org/x"})
    assert snap.build(target, target.arguments) == "OK"
    assert b"url = https://git.example.org/x\n" in target.read("/build/hello/.git/config", 999)
    assert "t0ken" not in target.text
