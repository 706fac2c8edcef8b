"""contractor log: what the steps of a build wrote, byte for byte.

A step that did not run has no part in its build's log: what it wrote is in the log of the build that ran it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from contractor.cli import config
from contractor.cli.options import Parser, open_store
from contractor.cli.output import put, talk
from contractor.cli.text import sanitize
from contractor.core.errors import Broken, Rejected
from contractor.store.layout import Store
from contractor.store.records import Record, Records, StepRecord

_PIECE = 1 << 16


class Part(NamedTuple):
    """Bytes start..end of a log file; title: the step that wrote them."""

    path: str
    start: int
    end: int
    title: str


def parser() -> Parser:
    made = Parser("log", "Print what the steps of a build wrote: all bytes, or clean lines on a terminal.")
    made.add_argument("build", nargs="?", default="last", help="an id, its beginning, or a name (default: the last)")
    made.add_argument("--step", metavar="N|NAME", help="of this step only")
    made.add_argument("--tail", type=int, metavar="N", help="the last N lines only")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.tail is not None and args.tail < 0:
        raise Rejected("--tail takes a number of lines", hint="for example --tail 50")
    store = open_store(args, config.load())
    records = Records(store)
    record = records.read(records.find(args.build))
    parts = chosen_parts(record, store, args.step)
    if args.tail is not None:
        parts = tail(parts, args.tail)
    terminal = sys.stdout.isatty()
    for part in parts:
        if terminal and args.step is None:
            put([f"==> {part.title}"])
        if terminal:
            put(lines_of(part))
        else:
            sys.stdout.flush()
            for data in pieces(part):
                sys.stdout.buffer.write(data)
    return 0


def chosen_parts(record: Record, store: Store, step: str | None) -> list[Part]:
    """Where the log of a step is, or of all steps in order. Rejected: no such step, or its log is gone."""
    if record.outcome == "running":
        if step is not None:
            raise Rejected(
                f"the build {record.id} has not ended, so its log has no parts yet",
                hint=f"`contractor log {record.id}` prints all of it",
            )
        path = _log_path(store, record.id)
        return [Part(path, 0, os.path.getsize(path) if os.path.exists(path) else 0, "the log so far")]
    if step is not None:
        return [part_of(record, find_step(record, step), store)]
    parts = []
    for index, found in enumerate(record.steps):
        if found.outcome == "not run":
            continue
        try:
            parts.append(part_of(record, index, store))
        except Rejected as error:
            talk(f"note: {error.message}")
    return parts


def find_step(record: Record, text: str) -> int:
    """The index of a step by its number, from 1, or by its name."""
    names = [step.name for step in record.steps]
    if text in names:
        return names.index(text)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(names):
        return int(text) - 1
    import difflib

    near = difflib.get_close_matches(text, names, 1, 0.5)
    details = tuple(f"{number}. {sanitize(name)}" for number, name in enumerate(names, 1))
    hint = f"did you mean --step '{near[0]}'?" if near else "give its number or its name"
    raise Rejected(f"the build {record.id} has no step {text!r}", details=details, hint=hint)


def part_of(record: Record, index: int, store: Store) -> Part:
    """A step's part, in the log of the build that ran it. Rejected: that build's log is gone."""
    step = record.steps[index]
    title = f"{index + 1}. {sanitize(step.name)}"
    if step.outcome == "not run":
        raise Rejected(f"step {title} was not reached in this build", hint="`contractor show` tells what happened")
    if not step.made_by:
        return Part(_log_path(store, record.id), step.log_start, step.log_end, title)
    origin = _ran(step, store)
    if origin is None or not os.path.exists(_log_path(store, step.made_by)):
        raise Rejected(
            f"the log of step {title} is gone with the record of {step.made_by}, the build that ran it",
            hint="`contractor build --fresh` runs every step again",
        )
    return Part(_log_path(store, step.made_by), origin.log_start, origin.log_end, f"{title} (ran in {step.made_by})")


def _ran(step: StepRecord, store: Store) -> StepRecord | None:
    """The same action in the record of the build that ran it."""
    try:
        record = Records(store).read(step.made_by)
    except (Rejected, Broken):
        return None
    return next((found for found in record.steps if found.key == step.key and not found.made_by), None)


def _log_path(store: Store, build: str) -> str:
    return f"{Records(store).folder(build)}/log"


def pieces(part: Part) -> Iterator[bytes]:
    """A part's bytes; fewer when the file is shorter than its record says."""
    if part.end <= part.start:
        return
    try:
        with open(part.path, "rb") as file:
            file.seek(part.start)
            left = part.end - part.start
            while left and (data := file.read(min(left, _PIECE))):
                left -= len(data)
                yield data
    except FileNotFoundError as error:
        raise Rejected(f"the log is gone: {part.path}", hint="`contractor list` shows the builds") from error
    except OSError as error:
        raise Broken(f"the log cannot be read: {part.path}: {error.strerror}") from error


def lines_of(part: Part) -> Iterator[str]:
    """A part's lines as a terminal may have them; a line without an end at the end is a line."""
    rest = b""
    for data in pieces(part):
        *lines, rest = (rest + data).split(b"\n")
        yield from map(sanitize, lines)
        if len(rest) > _PIECE * 16:
            yield sanitize(rest)
            rest = b""
    if rest:
        yield sanitize(rest)


def tail(parts: list[Part], number: int) -> list[Part]:
    """What of the parts holds the last `number` lines."""
    found: list[Part] = []
    for part in reversed(parts):
        if number <= 0:
            break
        start, lines = _tail_start(part, number)
        found.append(part._replace(start=start))
        number -= lines
    return found[::-1]


def _tail_start(part: Part, number: int) -> tuple[int, int]:
    """Where the last `number` lines of a part begin, and how many lines there are from there. Reads backwards."""
    if part.end <= part.start or not os.path.exists(part.path):
        return part.start, 0
    with open(part.path, "rb") as file:
        at, seen = part.end, 0
        while at > part.start:
            size = min(_PIECE, at - part.start)
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
