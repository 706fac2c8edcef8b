"""git as a source: a reference resolved to a commit, and that commit's files; git itself runs in bwrap.

A URL is fetched through the recording proxy, its host alone allowed. A path (a repository or a bundle beside the
specification) is shown read-only, without any network.
"""

from __future__ import annotations

import os
import re

import msgspec

from contractor.build.context import StepContext
from contractor.core.errors import Broken, Rejected
from contractor.plan.environment import PROXY
from contractor.sandbox import process
from contractor.sandbox.spec import Exit, Mount
from contractor.spec.model import Source

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_REPOSITORY = "/run/repository"
_CLONE = """set -eu
export HOME=/tmp GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1
git config --global safe.directory '*'
git config --global advice.detachedHead false
git init -q /tmp/clone && cd /tmp/clone
git fetch -q --no-tags --depth=1 "$1" "$2" 2>/dev/null || git fetch -q "$1" '+refs/*:refs/contractor/*'
mkdir -p "/workspace/$3"
git archive --format=tar "$2" | tar -x -C "/workspace/$3"
"""


def resolve_commit(url: str, ref: str, folder: str) -> str:
    """The commit that a reference names now; a commit's own name is itself, and nothing is asked."""
    if _COMMIT.match(ref):
        return ref
    git = process.require_tool("git", "git")
    where = url if is_remote(url) else os.path.abspath(os.path.join(folder, url))
    env = {
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": _ALLOWED,
    }
    done = process.run([git, "ls-remote", "--", where], env=env, timeout=60)
    if done.code:
        reason = done.output.decode(errors="replace").strip().splitlines()
        raise Broken(
            f"git cannot read {url}",
            details=tuple(reason[-3:]),
            hint="is it there and reachable? With a commit as `ref` nothing has to be asked",
        )
    refs = dict(
        reversed(line.split("\t", 1)) for line in done.output.decode(errors="replace").splitlines() if "\t" in line
    )
    for name in (ref, f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in refs:
            return refs[name]
    known = sorted(name.rpartition("/")[2] for name in refs if not name.endswith("^{}"))
    raise Rejected(f"{url} has no reference {ref}", details=(f"it has: {', '.join(known[:30])}",))


_ALLOWED = "file:http:https"


def is_remote(url: str) -> bool:
    return "://" in url


def commit_time(path: str) -> int | None:
    """When the commit that is checked out in a folder was made, seconds since the epoch; None without one."""
    git = process.which("git")
    if git is None:
        return None
    env = {
        "HOME": "/nonexistent",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    done = process.run([git, "-C", path, "log", "-1", "--format=%ct"], env=env)
    text = done.output.strip()
    return int(text) if done.code == 0 and text.isdigit() else None


def clone_into_workspace(context: StepContext, action: Source, commit: str) -> Exit:
    """The files of a commit, below `to` in the workspace."""
    process.require_tool("git", "git")
    url, mounts = action.git, ()
    if not is_remote(action.git):
        url = _REPOSITORY
        source = os.path.abspath(os.path.join(context.options.folder, action.git))
        mounts = (Mount("ro-bind", _REPOSITORY, context.place.show(source)),)
    environment = {"PATH": process.HOST_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "GIT_ALLOW_PROTOCOL": _ALLOWED}
    if context.action.hosts:
        environment.update(PROXY)
    spec = context.host_spec(["/bin/sh", "-c", _CLONE, "sh", url, commit, action.to], environment)
    spec = msgspec.structs.replace(spec, mounts=(*spec.mounts, *mounts))
    exit_ = context.run(spec)
    context.place.call("date", {"to": action.to, "epoch": context.plan.epoch})
    context.say(f"commit {commit}")
    return exit_
