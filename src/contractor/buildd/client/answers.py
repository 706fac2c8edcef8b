"""What a builder says, as values. Everything in its answers may be anything, so everything is looked at."""

from __future__ import annotations

import re
from typing import Any

from contractor.buildd.model import BuilderState, BuildStatus
from contractor.core.values import Value

_KEYS = frozenset(
    ("builder_status", "builder_version", "build_status", "build_id", "logtail", "filemap", "dependencies")
)
_DIGESTS = {40: "sha1", 64: "sha256"}


class Unfit(ValueError):
    """An answer of the wrong shape; says what is wrong."""


class Info(Value, frozen=True):
    """types: the tags of the build types."""

    protocol: str
    architecture: str
    types: list[str]


class Presence(Value, frozen=True):
    """An answer to ensurepresent: whether the file is in the cache now, and the builder's words about it."""

    present: bool
    info: str


class Status(Value, frozen=True):
    """files: name -> the name in the file cache, nearly always a sha1; None when the builder gave no filemap.

    tail: the end of the log, at most 2048 bytes. extra: what the build's own steps tell, such as revision_id.
    """

    state: BuilderState
    version: str = ""
    build: str = ""
    ended: BuildStatus | None = None
    files: dict[str, str] | None = None
    dependencies: str = ""
    tail: bytes = b""
    extra: dict[str, Any] = {}

    @property
    def is_idle(self) -> bool:
        return self.state is BuilderState.IDLE

    @property
    def words(self) -> str:
        """As "WAITING with PB-7 (OK)"."""
        with_build = f" with {self.build}" if self.build else ""
        return f"{self.state.value}{with_build}" + (f" ({self.ended.value})" if self.ended else "")


def read_info(value: Any) -> Info:
    if not isinstance(value, list) or len(value) != 3:
        raise Unfit("info is not [version, architecture, build types]")
    protocol, architecture, types = value
    return Info(_text(protocol, "version"), _text(architecture, "architecture"), _texts(types, "build types"))


def read_presence(value: Any) -> Presence:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], bool | int):
        raise Unfit("ensurepresent is not [present, info]")
    return Presence(bool(value[0]), _text(value[1], "info"))


def read_reply(value: Any) -> tuple[str, str]:
    """Of build(): BUILDING, UNKNOWNBUILDER or UNKNOWNSUM, and a text."""
    if not isinstance(value, list) or len(value) != 2:
        raise Unfit("build is not [state, text]")
    return _word(value[0], "BuilderStatus."), _text(value[1], "text")


def read_state(value: Any) -> str:
    """Of abort() and clean()."""
    return _word(value, "BuilderStatus.")


def read_status(value: Any) -> Status:
    if not isinstance(value, dict):
        raise Unfit("status is no struct")
    ended = value.get("build_status")
    files = value.get("filemap")
    return Status(
        state=_state(_word(value.get("builder_status"), "BuilderStatus.")),
        version=_optional(value, "builder_version"),
        build=_optional(value, "build_id"),
        ended=None if ended is None else _end(_word(ended, "BuildStatus.")),
        files=None if files is None else _files(files, "filemap"),
        dependencies=_optional(value, "dependencies"),
        tail=_tail(value.get("logtail")),
        extra={name: item for name, item in value.items() if name not in _KEYS},
    )


class CiJob(Value, frozen=True):
    """What a job of a ci build left, as in Status.files. files: its log and its properties."""

    name: str
    result: str
    files: dict[str, str]
    output: dict[str, str]


def ci_jobs(extra: dict[str, Any]) -> list[CiJob]:
    """The jobs of a ci build's extra status; raises Unfit."""
    jobs = extra.get("jobs", {})
    if not isinstance(jobs, dict):
        raise Unfit("jobs is no struct")
    found = []
    for name, job in jobs.items():
        if not isinstance(job, dict):
            raise Unfit(f"jobs: {name[:80]!r} is no struct")
        files = {kind: job[kind] for kind in ("log", "properties") if job.get(kind) is not None}
        output = _files(job.get("output") or {}, "output")
        found.append(CiJob(name, _optional(job, "result"), _files(files, name), output))
    return found


def digest_kind(name: str) -> str:
    """ "sha1" or "sha256" for a name in the file cache that is one, else ""."""
    return _DIGESTS.get(len(name), "") if re.fullmatch(r"[0-9a-f]+", name) else ""


def _files(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Unfit(f"{what} is no struct")
    return {name: _text(item, f"{what}: {name[:80]!r}") for name, item in value.items()}


def _text(value: Any, what: str) -> str:
    if isinstance(value, bytes):  # some send Binary where the page says string
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise Unfit(f"{what} is no text")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, list):
        raise Unfit(f"{what} is no array")
    return [_text(item, what) for item in value]


def _optional(value: dict[str, Any], name: str) -> str:
    return "" if value.get(name) is None else _text(value[name], name)


def _word(value: Any, prefix: str) -> str:
    if not isinstance(value, str) or not value.startswith(prefix):
        raise Unfit(f"{str(value)[:80]!r} is not {prefix}...")
    return value[len(prefix) :]


def _tail(value: Any) -> bytes:
    if value is None:
        return b""
    return _text(value, "logtail").encode() if not isinstance(value, bytes) else value


def _state(word: str) -> BuilderState:
    try:
        return BuilderState(word)
    except ValueError:
        raise Unfit(f"there is no builder status {word[:80]!r}") from None


def _end(word: str) -> BuildStatus:
    try:
        return BuildStatus(word)
    except ValueError:
        raise Unfit(f"there is no build status {word[:80]!r}") from None
