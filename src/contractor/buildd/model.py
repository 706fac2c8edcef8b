"""The builder's vocabulary: its states, how builds end, and what travels between the daemon and a worker.

The names are those of launchpad-buildd's protocol 1.0; on the wire a state is `BuilderStatus.IDLE`, a build's end
`BuildStatus.OK`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from contractor.core.values import Value

PROTOCOL = "1.0"
ABORT_TIMEOUT = 120.0  # seconds that an abort may take; the manager gives up after 180


class BuilderState(StrEnum):
    """What the builder is doing."""

    IDLE = "IDLE"
    BUILDING = "BUILDING"
    WAITING = "WAITING"
    ABORTING = "ABORTING"

    @property
    def wire(self) -> str:
        return f"BuilderStatus.{self.value}"


class BuildStatus(StrEnum):
    """How a build ended."""

    OK = "OK"
    DEPFAIL = "DEPFAIL"
    GIVENBACK = "GIVENBACK"
    PACKAGEFAIL = "PACKAGEFAIL"
    CHROOTFAIL = "CHROOTFAIL"
    BUILDERFAIL = "BUILDERFAIL"
    ABORTED = "ABORTED"

    @property
    def wire(self) -> str:
        return f"BuildStatus.{self.value}"

    @property
    def has_files(self) -> bool:
        """Whether status() tells `filemap` and `dependencies`."""
        return self in (BuildStatus.OK, BuildStatus.PACKAGEFAIL, BuildStatus.DEPFAIL)


class Job(Value, frozen=True):
    """What a worker is given, as one JSON document on its standard input.

    image, cache, store: paths. image_name: the image's name in the cache. files: name in the build -> path in the
    cache. arguments: as `arguments.check` left them. log, events: descriptors that the worker inherits. share_path: an
    installation's folder whose bin/builder-prep and bin/in-target are used where they exist, or "". settings: of the
    configuration, as `Configuration.settings` names them. home: where in-target makes its trees; "": the user's own.
    """

    id: str
    tag: str
    image: str
    image_name: str
    files: dict[str, str]
    arguments: dict[str, Any]
    cache: str
    store: str
    log: int
    events: int
    architecture: str
    abort_timeout: float = ABORT_TIMEOUT
    share_path: str = ""
    settings: dict[str, str] = {}
    home: str = ""


class Outcome(Value, frozen=True):
    """How a build ended. files: name -> the sha1 under which it is in the cache. dependencies: what DEPFAIL waits for,
    as apt would write it."""

    status: BuildStatus
    files: dict[str, str] = {}
    dependencies: str = ""


class Event(Value, frozen=True):
    """A line that a worker writes to its events descriptor, as JSON; one of these is set.

    step: that has begun, like UNPACK. extra: the whole extra status, anew at each change. ended: the last line; the
    files are in the cache by then, each announced (cache.announce) before it got its name. Whatever else a worker has
    in the cache begins with a dot: nobody is served that, and what is left of it goes when the daemon starts.
    """

    step: str | None = None
    extra: dict[str, Any] | None = None
    ended: Outcome | None = None
