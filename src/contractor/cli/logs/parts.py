"""Where in which log file the output of a step is, and the bytes and lines of such a part.

A step that did not run has no part in its build's log: what it wrote is in the log of the build that ran it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from contractor.cli.output import talk
from contractor.cli.text import sanitize
from contractor.core.errors import Broken, Rejected
from contractor.plan.find import find_step
from contractor.store.layout import Store
from contractor.store.progress import so_far
from contractor.store.records import Record, Records, StepRecord

PIECE = 1 << 16


class Part(NamedTuple):
    """Bytes start..end of a log file. title: what stands over it on a terminal.

    build, step, name: the step that was asked for, its number from 1 or 0. first: the number of its first line.
    """

    path: str
    start: int
    end: int
    title: str
    build: str = ""
    step: int = 0
    name: str = ""
    first: int = 1


def chosen_parts(record: Record, store: Store, step: str | None) -> list[Part]:
    """The part of a step, or of all steps in order. Rejected: no such step, or its log is gone.

    record: as `so_far` gives it, where the build has not ended.
    """
    if step is not None:
        index = position(record, step)
        part = part_of(record, index, store)
        made_by = record.steps[index].made_by
        if made_by:
            talk(f"note: step {index + 1} was cached here; this is what it wrote in {made_by}")
        elif part.end <= part.start:
            talk(f"note: step {index + 1} wrote nothing" + _bases(record))
        return [part]
    if record.outcome == "running" and all(found.outcome == "not run" for found in record.steps):
        path = log_path(store, record.id)
        return [Part(path, 0, os.path.getsize(path) if os.path.exists(path) else 0, "the log so far", record.id)]
    parts = []
    for index, found in enumerate(record.steps):
        if found.outcome == "not run":
            continue
        try:
            parts.append(part_of(record, index, store))
        except Rejected as error:
            talk(f"note: {error.message}")
    return parts


def _bases(record: Record) -> str:
    """Where to look instead when a base was built for it: its steps have a log of their own."""
    return "".join(f"; `contractor log {sanitize(build)}` is that of the base" for build in record.bases.values())


def position(record: Record, text: str) -> int:
    """The index of the step that is meant by a number, from 1, a name, or the beginning of one. Rejected: none is."""
    return find_step([step.name for step in record.steps], text, f"the build {record.id}")


def part_of(record: Record, index: int, store: Store) -> Part:
    """A step's part, in the log of the build that ran it. Rejected: that build's log is gone."""
    step = record.steps[index]
    title = f"{index + 1}. {sanitize(step.name)}"
    if step.outcome == "not run":
        again = (
            "`contractor log --follow` waits for it" if record.outcome == "running" else "`contractor show` says why"
        )
        raise Rejected(f"step {title} was not reached in this build", hint=again)
    if not step.made_by:
        path = log_path(store, record.id)
        return Part(path, step.log_start, step.log_end, title, record.id, index + 1, step.name)
    origin = _ran(step, store)
    if origin is None or not os.path.exists(log_path(store, step.made_by)):
        raise Rejected(
            f"the log of step {title} is gone with the record of {step.made_by}, the build that ran it",
            hint="`contractor build --fresh` runs every step again",
        )
    title = f"{title} (ran in {step.made_by})"
    path = log_path(store, step.made_by)
    return Part(path, origin.log_start, origin.log_end, title, record.id, index + 1, step.name)


def _ran(step: StepRecord, store: Store) -> StepRecord | None:
    """The same action in the record of the build that ran it."""
    records = Records(store)
    try:
        record = so_far(records, records.read(step.made_by))
    except (Rejected, Broken):
        return None
    return next((found for found in record.steps if found.key == step.key and not found.made_by), None)


def log_path(store: Store, build: str) -> str:
    return f"{Records(store).folder(build)}/log"


def pieces(part: Part) -> Iterator[bytes]:
    """A part's bytes; fewer when the file is shorter than its record says."""
    if part.end <= part.start:
        return
    try:
        with open(part.path, "rb") as file:
            file.seek(part.start)
            left = part.end - part.start
            while left and (data := file.read(min(left, PIECE))):
                left -= len(data)
                yield data
    except FileNotFoundError as error:
        raise Rejected(f"the log is gone: {part.path}", hint="`contractor list` shows the builds") from error
    except OSError as error:
        raise Broken(f"the log cannot be read: {part.path}: {error.strerror}") from error


def tail(parts: list[Part], number: int) -> list[Part]:
    """What of the parts holds the last `number` lines."""
    found: list[Part] = []
    for part in reversed(parts):
        if number <= 0:
            break
        start, lines = _tail_start(part, number)
        found.append(part._replace(start=start, first=part.first + _lines_before(part, start)))
        number -= lines
    return found[::-1]


def _lines_before(part: Part, end: int) -> int:
    return sum(data.count(b"\n") for data in pieces(part._replace(end=end)))


def _tail_start(part: Part, number: int) -> tuple[int, int]:
    """Where the last `number` lines of a part begin, and how many lines there are from there. Reads backwards."""
    if part.end <= part.start or not os.path.exists(part.path):
        return part.start, 0
    with open(part.path, "rb") as file:
        at, seen = part.end, 0
        while at > part.start:
            size = min(PIECE, at - part.start)
            file.seek(at - size)
            data = file.read(size)
            place = len(data)
            if at == part.end and data.endswith(b"\n"):
                place -= 1  # the end of the last line begins no other
            while (place := data.rfind(b"\n", 0, place)) >= 0:
                seen += 1
                if seen == number:
                    return at - size + place + 1, number
            at -= size
    return part.start, seen + 1
