"""The tree of a recipe: the base's clone, with other repositories merged into it or nested in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contractor.buildd.builds import vcs
from contractor.buildd.target.target import TargetFailed
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from contractor.buildd.builds.recipe_text import Line
    from contractor.buildd.target.target import Target

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_FIRST = re.compile(r"\s*[a-z0-9][a-z0-9+.-]+ \(([^()\s]+)\)")


class Tree:
    """Makes it, as the build user. commits: by the names of the recipe's lines, "" for the base."""

    def __init__(self, target: Target, author: str, address: str) -> None:
        self._target = target
        who = {"NAME": author or "Builder", "EMAIL": address or "builder@localhost"}
        self._env = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in who.items()}
        self._folders: dict[str, str] = {}
        self.commits: dict[str, str] = {}

    def make(self, line: Line, folder: str) -> None:
        """Clone the base or a nested repository, with all that is below it. TargetFailed: git said no."""
        self._env |= vcs.environment(self._target)
        commit = vcs.clone(self._target, line.url, line.revision, folder, user="buildd")
        self._note(line, folder, commit)
        for below in line.below:
            if below.kind == "nest":
                self.make(below, f"{folder}/{below.target}")
            elif below.kind == "merge":
                self._merge(below, folder)
            else:
                self._nest_part(below, folder)

    def _merge(self, line: Line, folder: str) -> None:
        commit = self._fetch(line, folder)
        message = f"Merge {line.name}"
        argv = ["merge", "-q", "--no-ff", "--no-edit", "-m", message, commit]
        try:
            self._git(folder, *argv)
        except TargetFailed as error:
            raise Rejected(f"{line.name} cannot be merged: it has changes that contradict each other") from error

    def _nest_part(self, line: Line, folder: str) -> None:
        commit = self._fetch(line, folder)
        into = f"{folder}/{line.target}"
        if self._target.kind(into, follow=False) not in ("", "dir"):
            raise Rejected(f"{line.target} is in the way of {line.name}")
        self._run(["mkdir", "-p", into])
        script = 'git -C "$1" archive --format=tar "$2" >"$3.tar" && tar -x -f "$3.tar" -C "$3" && rm "$3.tar"'
        self._run(["/bin/sh", "-c", script, "sh", folder, f"{commit}:{line.part}", into])

    def _fetch(self, line: Line, folder: str) -> str:
        """The objects of a line's repository; the commit that its revision is."""
        if not line.revision:
            self._git(folder, "fetch", "-q", "--no-tags", line.url, "HEAD", network=True)
            names = ["FETCH_HEAD"]
        else:
            place = f"refs/recipe/{line.name}"
            refs = [f"+refs/heads/*:{place}/heads/*", f"+refs/tags/*:{place}/tags/*"]
            self._git(folder, "fetch", "-q", "--no-tags", line.url, *refs, network=True)
            plain = line.revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
            names = [f"{place}/heads/{plain}", f"{place}/tags/{plain}"]
            names += [line.revision] if re.fullmatch(r"[0-9a-f]{4,64}", line.revision) else []
        for name in names:
            try:
                commit = self._ask(folder, "rev-parse", "-q", "--verify", f"{name}^{{commit}}")
            except TargetFailed:
                continue
            if _COMMIT.match(commit):
                self._note(line, folder, commit)
                return commit
        raise Rejected(f"{line.name}: its repository has no {line.revision or 'HEAD'}")

    def _note(self, line: Line, folder: str, commit: str) -> None:
        self.commits[line.name] = commit
        self._folders[line.name] = folder

    def commit(self, name: str) -> str:
        return self.commits[name]

    def look(self, variable: str, name: str) -> str:
        """See recipe_text.Look."""
        if name not in self.commits:
            raise KeyError(f"the recipe has no repository {name}")
        commit, folder = self.commits[name], self._folders[name]
        if variable == "git-commit":
            return commit
        try:
            if variable == "revno":
                return self._ask(folder, "rev-list", "--count", commit)
            if variable == "revtime":
                return self._ask(folder, "log", "-1", "--no-show-signature", "--format=%ct", commit)
            if variable == "latest-tag":
                return self._ask(folder, "describe", "--tags", "--abbrev=0", commit)
            found = _FIRST.match(self._ask(folder, "show", f"{commit}:debian/changelog"))
        except TargetFailed as error:
            raise KeyError(f"git cannot tell the {variable} of {name or 'the base'}") from error
        if found is None:
            raise KeyError(f"{name} has no version in debian/changelog")
        return found[1]

    def _git(self, folder: str, *arguments: str, network: bool = False) -> None:
        self._run(["git", "-C", folder, *arguments], network=network)

    def _run(self, argv: list[str], *, network: bool = False) -> None:
        self._target.run(argv, user="buildd", env=self._env, network=network, check=True)

    def _ask(self, folder: str, *arguments: str) -> str:
        argv = ["git", "-C", folder, *arguments]
        found = self._target.run(argv, user="buildd", env=self._env, get_output=True, echo=False)
        return found.decode("utf-8", "replace").strip()
