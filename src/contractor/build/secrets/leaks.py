"""What has a secret in it is not stored: not as a state of the workspace, not as an artifact, not for diagnosis."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from contractor.build.secrets.secrets import Secrets
from contractor.core.errors import Rejected
from contractor.core.words import count

if TYPE_CHECKING:
    from contractor.build.place import Place

_SHOWN = 5


class Leaked(Rejected):
    """A step, or what was to be stored of it, has a secret in it."""


class Leak(NamedTuple):
    """path: in the workspace; secret: its name; how: where in the file and in which form, "" for as it is."""

    path: bytes
    secret: str
    how: str


def find_leaks(
    place: Place, secrets: Mapping[str, bytes], *, paths: Sequence[bytes] | None = None, changed: bool = False
) -> list[Leak]:
    """In the workspace: all of it, these paths, or only what changed since its last state."""
    if not secrets or not place.started:
        return []
    found = place.call("leaks", {"secrets": dict(secrets), "paths": paths, "changed": changed})
    return [Leak(*leak) for leak in found]


def require_none_left(place: Place, secrets: Mapping[str, bytes]) -> None:
    """Of what a step with these secrets left in the workspace, before it is stored. Leaked: they are in it."""
    found = find_leaks(place, secrets, changed=True)
    if found:
        raise Leaked(
            f"the step left the secret {found[0].secret} in the workspace: {in_words(found[0], secrets)}",
            details=more(found, secrets),
            hint="the workspace is stored after each step: write it below /tmp, or remove it in the same step",
        )


def require_none_packed(place: Place, secrets: Mapping[str, bytes], paths: Sequence[bytes] | None, name: str) -> None:
    """Of an artifact, before it is made. Leaked: secrets of the build would be in it."""
    found = find_leaks(place, secrets, paths=paths)
    if found:
        raise Leaked(
            f"the secret {found[0].secret} would be in the artifact {name}: {in_words(found[0], secrets)}",
            details=more(found, secrets),
            hint="an artifact is for others: leave the file out with `files:`, or make it without the secret",
        )


def in_words(leak: Leak, secrets: Mapping[str, bytes]) -> str:
    """The file, with the secret taken out of its name, and how it is there."""
    path = Secrets(secrets).hide(os.fsdecode(leak.path)) or "the workspace's folder itself"
    return f"{path} ({leak.how})" if leak.how else path


def more(found: Sequence[Leak], secrets: Mapping[str, bytes]) -> tuple[str, ...]:
    """The others, a line each."""
    rest = [f"{leak.secret} also in {in_words(leak, secrets)}" for leak in found[1:_SHOWN]]
    return (*rest, f"and in {count(len(found) - _SHOWN, 'more file')}") if len(found) > _SHOWN else tuple(rest)


def may_be_kept(place: Place, secrets: Mapping[str, bytes], tell: Callable[[str], None]) -> bool:
    """Whether the workspace, which somebody wants to have, may stay; `tell` gets the reason when it may not."""
    found = find_leaks(place, secrets)
    if found:
        what = f"it has the secret {found[0].secret}: {in_words(found[0], secrets)}"
        tell(f"the workspace is not kept, for {what}")
    return not found
