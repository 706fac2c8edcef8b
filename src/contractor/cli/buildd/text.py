"""What the client of builders shows: nothing that came from a builder reaches the terminal as it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

from contractor.buildd.client.answers import Status, Unfit, ci_jobs
from contractor.buildd.client.results import End
from contractor.buildd.model import BuildStatus
from contractor.cli.text import clean_lines, human_size, sanitize, table

_LONGEST = 64 << 10  # bytes of a line that are held until it ends

MEANING = {
    BuildStatus.OK: "built",
    BuildStatus.PACKAGEFAIL: "the package's own build failed",
    BuildStatus.DEPFAIL: "it waits for other packages",
    BuildStatus.CHROOTFAIL: "the image or its package archives failed",
    BuildStatus.BUILDERFAIL: "the builder failed",
    BuildStatus.GIVENBACK: "the builder gave it back: try again, or elsewhere",
    BuildStatus.ABORTED: "aborted",
}


class Screen:
    """Standard error, for a person or a pipe: the log in whole lines, and what the client says between them."""

    def __init__(self, *, quiet: bool = False, colour: bool = False) -> None:
        """quiet: the log is not shown."""
        self._quiet = quiet
        self._bold, self._off = ("\x1b[1m", "\x1b[0m") if colour else ("", "")
        self._half = b""
        self._logged = False
        self._lock = threading.Lock()  # the log comes from another thread

    def say(self, text: str) -> None:
        with self._lock:
            self._flush()
            self._write([f"{self._bold}contractor:{self._off} {sanitize(text)}"])

    def log(self, data: bytes) -> None:
        if self._quiet:
            return
        with self._lock:
            self._logged = True
            *whole, self._half = (self._half + data).split(b"\n")
            self._write([sanitize(line) for line in whole])
            if len(self._half) > _LONGEST:
                self._flush()

    def end(self) -> None:
        """Show a last line that has no end, and set what follows apart from the log."""
        with self._lock:
            self._flush()
            if self._logged:
                self._write([""])

    def _flush(self) -> None:
        if self._half:
            half, self._half = self._half, b""
            self._write([sanitize(half)])

    def _write(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        encoding = sys.stderr.encoding or "ascii"
        sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
        sys.stderr.flush()


def status_lines(url: str, status: Status) -> Iterator[str]:
    """A builder's state for people."""
    rows = [("builder", url), ("state", status.state.value)]
    rows += [("version", status.version)] if status.version else []
    rows += [("build", status.build)] if status.build else []
    rows += [("ended", f"{status.ended.value}: {MEANING[status.ended]}")] if status.ended else []
    rows += [("needs", status.dependencies)] if status.dependencies else []
    rows += [(name, value) for name, value in status.extra.items() if isinstance(value, str)]
    yield from table([(sanitize(name), sanitize(text)) for name, text in rows])
    if status.files:
        yield ""
        yield from table([(sanitize(key), sanitize(name)) for name, key in status.files.items()])
    try:
        jobs = ci_jobs(status.extra)
    except Unfit:
        jobs = []
    if jobs:
        yield ""
        yield from table([(sanitize(job.name), sanitize(job.result)) for job in jobs])
    if status.tail:
        yield ""
        yield from (f"  {line}".rstrip() for line in clean_lines(status.tail.lstrip(b"\n")))


def end_lines(end: End) -> Iterator[str]:
    """How a build ended, and what is here now."""
    yield f"{end.status.value}: {MEANING[end.status]}"
    if end.dependencies:
        yield f"it needs {sanitize(end.dependencies)}"
    revision = end.extra.get("revision_id")
    if isinstance(revision, str):
        yield f"revision {sanitize(revision)}"
    rows = [(f"  {sanitize(file.path)}", human_size(file.size), file.digest) for file in end.fetched]
    yield from table(rows, right=(1,))
    if not rows and end.status is BuildStatus.OK:
        yield "  it left no files"
    if end.log:
        yield f"  {sanitize(end.log)}  the log"


def end_json(build: str, url: str, end: End, exit_code: int) -> dict[str, object]:
    """For --json."""
    files = [{"name": f.name, "path": f.path, "digest": f.digest, "size": f.size} for f in end.fetched]
    return {
        "version": 1,
        "url": url,
        "build_id": build,
        "build_status": end.status.value,
        "exit_code": exit_code,
        "dependencies": end.dependencies,
        "files": files,
        "log": end.log,
    }
