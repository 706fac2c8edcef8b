"""What the types that build from a repository share: the source in the target, places in it, what a tool needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from contractor.buildd.builds import vcs
from contractor.buildd.sanitize import clean
from contractor.buildd.target.preparation import install
from contractor.buildd.target.target import Failed, Target
from contractor.core.errors import OutOfLimits, Rejected

if TYPE_CHECKING:
    from contractor.buildd.arguments import Proxied

TOP = "/build"
_MOST_GIT_FILES = 5_000_000
_CONFIG_MAX = 1 << 20
PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin")


def check_out(target: Target, arguments: Proxied, name: str) -> str:
    """Fetch the source to a folder of the target, which is returned."""
    vcs.require_git(arguments)
    target.allow = tuple(dict.fromkeys([*target.allow, *vcs.hosts(arguments)]))
    if not program(target, "git"):
        install(target, vcs.PACKAGES)
    folder = f"{TOP}/{name}"
    vcs.fetch(target, arguments, folder, shallow=arguments.use_fetch_service)
    if "@" in arguments.git_repository:
        _forget_credentials(target, folder)
    return folder


def _forget_credentials(target: Target, folder: str) -> None:
    """git keeps the URL of the clone and of its submodules in files that a build could put into what it makes."""
    for name in target.call("files", path=f"{folder}/.git", limit=_MOST_GIT_FILES):
        path = f"{folder}/.git/{os.fsdecode(name)}"
        if path.endswith("/config"):
            before = target.read(path, _CONFIG_MAX)
            if (after := clean(before)) != before:
                target.write(path, after)


def commit_time(target: Target, folder: str) -> int:
    """When the commit that is checked out was made, in seconds since 1970."""
    argv = ["git", "-C", folder, "log", "-1", "--format=%ct"]
    found = target.run(argv, get_output=True, echo=False).strip()
    return int(found) if found.isdigit() else 0


@contextlib.contextmanager
def blame_source() -> Iterator[None]:
    """What is rejected inside is the author's to mend: PACKAGEFAIL."""
    try:
        yield
    except (Rejected, OutOfLimits) as error:
        raise package_fail(error.message, *error.details, hint=error.hint) from error


def package_fail(text: str, *details: str, hint: str = "") -> Failed:
    failed = Failed("PACKAGEFAIL", text)
    failed.details = details
    failed.hint = hint
    return failed


def folder_in(target: Target, top: str, path: str, what: str) -> str:
    """A folder of the source that the author names; PACKAGEFAIL when it is none, or leads out, by links as well."""
    found = find(target, top, path, what)
    if found != "dir":
        raise package_fail(f"{what}: there is no folder {path!r} in the source")
    return join(top, path)


def find(target: Target, top: str, path: str, what: str) -> str:
    """What is at a path of the source, as Target.kind says; PACKAGEFAIL when it leads out, by links as well."""
    kind = target.call("below", top=top, path=path)
    if kind is None:
        raise package_fail(f"{what}: {path!r} leads out of the source")
    return str(kind)


def join(top: str, path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join([top, *parts])


def program(target: Target, name: str) -> str:
    """Where the image has a program, or nothing."""
    return next((f"{folder}/{name}" for folder in PROGRAMS if target.kind(f"{folder}/{name}") == "file"), "")


def say_channels(target: Target, channels: dict[str, str]) -> None:
    """Channels name snaps, which cannot be installed here: what is in the image is used, and that is said."""
    if channels:
        wanted = ", ".join(f"{name} from {channel}" for name, channel in sorted(channels.items()))
        target.log.line(f"Snaps cannot be installed in this target ({wanted}): what the image has is used.")


def collect(target: Target, folder: str, endings: Sequence[str]) -> list[str]:
    """Regular files of a folder with one of these endings become results; their names."""
    found = []
    for name in target.list(folder):
        if name.endswith(tuple(endings)) and target.result(f"{folder}/{name}", name):
            found.append(name)
    return found
