"""Snaps: snapcraft of the image, in the target, with what Launchpad tells it in the environment.

snapcraft pull, [a tar of the source], [the proxy's token is revoked], snapcraft, sha512sum of each snap
"""

from __future__ import annotations

import json

from contractor.buildd.arguments import Snap
from contractor.buildd.builds.checkout import (
    check_out,
    collect,
    commit_time,
    package_fail,
    program,
    say_channels,
)
from contractor.buildd.target.target import Failed, Target

_RESULTS = (".snap", ".manifest", ".debug", ".dpkg.yaml", ".comp")


def build(target: Target, arguments: Snap) -> str:
    """Pull, build, collect."""
    snapcraft = program(target, "snapcraft")
    if not snapcraft:
        failed = Failed("CHROOTFAIL", "snapcraft is not in this image, and snaps cannot be built without it")
        failed.hint = "build with an image that has snapcraft in its PATH: snaps cannot be installed in the target"
        raise failed
    say_channels(target, arguments.channels)
    folder = check_out(target, arguments, arguments.name)
    pull = {**environment(arguments), "SNAPCRAFT_LOCAL_SOURCES": "1", "SNAPCRAFT_SETUP_CORE": "1"}
    target.run([snapcraft, "pull"], env=pull, cwd=folder, network=True, check=True)
    if arguments.build_source_tarball:
        source_tar(target, arguments.name, folder)
    network = not arguments.disable_proxy_after_pull
    if not network:
        _revoke(target, arguments)
    target.run([snapcraft], env=environment(arguments), cwd=folder, network=network, check=True)
    names = collect(target, folder, _RESULTS)
    snaps = [name for name in names if name.endswith(".snap")]
    if not snaps:
        raise package_fail("snapcraft left no .snap in the folder of the source")
    for name in snaps:
        target.run(["sha512sum", f"./{name}"], cwd=folder, check=True)
    if arguments.build_source_tarball:
        target.result(f"{folder}.tar.gz", f"{arguments.name}.tar.gz")
    return "OK"


def environment(arguments: Snap) -> dict[str, str]:
    """What snapcraft finds in its environment, in both of its runs."""
    env = {"SNAPCRAFT_BUILD_ENVIRONMENT": "host"}
    if not arguments.private:
        env["SNAPCRAFT_BUILD_INFO"] = "1"
    info: dict[str, object] = {}
    if arguments.build_url:
        info["build_url"] = arguments.build_url
    if arguments.build_request_id:
        info["build-request-id"] = f"lp-{arguments.build_request_id}"
    if arguments.build_request_timestamp:
        info["build-request-timestamp"] = arguments.build_request_timestamp
    env["SNAPCRAFT_IMAGE_INFO"] = json.dumps(info, sort_keys=True)
    if arguments.target_architectures:
        env["SNAPCRAFT_BUILD_FOR"] = arguments.target_architectures[0]
    if arguments.craft_platform:
        env["CRAFT_PLATFORM"] = arguments.craft_platform
    return env


def source_tar(target: Target, name: str, folder: str) -> None:
    """FOLDER.tar.gz: the same bytes from the same revision, whatever snapcraft's pull touched."""
    epoch = commit_time(target, folder)
    options = ["--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{epoch}"]
    above = folder.rpartition("/")[0]
    argv = ["tar", *options, "--exclude-vcs", "-cf", f"{folder}.tar", "--", name]
    target.run(argv, cwd=above, check=True)
    target.run(["gzip", "-n", "-f", "--", f"{folder}.tar"], cwd=above, check=True)


def _revoke(target: Target, arguments: Snap) -> None:
    """The build itself has no network any more."""
    if arguments.proxy_url and arguments.revocation_endpoint:
        target.revoke_proxy_token()
