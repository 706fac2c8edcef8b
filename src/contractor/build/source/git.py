"""git as a source: a reference resolved to a commit, and that commit's files; git itself runs in bwrap.

A URL is asked through the recording proxy, its host alone allowed. A path (a repository or a bundle beside the
specification) is shown read-only, without any network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from contractor.build.aside import aside, run_aside
from contractor.build.context import StepContext
from contractor.build.network import Access, Door
from contractor.build.options import Made, Options
from contractor.build.place import Place
from contractor.build.source.git_archive import archive_of, keep_archive
from contractor.core.errors import Broken, ContractorError, Failed, Rejected, Unavailable
from contractor.core.fetch import Fetch
from contractor.core.words import count
from contractor.plan.environment import PROXY
from contractor.sandbox import process
from contractor.sandbox.hosttree import mounts
from contractor.sandbox.local import LocalSandbox
from contractor.sandbox.spec import Caller, Exit, Mount, SandboxSpec
from contractor.sandbox.stage import WORKSPACE
from contractor.spec.model import Limits, Source
from contractor.store.layout import Store
from contractor.store.results import artifact_path

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
git cat-file -e "$2^{commit}" 2>/dev/null || exit 66
git archive --format=tar "$2" | tar -x -C /workspace
"""
)
_NO_COMMIT = 66
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


def resolve_commit(action: Source, folder: str, store: Store, sandbox: LocalSandbox, upstream: str = "") -> str:
    """The commit that a reference names now; a commit's own name is itself, and nothing is asked."""
    url, ref = action.git, action.ref
    if is_commit(ref):
        return ref
    process.require_tool("git", "git")
    shown = "" if is_remote(url) else _beside(folder, url)
    argv = ["/bin/sh", "-c", _RESOLVE, "sh", url if is_remote(url) else _SHOWN]
    exit_, output = run_aside(argv, store, sandbox, hosts=hosts_of(url), shown=shown, upstream=upstream)
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


def clone_into_workspace(context: StepContext, action: Source, commit: str) -> Made:
    """The files of a commit, below `to` in the workspace: out of the store, where they are once they were fetched."""
    digest = archive_of(context.store, commit)
    if digest and context.before is not None:
        context.before(None)  # nothing runs, but somebody may want a shell here
    if not digest:
        digest = _clone(context, action, commit)
    limits = context.limits
    args = {"to": action.to, "max_bytes": limits.disk, "max_files": limits.files, "own": True}
    with open(artifact_path(context.store, digest), "rb") as blob:
        done = context.place.call("unpack", args, [blob.fileno()])
    context.place.call("date", {"to": action.to, "epoch": context.plan.epoch})
    context.say(f"commit {commit}, {count(done['files'], 'file')}")
    return Made(exit=context.exit, blobs=(digest,))


def _clone(context: StepContext, action: Source, commit: str) -> str:
    """Fetch a commit in a place of its own, and keep its archive, whose digest is returned."""
    folder = context.options.folder
    if context.options.offline and is_remote(action.git):
        raise Unavailable(
            f"the build runs offline, and commit {commit} of {action.git} is not in the store",
            hint="build once with the network, or import a capsule that has it",
        )
    spec = _clone_spec(action, commit, context.limits, _shown(action, folder, context.place))
    with aside(context.store, context.place.sandbox) as place:
        _shown(action, folder, place)
        try:
            context.run(spec, place)
        except Failed as error:
            raise _why_not(action, commit, error, context.exit, context.fetches) from error
        return keep_archive(context.store, commit, place)


def clone_aside(action: Source, commit: str, folder: str, local: tuple[Store, LocalSandbox], options: Options) -> str:
    """The files of a commit into the store, outside of any build; the digest of their archive."""
    store, sandbox = local
    output, fetches = bytearray(), list[Fetch]()
    with aside(store, sandbox) as place:
        spec = _clone_spec(action, commit, Limits(), _shown(action, folder, place))
        with Door(Access(hosts_of(action.git), options.upstream_proxy), fetches.append) as door:
            exit_ = place.run(spec, Caller(output.extend, door.open, options.tick))
        if exit_.code:
            last = output.decode(errors="replace").strip().splitlines()[-3:]
            error = Failed(f"git failed with exit code {exit_.code}", details=tuple(last))
            raise _why_not(action, commit, error, exit_, fetches)
        return keep_archive(store, commit, place)


def _shown(action: Source, folder: str, place: Place) -> str:
    """Where the place shows a repository beside the specification; "" for a URL."""
    return "" if is_remote(action.git) else place.show(_beside(folder, action.git))


def _clone_spec(action: Source, commit: str, limits: Limits, shown: str) -> SandboxSpec:
    process.require_tool("git", "git")
    seen = (Mount("ro-bind", _SHOWN, shown),) if shown else ()
    environment = {"PATH": process.HOST_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return SandboxSpec(
        argv=("/bin/sh", "-c", _CLONE, "sh", _SHOWN if shown else action.git, commit),
        mounts=(*mounts(), Mount("bind", "/workspace", WORKSPACE), *seen),
        env={**environment, **({} if shown else PROXY)},
        limits=limits,
        network=not shown,
    )


def _why_not(
    action: Source, commit: str, error: Failed, exit_: Exit | None, fetches: Sequence[Fetch]
) -> ContractorError:
    if exit_ is not None and exit_.code == _NO_COMMIT:
        return Rejected(
            f"{action.git} has no commit {commit}",
            details=(f"{action.ref} was this commit when it was locked",) if action.ref != commit else (),
            hint="was it removed there, or never pushed? `contractor lock --update` takes what the reference is now",
        )
    trouble = [fetch for fetch in fetches if fetch.verdict != "allowed" or fetch.status >= 400]
    if trouble:
        return Broken(
            f"{error.message}: {action.git} did not answer as it should",
            details=tuple(f"{fetch.url}: {fetch.reason or fetch.status}" for fetch in trouble[:5]),
            hint="is it up, and may it be read without a password? Building again continues here",
        )
    return error
