"""Sources of a build: a git repository's files in the target, by the target's own git, through the proxy.

Cloned without a checkout, then `checkout` of the path that was asked for (HEAD without one); submodules are tried, and
their failure is only logged. With the fetch service the one commit alone is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

from contractor.buildd.target.files import User
from contractor.buildd.target.preparation import host_of
from contractor.buildd.target.target import Failed, Target, TargetFailed

PACKAGES = ("git", "ca-certificates")
GIT_PROXY = "/usr/local/bin/contractor-git-proxy"
_SCHEMES = ("http", "https", "git")
_REVISION = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\s*\Z")
# git has no CONNECT of its own for git://; perl-base is in every Debian tree.
_GIT_PROXY = b"""\
#!/usr/bin/perl
# git://HOST:PORT through the build's only door: git runs this with HOST and PORT.
use strict; use Socket;
my ($host, $port) = @ARGV;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
connect($s, pack_sockaddr_in(3128, inet_aton("127.0.0.1"))) or die "connect: $!";
syswrite($s, "CONNECT $host:$port HTTP/1.1\\r\\nHost: $host:$port\\r\\n\\r\\n");
my $head = "";
while ($head !~ /\\r\\n\\r\\n/) { sysread($s, my $c, 1) or die "the proxy said nothing\\n"; $head .= $c; }
$head =~ m{^HTTP/1\\.[01] 200} or die "the proxy refused: $head";
my $pid = fork;
if (!$pid) { while (my $n = sysread(STDIN, my $b, 65536)) { syswrite($s, $b); } shutdown($s, 1); exit; }
while (my $n = sysread($s, my $b, 65536)) { syswrite(STDOUT, $b); }
"""


class Sourced(Protocol):
    """The arguments of every build type that has sources."""

    @property
    def branch(self) -> str: ...
    @property
    def git_repository(self) -> str: ...
    @property
    def git_path(self) -> str: ...


def hosts(args: Sourced) -> Iterator[str]:
    """What networked commands must be able to reach to get the sources."""
    yield from host_of(args.git_repository)


def require_git(args: Sourced) -> None:
    """Failed(200) for what this builder has no tool for."""
    if args.branch or getattr(args, "branch_url", ""):
        raise Failed(
            200,
            f"{args.branch or getattr(args, 'branch_url', '')} is a Bazaar branch, and this builder has no Bazaar",
            hint="import the branch into git, and name git_repository",
        )
    require_url(args.git_repository)
    if args.git_path.startswith("-") or "\0" in args.git_path:
        raise Failed(201, f"{args.git_path!r} is no git path")


def require_url(url: str) -> None:
    """Failed(201) for a repository that may not be asked: files of the builder and programs among them."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in _SCHEMES or not list(host_of(url)):
        raise Failed(201, "the repository's URL is none of http, https or git", hint="write https://HOST/PATH")


def environment(target: Target) -> dict[str, str]:
    """What git needs in a command with network."""
    if not target.exists(GIT_PROXY):
        target.write(GIT_PROXY, _GIT_PROXY, 0o755)
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES),
        "GIT_PROXY_COMMAND": GIT_PROXY,
        "SNAPPY_STORE_NO_CDN": "1",
    }


def fetch(target: Target, args: Any, folder: str, *, user: User = "root", shallow: bool = False) -> str:
    """The files of the arguments' repository and path in a folder that is not there yet; the revision's id, which is
    in the extra status then. Failed: 200 without a tool for it, 201 when it cannot be had.
    """
    require_git(args)
    try:
        revision = clone(target, args.git_repository, args.git_path, folder, user=user, shallow=shallow)
    except TargetFailed as error:
        raise Failed(201, f"the sources cannot be fetched: {error.message}") from error
    target.extra(revision_id=revision)
    return revision


def clone(target: Target, url: str, path: str, folder: str, *, user: User = "root", shallow: bool = False) -> str:
    """Clone a repository and check a path out; the id of the revision. TargetFailed: git said no."""
    env = environment(target)
    git = _Git(target, folder, env, user)
    if shallow:
        target.run(["git", "init", "-q", folder], user=user, env=env, check=True)
        git.run("remote", "add", "origin", url)
        git.run("fetch", "--depth=1", "origin", path or "HEAD", network=True)
        git.run("checkout", "-q", "FETCH_HEAD")
        revision = git.id_of("FETCH_HEAD")
    else:
        target.run(["git", "clone", "-n", "--", url, folder], user=user, env=env, network=True, check=True)
        name = git.checkout_name(path)
        git.run("checkout", "-q", name)
        revision = git.id_of(name)
    if target.kind(f"{folder}/.gitmodules", follow=False) == "file":
        depth = ["--depth=1"] if shallow else []
        argv = ["git", "-C", folder, "submodule", "update", "--init", "--recursive", *depth]
        if target.run(argv, user=user, env=env, network=True).code:
            target.log.line("The submodules cannot be fetched; the build goes on without them.")
    return revision


class _Git:
    """git in one clone."""

    def __init__(self, target: Target, folder: str, env: dict[str, str], user: User) -> None:
        self._target = target
        self._folder = folder
        self._env = env
        self._user: User = user

    def run(self, *arguments: str, network: bool = False) -> None:
        argv = ["git", "-C", self._folder, *arguments]
        self._target.run(argv, user=self._user, env=self._env, network=network, check=True)

    def checkout_name(self, path: str) -> str:
        """What checkout takes for a path: a branch's own name, or what was fetched where clones lack the reference."""
        if path.startswith("refs/heads/"):
            return path.removeprefix("refs/heads/")
        if path.startswith("refs/") and not path.startswith("refs/tags/"):
            self.run("fetch", "-q", "origin", path, network=True)
            return "FETCH_HEAD"
        return path or "HEAD"

    def id_of(self, name: str) -> str:
        argv = ["git", "-C", self._folder, "rev-parse", f"{name}^{{}}"]
        found = self._target.run(argv, user=self._user, env=self._env, get_output=True)
        if not _REVISION.match(found):
            raise TargetFailed(argv, 1, found)
        return found.decode().strip()
