"""What a build says while it runs: frozen events, and their JSON-lines codec (docs/reference/events.md).

`execute()` emits them; the console renders them for people and `--events FILE` stores them, from the same stream.
Times are seconds since the epoch, durations seconds, sizes bytes. A line is `{"v": 1, "event": "step-started", ...}`.
New fields and events may be added; a reader must ignore what it does not know. `v` changes when a meaning does.
"""

from __future__ import annotations

import msgspec

from contractor.core.errors import Outcome
from contractor.core.values import Value

VERSION = 1


class StepInfo(Value, frozen=True):
    """A step as the plan shows it: its place and network are the action table's words."""

    name: str
    action: str
    place: str
    network: str
    key: str


class ArtifactInfo(Value, frozen=True):
    """A finished artifact: digest is the sha256 of the uncompressed archive, size its bytes."""

    name: str
    digest: str
    size: int
    files: int
    stored: int  # bytes in the store, compressed
    format: str = "tar.zst"
    path: str = ""  # where it was copied to, with -o
    copy: dict[str, str] = {}  # the copy's digests: sha256 of a file, dirHash and gitTree of a folder


class Event(Value, frozen=True, tag_field="event", kw_only=True):
    """The base: when it happened, and in which build. A base's build runs inside another's, with its own id."""

    at: float
    build: str


class BuildStarted(Event, frozen=True, tag="build-started"):
    name: str
    arch: str
    plan: str  # the plan's digest
    tier: str  # the isolation that is used: see `contractor doctor`
    steps: tuple[StepInfo, ...]
    matrix: dict[str, str] = {}
    parent: str = ""  # the build that this one is a base of
    record: str = ""  # the folder of the record and the log


class StepStarted(Event, frozen=True, tag="step-started"):
    step: int  # index in BuildStarted.steps
    reason: str = ""  # why it runs
    log_start: int = 0  # where its part of the log begins, in bytes


class StepCached(Event, frozen=True, tag="step-cached"):
    step: int
    reason: str = ""
    made_by: str = ""  # the build that ran it, whose log has what it wrote


class StepSkipped(Event, frozen=True, tag="step-skipped"):
    """A step that had begun has not run, as was asked: there was a shell instead of it."""

    step: int
    reason: str = ""


class StepOutput(Event, frozen=True, tag="step-output"):
    """Bytes that a step wrote, as they came (base64 in JSON); may begin or end inside a character."""

    step: int
    data: bytes


class StepFetched(Event, frozen=True, tag="step-fetched"):
    """A request of a step passed the proxy, or was refused by it."""

    step: int
    method: str
    url: str
    verdict: str  # allowed, refused, failed
    status: int = 0
    size: int = 0
    sha256: str = ""
    reason: str = ""


class ShellStarted(Event, frozen=True, tag="shell-started"):
    """A person has a shell in the sandbox of a step; the terminal is theirs until it ends."""

    step: int
    why: str
    leave: str  # what leaving it does
    command: str = ""  # what the step runs, for a shell's command line; empty when it runs none
    network: str = ""  # the hosts that can be reached, or "none"


class ShellFinished(Event, frozen=True, tag="shell-finished"):
    """changed: how many files of the workspace (and the tree, where it can be written) are not as they were."""

    step: int
    code: int
    changed: int


class StepFinished(Event, frozen=True, tag="step-finished"):
    step: int
    outcome: Outcome
    seconds: float
    message: str = ""


class ArtifactStored(Event, frozen=True, tag="artifact-stored"):
    step: int
    artifact: ArtifactInfo


class Notice(Event, frozen=True, tag="notice"):
    """Something that a person should know: a limit that is only watched, a wait and what it waits for."""

    text: str
    level: str = "info"  # info, warning, wait (until the next event of the build)
    step: int = -1


class BuildFinished(Event, frozen=True, tag="build-finished"):
    outcome: Outcome
    seconds: float
    artifacts: tuple[ArtifactInfo, ...] = ()
    step: int = -1  # the step that decided the outcome, when one did
    message: str = ""
    details: tuple[str, ...] = ()
    hint: str = ""
    record: str = ""
    tainted: str = ""  # why some of what was made is not what its key says


AnyEvent = (
    BuildStarted
    | StepStarted
    | StepCached
    | StepSkipped
    | StepOutput
    | StepFetched
    | ShellStarted
    | ShellFinished
    | StepFinished
    | ArtifactStored
    | Notice
    | BuildFinished
)


def encode(event: AnyEvent) -> bytes:
    """One line of JSON, with its newline."""
    return b'{"v":%d,' % VERSION + msgspec.json.encode(event)[1:] + b"\n"


class Decoder:
    """Lines of JSON to events; an unknown event or version is a ValueError."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(AnyEvent)

    def decode(self, line: bytes) -> AnyEvent:
        prefix = b'{"v":%d,' % VERSION
        if not line.startswith(prefix):
            raise ValueError(f"not an event of version {VERSION}: {line[:60]!r}")
        event: AnyEvent = self._decoder.decode(b"{" + line[len(prefix) :])
        return event
