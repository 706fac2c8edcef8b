"""The audit journal of a store: append-only, each line chained to the one before and signed.

    journal/journal.jsonl     the entries (journal_line.py)
    journal/head              the lines that were appended last, written before they are appended
    journal/lock              held by who appends
    <outside>/<id>            a copy of the head, elsewhere: <id> is the sha256 of the store's path

The head is written first, so a kill at any byte loses nothing: the next append finishes the lines and says so with an
entry `repaired`. What does not continue from a head, or ends with a line that no known key signed, gets an entry
`broken`, which `contractor audit verify` reports for good. Nothing of the file is ever removed or overwritten.

Appending is not synced: it reaches the disk with the store's own sync after a build. A power cut may take the last
entries; the heads then say so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from contractor.core import digest
from contractor.core.errors import Broken
from contractor.proof.journal_line import START, Entry, is_signed, make_line, parse_line
from contractor.proof.keyring import Keyring
from contractor.proof.keys import PublicKey
from contractor.proof.signing import Signer
from contractor.store.layout import Store, locked

Body = dict[str, Any]
_BLOCK = 1 << 16


class Files(NamedTuple):
    """Where a store's journal is; outside is "" when no head is kept elsewhere."""

    journal: str
    head: str
    lock: str
    outside: str


def files(store: Store, outside: str) -> Files:
    """outside: the folder for heads outside of stores, or ""."""
    name = digest.of_bytes(os.fsencode(os.path.realpath(store.root)))
    folder = store.path("journal")
    return Files(f"{folder}/journal.jsonl", f"{folder}/head", f"{folder}/lock", outside and f"{outside}/{name}")


class Journal:
    """Appends to a store's journal. The key is read, and made if there is none, with the first entry."""

    def __init__(self, store: Store, keyring: Keyring, outside: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._keyring = keyring
        self._files = files(store, outside)
        self._clock = clock
        self._signer: Signer | None = None
        self._known: dict[str, PublicKey] = {}

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            self._signer = self._keyring.signer()
            self._known = {**self._keyring.trusted(), self._signer.id: self._signer.key}
        return self._signer

    def append(self, kind: str, body: Body) -> None:
        """One entry; see `append_all`."""
        self.append_all([(kind, body)])

    def append_all(self, entries: Sequence[tuple[str, Body]]) -> None:
        """Entries that belong together. Broken when they cannot be written; Rejected when there is no usable key."""
        signer = self.signer
        try:
            os.makedirs(os.path.dirname(self._files.journal), 0o700, exist_ok=True)
            with locked(self._files.lock, what="another process that writes the audit journal"):
                fd = os.open(self._files.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    end, found = self._settled(fd)
                    self._add(fd, end, [*found, *entries], signer)
                finally:
                    os.close(fd)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Broken(
                f"the audit journal cannot be written: {error.filename or self._files.journal}: {error.strerror}",
                hint="free some space (`contractor gc`)" if full else "nothing is built that the journal cannot take",
            ) from error

    def _add(self, fd: int, end: _End, entries: Sequence[tuple[str, Body]], signer: Signer) -> None:
        lines = []
        seq, prev = end.seq, end.hash
        for kind, body in entries:
            seq += 1
            lines.append(make_line((seq, self._clock(), kind, body), prev, signer))
            prev = digest.of_bytes(lines[-1])
        data = b"".join(line + b"\n" for line in lines)
        _replace(self._files.head, data)
        _write(fd, data)
        if self._files.outside:
            with contextlib.suppress(OSError):  # a copy; `audit verify` says when there is none
                os.makedirs(os.path.dirname(self._files.outside), 0o700, exist_ok=True)
                _replace(self._files.outside, data)

    def _settled(self, fd: int) -> tuple[_End, list[tuple[str, Body]]]:
        """Where the journal ends once an append that was not finished is; and what there is to say about its end."""
        last, torn = tail(fd)
        head, outside = read_head(self._files.head), read_head(self._files.outside)
        if last is None and not torn and head is None and outside is None:
            return _End(0, START), [("opened", {"store": self._store.root, "version": 1})]
        rest = unfinished(last, head)
        if rest is not None:
            data = b"".join(line + b"\n" for line in rest)
            whole = data.startswith(torn)
            _write(fd, data[len(torn) :] if whole else b"\n" + data)
            notes = [("repaired", {"entries": len(rest), "bytes": len(data) - len(torn) if whole else len(data)})]
            trouble = "" if whole else _foreign(torn)
            return self._judged(rest[-1], outside, trouble, notes)
        if torn:
            _write(fd, b"\n")
            return self._judged(torn, outside, _foreign(torn), [])
        trouble = ""
        if head is None and last is not None:
            trouble = "its head in the store is missing"
        elif head is not None and last != head[-1]:
            trouble = f"it does not end with entry {_seq(head)}, which was its last"
        return self._judged(last, head if trouble and head else outside, trouble, [])

    def _judged(
        self, last: bytes | None, other: list[bytes] | None, trouble: str, found: list[tuple[str, Body]]
    ) -> tuple[_End, list[tuple[str, Body]]]:
        """other: a head that says where the journal should be at least."""
        entry = _parsed(last)
        hash_ = START if last is None else digest.of_bytes(last)
        expected = _seq(other)
        seq = max(entry.seq if entry else 0, expected)
        if not trouble and entry is None:
            trouble = "its last line is no entry" if last is not None else f"it is gone, with its entries 1 to {seq}"
        if not trouble and entry is not None and last is not None:
            if not is_signed(last, entry, self._known):
                trouble = f"its last line is not signed by a key that is known here ({entry.key})"
            elif expected > entry.seq or (expected == entry.seq and other is not None and other[-1] != last):
                trouble = f"it ends with entry {entry.seq}; outside of the store its entry {expected} is known"
        if trouble:
            found = [*found, ("broken", {"why": trouble, "ends": entry.seq if entry else 0, "known": expected})]
        return _End(seq, hash_), found


class _End(NamedTuple):
    seq: int
    hash: str


def unfinished(last: bytes | None, head: list[bytes] | None) -> list[bytes] | None:
    """The head's lines that are still to be appended after `last`; None when it is not that head's turn."""
    if not head or last == head[-1]:
        return None
    if last in head:
        return head[head.index(last) + 1 :]
    first = _parsed(head[0])
    before = START if last is None else digest.of_bytes(last)
    return head if first is not None and first.prev == before else None


def tail(fd: int) -> tuple[bytes | None, bytes]:
    """The last whole line of a file (None when there is none), and what stands after it."""
    size = os.fstat(fd).st_size
    data, start = b"", size
    while start and data.count(b"\n") < 2:
        count = min(_BLOCK, start)
        start -= count
        data = os.pread(fd, count, start) + data
    lines, newline, torn = data.rpartition(b"\n")
    return (lines.rpartition(b"\n")[2] if newline else None), torn


def read_head(path: str) -> list[bytes] | None:
    """A head's lines; None when there is none, or nothing that can be read as one."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    lines = data.split(b"\n")[:-1]
    return lines if lines and data.endswith(b"\n") and all(map(_parsed, lines)) else None


def _parsed(line: bytes | None) -> Entry | None:
    try:
        return None if line is None else parse_line(line)
    except ValueError:
        return None


def _seq(head: list[bytes] | None) -> int:
    entry = _parsed(head[-1]) if head else None
    return entry.seq if entry is not None else 0


def _foreign(data: bytes) -> str:
    return f"it ended with {len(data)} bytes that are no entry (sha256 {digest.of_bytes(data)})"


def _replace(path: str, data: bytes) -> None:
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, data)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def reading(place: Files) -> Iterator[None]:
    """While the journal and its heads are looked at together: nobody appends."""
    if not os.path.exists(place.lock):
        yield
        return
    with locked(place.lock, shared=True, what="another process that writes the audit journal"):
        yield
