"""Is the audit journal whole? Every change, cut, insertion and reordering is found, and said where. Pure.

Each line has the hash of the one before, so whatever is done to a line shows in the next. Who rewrites all lines after
it too has to sign the last one. So the chain and the last signature decide about every line: an append looks at the
signature of the line that it continues, and says `broken` if it is not a known key's. Signatures before the last are
looked at where something is wrong, to say which line it was, or all of them if asked for.

What nobody can see here: that the last entries are gone and every head of them too, and what the holder of the key
has written anew. A head that was given to somebody else (`audit export --head`) shows both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from contractor.core import digest
from contractor.core.values import Value
from contractor.proof.journal import unfinished
from contractor.proof.journal_line import START, Entry, is_signed, parse_line
from contractor.proof.keys import Keys

IN_STORE = "in the store"  # where the head is that must be there
_MOST = 1000  # findings that are told; a journal with more is beyond reading


class Finding(Value, frozen=True):
    """line: in the file, from 1; 0 when it is about a head. accepted: the reason of whoever accepted it."""

    line: int
    text: str
    accepted: str = ""

    @property
    def mark(self) -> str:
        """What an `accepted` entry names it by."""
        return digest.of_value([self.line, self.text])[:32]


class Report(Value, frozen=True):
    """notes: what is no damage, but worth knowing. signed: how many entries a key signed, by its name or id."""

    entries: int
    first: float = 0.0
    last: float = 0.0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    signed: dict[str, int] = {}

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong but what was accepted."""
        return all(finding.accepted for finding in self.findings)


def check(data: bytes, heads: Mapping[str, Sequence[bytes] | None], keys: Keys, *, every: bool = False) -> Report:
    """data: the journal. heads: where each was found -> its lines, None when it is missing or unreadable."""
    return _Check(data, keys).report(heads, every=every)


class _Check:
    def __init__(self, data: bytes, keys: Keys) -> None:
        *self.lines, self.torn = data.split(b"\n")
        self.keys = keys
        self.entries: list[Entry | None] = []
        self.hashes: dict[str, int] = {}  # of a line -> its number
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.signed: dict[str, int] = {}

    def report(self, heads: Mapping[str, Sequence[bytes] | None], *, every: bool) -> Report:
        self._chain()
        self._signatures(every=every)
        self._in_time()
        self._end(heads)
        found = [entry for entry in self.entries if entry is not None]
        names = {key: self.keys[key].name if key in self.keys else key for key in self.signed}
        return Report(
            entries=len(found),
            first=found[0].at if found else 0.0,
            last=found[-1].at if found else 0.0,
            findings=tuple(self._accepted()),
            notes=tuple(self.notes),
            signed={names[key]: number for key, number in self.signed.items()},
        )

    def _find(self, line: int, text: str) -> None:
        if len(self.findings) < _MOST:
            self.findings.append(Finding(line, text))

    def _chain(self) -> None:
        """Every line against the one before it."""
        hash_, expected, at = START, 1, 0.0
        for number, line in enumerate(self.lines, 1):
            try:
                entry = parse_line(line)
            except ValueError as error:
                self._find(number, f"line {number} is no entry: {error}")
                self.entries.append(None)
            else:
                if entry.prev != hash_:
                    self._unchained(number, entry, expected)
                elif entry.seq != expected and entry.kind != "broken":
                    self._find(number, f"line {number} has the number {entry.seq}, not {expected}")
                if entry.at < at:
                    self.notes.append(f"line {number}: the clock had gone back by {at - entry.at:.0f} seconds")
                if entry.kind in _TELLING:
                    self._told(number, entry)
                expected, at = entry.seq + 1, entry.at
                self.entries.append(entry)
                if entry.key not in self.keys and entry.key not in self.signed:
                    self._find(number, f"line {number} is signed by a key that is not trusted: {entry.key}")
                self.signed[entry.key] = self.signed.get(entry.key, 0) + 1
            hash_ = digest.of_bytes(line)
            self.hashes.setdefault(hash_, number)

    def _told(self, number: int, entry: Entry) -> None:
        """Entries that the journal wrote about itself."""
        if entry.kind == "broken":
            self._find(number, f"line {number}: found when it was written: {entry.body.get('why', '?')}")
        elif entry.kind == "repaired":
            self.notes.append(f"line {number}: the append before it had been cut short, and was finished")

    def _unchained(self, number: int, entry: Entry, expected: int) -> None:
        """The line does not continue the one before it: why?"""
        before = self.entries[-1] if self.entries else None
        same = self.hashes.get(digest.of_bytes(self.lines[number - 1]))
        if same is not None:
            text = f"line {number} is line {same} once more"
        elif entry.seq > expected:
            text = f"{_span(expected, entry.seq - 1)} missing before line {number}"
        elif entry.seq < expected:
            text = f"line {number} (entry {entry.seq}) is not in its place: entry {expected - 1} stands before it"
        elif before is None and number > 1:
            text = f"line {number - 1} is not what it was when line {number} was written"
        elif before is not None and not self._signed(number - 1):
            text = f"line {number - 1} (entry {before.seq}) was changed"
        elif not self._signed(number):
            text = f"line {number} (entry {entry.seq}) was changed"
        else:
            text = f"line {number} (entry {entry.seq}) continues another line than the one before it"
        self._find(number, text)

    def _signed(self, number: int) -> bool:
        entry = self.entries[number - 1] if number <= len(self.entries) else parse_line(self.lines[number - 1])
        return entry is not None and is_signed(self.lines[number - 1], entry, self.keys)

    def _signatures(self, *, every: bool) -> None:
        numbers = [number for number, entry in enumerate(self.entries, 1) if entry is not None]
        known = [n for n in numbers if (entry := self.entries[n - 1]) is not None and entry.key in self.keys]
        if every:
            for number in known:
                if not self._signed(number):
                    self._find(number, f"line {number} has a signature that is not its key's")
        elif known and known[-1] == numbers[-1] and not self._signed(known[-1]):
            first = _first(known, lambda number: not self._signed(number))
            self._find(first, f"line {first}, or one before it, was changed: its signature is not its key's")

    def _in_time(self) -> None:
        """Nothing may be signed after a key's last day; the first such line of each key is told."""
        late: set[str] = set()
        ending = {key.id for key in self.keys.values() if key.until}
        for number, entry in enumerate(self.entries if ending else (), 1):
            if entry is None or entry.key not in ending or entry.key in late:
                continue
            key = self.keys[entry.key]
            if not key.counts_at(_day(entry.at)):
                late.add(entry.key)
                self._find(number, f"line {number} is signed by {key.name}, which was valid until {key.until}")

    def _end(self, heads: Mapping[str, Sequence[bytes] | None]) -> None:
        last = self.lines[-1] if self.lines else None
        ends = next((entry.seq for entry in reversed(self.entries) if entry is not None), 0)
        torn = bool(self.torn)
        for where, head in heads.items():
            if head is None:
                if where == IN_STORE and self.lines:
                    self._find(0, f"the head {IN_STORE} is missing, or cannot be read")
                elif where != IN_STORE:
                    self.notes.append(f"there is no head {where}: a cut that took every head along would not be seen")
                continue
            newest = parse_line(head[-1])
            rest = unfinished(last, list(head))
            if newest.key in self.keys and not is_signed(head[-1], newest, self.keys):
                self._find(0, f"the head {where} was changed: its signature is not its key's")
            elif digest.of_bytes(head[-1]) in self.hashes:
                continue
            elif rest is not None and b"".join(line + b"\n" for line in rest).startswith(self.torn):
                torn = False
                self.notes.append(f"the last append was cut short; the next one finishes it from the head {where}")
            elif newest.seq > ends:
                self._find(0, f"{_span(ends + 1, newest.seq)} missing at the end: the head {where} has them")
            else:
                self._find(0, f"entry {newest.seq} is not the one that the head {where} has")
        if torn:
            hash_ = digest.of_bytes(self.torn)
            number = len(self.lines) + 1
            self._find(number, f"line {number}: {len(self.torn)} bytes that are no entry (sha256 {hash_})")

    def _accepted(self) -> list[Finding]:
        """The findings, with the reason of those that a signed entry accepts."""
        reasons: dict[str, str] = {}
        for number, entry in enumerate(self.entries, 1):
            if entry is not None and entry.kind == "accepted" and self._signed(number):
                marks = entry.body.get("marks")
                reasons.update(dict.fromkeys(marks if isinstance(marks, list) else (), str(entry.body.get("reason"))))
        return [Finding(item.line, item.text, reasons.get(item.mark, "")) for item in self.findings]


def _day(at: float) -> str:
    """The day of a time (UTC); "" for one that no calendar has."""
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(at))
    except (OverflowError, ValueError, OSError):
        return ""


_TELLING = frozenset({"broken", "repaired"})


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _first(numbers: Sequence[int], wrong: Callable[[int], bool]) -> int:
    """The first that is wrong, where all after a wrong one are: found by halving."""
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(numbers[middle]) else (middle + 1, high)
    return numbers[low]
