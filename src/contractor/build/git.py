"""git as a source: a reference resolved to a commit, and that commit's files; git itself runs in bwrap.

A URL is asked through the recording proxy, its host alone allowed. A path (a repository or a bundle beside the
specification) is shown read-only, without any network.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from contractor.build.aside import run_aside
from contractor.build.context import StepContext
from contractor.core.errors import Broken, Rejected
from contractor.plan.environment import PROXY
from contractor.sandbox import process
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.spec import Exit, Mount
from contractor.spec.model import Source
from contractor.store.layout import Store

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_SHOWN = "/run/shown"
_SETTINGS = """set -eu
export HOME=/tmp GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1 GIT_ALLOW_PROTOCOL=file:http:https
git config --global safe.directory '*'
"""
_RESOLVE = _SETTINGS + 'git ls-remote -- "$1"'
_CLONE = (
    _SETTINGS
    + """git init -q /tmp/clone
cd /tmp/clone
git fetch -q --no-tags --depth=1 "$1" "$2" 2>/dev/null || git fetch -q "$1" '+refs/*:refs/contractor/*'
mkdir -p "/workspace/$3"
git archive --format=tar "$2" | tar -x -C "/workspace/$3"
"""
)
# In the user's own checkout git is only asked for names; nothing that its configuration names may run for that.
SAFE = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "none",  # a missing object is not fetched, by whatever program the configuration names
    "GIT_NO_LAZY_FETCH": "1",
    "HOME": "/nonexistent",
    "GIT_CONFIG_COUNT": "3",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "core.fsmonitor",
    "GIT_CONFIG_VALUE_1": "false",
    "GIT_CONFIG_KEY_2": "core.hooksPath",
    "GIT_CONFIG_VALUE_2": "/dev/null",
}


def is_remote(url: str) -> bool:
    return "://" in url


def is_commit(ref: str) -> bool:
    """Whether a reference is a whole commit's name."""
    return bool(_COMMIT.match(ref))


def hosts_of(url: str) -> tuple[str, ...]:
    """What the proxy must let through to reach a repository; nothing for a path."""
    return (urlsplit(url).netloc.rpartition("@")[2],) if is_remote(url) else ()


def resolve_commit(action: Source, folder: str, store: Store, sandbox: LocalSandbox) -> str:
    """The commit that a reference names now; a commit's own name is itself, and nothing is asked."""
    url, ref = action.git, action.ref
    if is_commit(ref):
        return ref
    process.require_tool("git", "git")
    shown = "" if is_remote(url) else _beside(folder, url)
    argv = ["/bin/sh", "-c", _RESOLVE, "sh", url if is_remote(url) else _SHOWN]
    exit_, output = run_aside(argv, store, sandbox, hosts=hosts_of(url), shown=shown)
    lines = output.decode(errors="replace").strip().splitlines()
    if exit_.code:
        raise Broken(
            f"git cannot read {url}",
            details=tuple(lines[-3:]),
            hint="is it there and reachable? With a commit as `ref` nothing has to be asked",
        )
    refs = {name: commit for commit, _tab, name in (line.partition("\t") for line in lines)}
    for name in (ref, f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in refs:
            return refs[name]
    known = sorted(name.rpartition("/")[2] for name in refs if not name.endswith("^{}"))
    raise Rejected(
        f"{url} has no reference {ref}",
        details=(f"it has: {', '.join(known[:30]) or 'none'}",),
        hint="write a branch, a tag, or a whole commit",
    )


def _beside(folder: str, path: str) -> str:
    found = os.path.abspath(f"{folder}/{path}")
    if not os.path.exists(found):
        raise Rejected(f"the repository {path} is not there: {found}", hint="the path is relative to the specification")
    return found


class Head(NamedTuple):
    """The commit that is checked out in a folder; time: when it was made, seconds since the epoch."""

    commit: str
    time: int


def head_of(path: str) -> Head | None:
    """None when nothing is checked out there, or git is not installed."""
    git = process.which("git")
    if git is None:
        return None
    done = process.run([git, "-C", path, "log", "-1", "--no-show-signature", "--format=%H %ct"], env=SAFE)
    commit, _space, when = done.output.decode(errors="replace").strip().partition(" ")
    return Head(commit, int(when)) if done.code == 0 and is_commit(commit) and when.isdigit() else None


def clone_into_workspace(context: StepContext, action: Source, commit: str) -> Exit:
    """The files of a commit, below `to` in the workspace."""
    process.require_tool("git", "git")
    url = action.git if is_remote(action.git) else _SHOWN
    environment = {"PATH": process.HOST_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if context.action.hosts:
        environment.update(PROXY)
    spec = context.host_spec(["/bin/sh", "-c", _CLONE, "sh", url, commit, action.to], environment)
    if not is_remote(action.git):
        seen = Mount("ro-bind", _SHOWN, context.place.show(_beside(context.options.folder, action.git)))
        spec = msgspec.structs.replace(spec, mounts=(*spec.mounts, seen))
    exit_ = context.run(spec)
    context.place.call("date", {"to": action.to, "epoch": context.plan.epoch})
    context.say(f"commit {commit}")
    return exit_
